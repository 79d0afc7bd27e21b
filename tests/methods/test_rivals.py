"""Methods of others through the same interface: worked numbers, and killed runs that go on bit for bit.

Numbers were computed with the formulas of the authors' own code, apart from this project.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cfa.config import RunConfig
from cfa.errors import ConfigError
from cfa.methods import Attacked, Batch, ClassStats, Knobs, Tally
from cfa.progress import Observer, Stopped
from cfa.runs.folder import RunFolder
from cfa.runs.rows import KnobValues
from cfa.tables.frames import knobs_frame
from cfa.training import fit
from cfa.trust import allowing
from tests.support.rivals import (
    RIVALS,
    CfolSampler,
    WatRule,
    bat_objective,
    csr_objective,
    spectral_weights,
    wat_objective,
)
from tests.support.tiny import (
    CPU,
    Stopper,
    assert_same_weights,
    go_on,
    timeless,
    tiny_config,
    tiny_dataset,
    tiny_run,
)


def same(x: Tensor) -> Tensor:
    """Stand for a network whose logits are its input."""
    return x


def batch_of(logits: list[list[float]], y: list[int], **knobs: Tensor) -> Batch:
    x, classes = torch.tensor(logits, dtype=torch.float64), torch.tensor(y)
    of_class = Knobs(eps=torch.full((x.shape[1],), 0.1, dtype=torch.float64), **knobs)
    return Batch(
        x=x,
        y=classes,
        index=torch.arange(len(y)),
        knobs=of_class.at(classes),
        knobs_of_class=of_class,
        class_counts=torch.full((x.shape[1],), 10),
        whole_y=classes,
    )


def of(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def adversarial(logits: list[list[float]], **also: list[list[float]]) -> Attacked:
    return Attacked(
        x_adv=torch.tensor(logits, dtype=torch.float64),
        also={k: torch.tensor(v, dtype=torch.float64) for k, v in also.items()},
    )


def test_wat_weighs_classes_and_the_mean_by_cumulated_costs() -> None:
    """Example 2; equally many validation images of each class."""
    rule = WatRule(eps=0.1)
    state, knobs = rule.initial(3)
    assert knobs["weight"].tolist() == [1, 1, 1]
    total = torch.full((3,), 100)
    cumulated = [(0.7, 1.2, 2.1), (1.36, 2.29, 4.31)]
    expected = [(0.703082, 0.739130, 0.808737, 0.749051), (0.655214, 0.719072, 0.880035, 0.745679)]
    before = np.zeros(3)
    for costs, weights in zip(cumulated, expected, strict=True):
        sums = {"loss": torch.tensor(100 * (np.array(costs) - before))}
        before = np.array(costs)
        seen = {"kl-10": Tally(total=total, correct=total, sums=sums)}
        state, knobs = rule(state, ClassStats(epoch=1, class_counts=total, seen=seen))
        found = [*knobs["weight"].tolist(), knobs["mean_weight"][0].item()]
        assert found == pytest.approx(weights, abs=1e-6)


def test_wat_adds_a_whole_trades_loss_for_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Example 2: CE .5 1 .2 2, KL .1 .3 .05 .4, classes 0 2 1 2."""
    terms = (of([0.5, 1, 0.2, 2]), of([0.1, 0.3, 0.05, 0.4]), torch.zeros(4, 3))
    monkeypatch.setattr("tests.support.rivals.clean_and_robust", lambda *_: terms)
    weights = {"weight": of([0.655214, 0.719072, 0.880035]), "mean_weight": of([0.745679] * 3)}
    batch = batch_of([[0, 0, 0]] * 4, [0, 2, 1, 2], **weights)
    loss = wat_objective(same, batch, adversarial([[0, 0, 0]] * 4)).per_sample.mean()
    assert float(loss) == pytest.approx(3.494625, abs=1e-5)


def test_cfol_draws_classes_that_are_often_wrong_more_often() -> None:
    """Example 3: the same batch three times."""
    sampler = CfolSampler(gamma=0.5, eta=0.05)
    labels = torch.tensor([0, 1, 1, 2, 2, 2])
    state = sampler.initial(labels)
    weights = [(0.15, 0, 0.15), (0.296435, 0, 0.296435), (0.439735, 0, 0.439735)]
    chances = [
        (0.341449, 0.317103, 0.341449),
        (0.348918, 0.302164, 0.348918),
        (0.355759, 0.288481, 0.355759),
    ]
    for w, p in zip(weights, chances, strict=True):
        state = sampler.after(state, torch.tensor([0, 2, 2, 1]), torch.tensor([False, False, True, True]))
        assert state["w"].tolist() == pytest.approx(w, abs=1e-6)
        assert sampler.chances(state).tolist() == pytest.approx(p, abs=1e-6)
    drawn = sampler.draw(state, labels, 30_000, torch.Generator().manual_seed(0))
    share = labels[drawn].bincount() / 30_000
    assert share.tolist() == pytest.approx(chances[-1], abs=0.015)
    within = drawn[labels[drawn] == 2].bincount(minlength=6)[3:] / (labels[drawn] == 2).sum()
    assert within.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)  # uniform within a class


def test_bat_pulls_both_sides_towards_uniform_predictions() -> None:
    """Example 5."""
    batch = batch_of([[3, 0, -1], [0.2, 2, 0]], [0, 1])
    attacked = adversarial([[0.5, 1, 0], [1, 0.5, 0]], inner=[[2, 0, -1], [0.5, 1, 0]])
    assert float(bat_objective(same, batch, attacked).per_sample.mean()) == pytest.approx(4.910620, abs=1e-5)


def test_csr_weighs_pairs_of_classes_by_the_spectrum_of_the_confusion() -> None:
    """Example 7."""
    weights = spectral_weights(of([0, 30, 5, 50, 0, 10, 5, 20, 0]).reshape(3, 3))
    expected = [0.148220, 0.01, 0.026408, 2.01, 0.192013, 0.407822, 0.264284, 0.021347, 0.050185]
    assert weights.flatten().tolist() == pytest.approx(expected, abs=1e-5)
    batch = batch_of([[1, 0.5, 0], [0, 3, 0]], [0, 1], confusion=weights.T)
    loss = csr_objective(same, batch, adversarial([[0, 1, 0], [0, 2, 0]])).per_sample.mean()
    assert float(loss) == pytest.approx(1.743303, abs=1e-5)


# Whole trainings -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def lab() -> Iterator[None]:
    """Stand for somebody's module, whose methods were typed."""
    module = ModuleType("lab_of_rivals")
    for name, method in RIVALS.items():
        setattr(module, name, method)
    sys.modules[module.__name__] = module
    with allowing([f"lab_of_rivals:{name}" for name in RIVALS]):
        yield
    del sys.modules[module.__name__]


def config_of(name: str, **changes: Any) -> RunConfig:
    return tiny_config(f"lab_of_rivals:{name}", **changes)


@pytest.mark.parametrize("name", RIVALS)
def test_stopped_in_mid_epoch_and_resumed_equals_never_stopped(tmp_path: Path, name: str) -> None:
    data, config = tiny_dataset(spread=2), config_of(name)
    plain = tiny_run(tmp_path / "plain", config)
    go_on(plain, data)
    run = tiny_run(tmp_path / "stopped", config)
    for after in (3, 9):  # in the first epoch, and in another one
        with pytest.raises(Stopped):
            go_on(run, data, Stopper(after))
    go_on(RunFolder(run.path), data)
    assert_same_weights(plain, run)
    assert timeless(plain.rows()) == timeless(run.rows())


@pytest.mark.parametrize(
    ("name", "knob"),
    [("wat", "weight"), ("csr", "confusion"), ("absld", "adversarial_temperature")],
)
def test_their_knobs_differ_between_classes_and_stand_in_the_tables(
    tmp_path: Path, name: str, knob: str
) -> None:
    run = tiny_run(tmp_path, config_of(name, train__epochs=2, train__keep_every=1))
    go_on(run, tiny_dataset(spread=2))
    last = [row for row in run.rows() if isinstance(row, KnobValues)][-1]
    assert len(set(last.values[knob])) > 1
    frame = knobs_frame(run)
    assert frame[frame["epoch"] == 2][knob].tolist() == list(last.values[knob])
    assert run.knobs_file.exists() == (name == "csr")
    if name == "csr":
        with np.load(run.knobs_file) as pairs:
            assert set(pairs) == {"epoch1/confusion", "epoch2/confusion"}
            assert pairs["epoch2/confusion"].mean(axis=1) == pytest.approx(last.values[knob])


def test_a_method_that_learns_from_a_teacher_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="learns from a trained network, and none was given"):
        fit(tiny_run(tmp_path, config_of("absld")), tiny_dataset(), CPU, Observer())
