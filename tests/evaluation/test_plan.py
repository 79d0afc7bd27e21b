"""Plans: clean first, everything refused that cannot be carried out."""

import math

import pytest
import torch

from cfa.errors import CfaError, ConfigError, UnknownName
from cfa.evaluation import EvaluationPlan
from cfa.evaluation.plan import chosen_images


@pytest.mark.parametrize(
    ("given", "carried_out"),
    [
        ((), ("clean",)),
        (("pgd-20",), ("clean", "pgd-20")),
        (("pgd-20", "clean"), ("clean", "pgd-20")),
        (("fgsm", "pgd-10", "fgsm", "clean"), ("clean", "fgsm", "pgd-10")),
    ],
)
def test_clean_comes_first_and_nothing_twice(given: tuple[str, ...], carried_out: tuple[str, ...]) -> None:
    assert EvaluationPlan(attacks=given).attacks == carried_out


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"attacks": ("pgd20",)}, UnknownName, "unknown attack 'pgd20'; did you mean 'pgd-20'"),
        ({"attacks": ("cleen",)}, UnknownName, "did you mean 'clean'"),
        ({"eps": 0.0}, ConfigError, "eps=0.0 lies outside (0, 1]; write a fraction such as 8/255"),
        ({"eps": 8.0}, ConfigError, "eps=8.0 lies outside (0, 1]; did you mean 8/255?"),
        ({"eps": -0.1}, ConfigError, "eps=-0.1"),
        ({"eps": math.nan}, ConfigError, "eps=nan"),
        ({"limit": 0}, ConfigError, "limit=0 leaves no image"),
        ({"batch_size": 0}, ConfigError, "batch_size=0"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(settings: dict, error: type[CfaError], sentence: str) -> None:
    with pytest.raises(error) as caught:
        EvaluationPlan(**{"attacks": ("pgd-10",), **settings})
    assert sentence in str(caught.value)


def test_the_settings_of_an_attack_are_told_in_full() -> None:
    plan = EvaluationPlan(attacks=("pgd-20", "pgd-50-best", "fgsm"), norm="l2", eps=0.5, batch_size=100)
    assert plan.settings("clean") == {}
    told = plan.settings("pgd-20")
    expected = {"steps": 20, "norm": "l2", "eps": 0.5, "batch_size": 100, "loss": "cross-entropy"}
    assert expected.items() <= told.items()
    assert told["step_size"] == "0.25*eps"
    assert (told["start"], told["bn_mode"], told["stop_when_broken"]) == ("uniform", "eval", False)
    assert plan.settings("pgd-50-best")["stop_when_broken"] is True
    assert plan.settings("fgsm")["step_size"] == "1.0*eps"


LABELS = torch.tensor([2, 0, 1, 0, 2, 2, 1, 0, 0, 2])


@pytest.mark.parametrize(
    ("limit", "chosen"),
    [
        (None, list(range(10))),
        (3, [0, 1, 2]),
        (5, [0, 1, 2]),  # 5 // 3 = 1 a class
        (6, [0, 1, 2, 3, 4, 6]),
        (9, [0, 1, 2, 3, 4, 5, 6, 7]),  # class 1 has only two
        (1000, list(range(10))),
    ],
)
def test_a_limit_takes_the_first_of_each_class(limit: int | None, chosen: list[int]) -> None:
    assert chosen_images(LABELS, 3, limit).tolist() == chosen


def test_a_limit_below_one_image_a_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="limit=2 is less than one image for each of 3 classes; raise it"):
        chosen_images(LABELS, 3, 2)
