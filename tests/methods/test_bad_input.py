"""What a method cannot be trained with: refused by a sentence that names the value and the way out."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from cfa.errors import CfaError, ConfigError
from cfa.methods import METHODS, Knobs, configure, parts_of
from tests.support.seen import small_network, small_step
from tests.support.tiny import tiny_config, tiny_dataset, trained

WHOLE = [name for name, method in METHODS.items() if method.whole_batch]
OF_EVERY_CLASS = [name for name, method in METHODS.items() if method.needs_every_class]


@pytest.mark.parametrize("method", WHOLE)
def test_a_loss_of_the_whole_batch_is_not_cut_into_parts(method: str) -> None:
    with pytest.raises(ConfigError, match=rf"{method} takes the loss of a whole batch.* leave that at 1"):
        configure(method, "tiny", model="small-cnn", preset="demo", overrides={"train.batch_parts": 2})


def test_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CfaError, match=r"holds no image of class 'cat'; drop that class or add images"):
        trained(tmp_path, tiny_config(), tiny_dataset((60, 60, 0, 60)))


@pytest.mark.parametrize("method", OF_EVERY_CLASS)
def test_a_method_that_divides_by_classes_takes_none_without_images(method: str) -> None:
    """Whatever let it through before: a step that would divide by it is not put together."""
    with pytest.raises(ConfigError, match=rf"{method} divides by .* class 1 has none; add images of it"):
        small_step(parts_of(tiny_config(method)), small_network(3), torch.tensor([20, 0, 20]))


@pytest.mark.parametrize("eps", [-1e-3, 1.001, math.nan, math.inf])
def test_a_budget_that_is_none_is_refused_where_a_rule_sets_it(eps: float) -> None:
    knobs = Knobs(eps=torch.tensor([0.1, 0.2, eps], dtype=torch.float64))
    with pytest.raises(ConfigError, match=rf"rule of mine sets eps={eps:g} for class 2 in epoch 7, and"):
        knobs.require_budgets("mine", 7)


@pytest.mark.parametrize("eps", [0.0, 1e-9, 1.0])
def test_a_budget_of_0_and_of_1_is_one(eps: float) -> None:
    knobs = Knobs(eps=torch.tensor([eps, 0.2], dtype=torch.float64))
    assert knobs.require_budgets("mine", 1) is knobs


def test_a_training_stops_at_a_budget_that_is_none(tmp_path: Path) -> None:
    """From epoch 2 on (2 + t) 0.6, which is more than an image can be moved."""
    with pytest.raises(ConfigError, match=r"rule of pgd-at-cfa sets eps=[1-9.]+ for class 0 in epoch 2"):
        trained(tmp_path, tiny_config("pgd-at-cfa", attack__eps=0.6, method__lambda_eps=2))


@pytest.mark.parametrize(
    ("changes", "lower"),
    [
        ({"method__alpha": 1e30}, r"lower optimizer\.lr \(now 0\.05\) or method\.alpha \(now 1e\+30\) and"),
        ({"optimizer__lr": 1e30}, r"lower optimizer\.lr \(now 1e\+30\) and"),
    ],
)
def test_a_loss_that_is_not_finite_names_what_was_set_of_the_method(
    tmp_path: Path, changes: dict[str, Any], lower: str
) -> None:
    with pytest.raises(CfaError, match=lower):
        trained(tmp_path, tiny_config("fat-var", **changes))
