"""DAFA against the numbers of its formulas, computed apart from this project (methods2, example 4)."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cfa.methods import TRAINING, ClassStats, Tally, configure, parts_of
from cfa.methods.catalogue.dafa import PROBABILITIES, WeightsBySimilarity, class_weights
from cfa.training import fit
from tests.support.tiny import CPU, Stopper, tiny_config, tiny_dataset, tiny_run
from tests.support.worked import adversarial, batch_of, of, same

EPS = 8 / 255
SIMILARITY = [[0.70, 0.20, 0.10], [0.30, 0.40, 0.30], [0.15, 0.25, 0.60]]


@pytest.mark.parametrize(
    ("similarity", "strength", "expected"),
    [
        (SIMILARITY, 1, [0.685, 1.39, 0.925]),
        (SIMILARITY, 1.5, [0.5275, 1.585, 0.8875]),
        ([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.2, 0.2, 0.6]], 1, [0.97, 0.97, 0.76]),  # both give at a tie
    ],
)
def test_weights_of_similar_classes(
    similarity: list[list[float]], strength: float, expected: list[float]
) -> None:
    assert class_weights(of(similarity), strength).tolist() == pytest.approx(expected, abs=1e-5)


def after(rule: WeightsBySimilarity, epoch: int) -> ClassStats:
    total = torch.tensor([100, 50, 20])
    sums = {PROBABILITIES: of(SIMILARITY) * total[:, None]}
    seen = {TRAINING: Tally(total=total, correct=total, sums=sums)}
    return ClassStats(epoch=epoch, class_counts=total, seen=seen)


def test_weights_are_found_once_and_move_eps_and_the_clean_term() -> None:
    rule = parts_of(configure("dafa", "tiny", preset="authors", overrides={"train.epochs": 110})).rule
    assert isinstance(rule, WeightsBySimilarity)
    assert rule.warmup_epochs == 70
    state, knobs = rule.initial(3)
    for epoch in (69, 70, 71, 110):
        state, knobs = rule(state, after(rule, epoch))
        w = [1, 1, 1] if epoch < 70 else [0.685, 1.39, 0.925]
        assert (knobs["eps"] / 0.031).tolist() == pytest.approx(w)
        assert knobs["clean_weight"].tolist() == pytest.approx(w)  # not divided: the authors' sum
        assert knobs["robust_weight"].tolist() == [6, 6, 6]
        assert not knobs.remarks


@pytest.mark.parametrize("method", ["dafa", "pgd-at-dafa"])
def test_a_weight_that_leaves_its_bounds_is_kept_there_and_said(method: str) -> None:
    """1 + 4 (.685 - 1) is -.26: neither a budget nor a weight."""
    overrides = {"method.lambda_weight": 4, "method.dafa_warmup": 2, "attack.eps": EPS}
    rule = parts_of(configure(method, "tiny", preset="demo", overrides=overrides)).rule
    state, knobs = rule(rule.initial(3)[0], after(rule, 2))
    (said,) = knobs.remarks
    assert said.startswith("DAFA's weight of class 0 came to -0.26 and is kept at 0.1; ")
    kept = knobs
    _, knobs = rule(state, after(rule, 3))
    assert not knobs.remarks  # once
    assert all(torch.equal(knobs[name], kept[name]) for name in kept)
    assert float(knobs["eps"].min()) > 0


def test_the_log_says_what_a_rule_remarks(tmp_path: Path) -> None:
    heard = Stopper()
    config = tiny_config("dafa", train__epochs=2, method__lambda_weight=1e6)
    fit(tiny_run(tmp_path, config), tiny_dataset(spread=2.0), CPU, heard)
    assert any(line.startswith("DAFA's weight of class") for line in heard.lines)


@pytest.mark.parametrize(
    ("method", "weights", "radii"),
    [
        ("pgd-at-dafa", [0.5, 0.7, 1, 1.3], [6, 7.6, 8, 8]),
        ("dafa", [0.7, 1.3], [5.6, 10.4]),
    ],
)
def test_how_far_images_are_moved(method: str, weights: list[float], radii: list[float]) -> None:
    """A gradient of one sign, 10 steps of 2/255 within 8/255; the knob says it of the class."""
    overrides = {
        "attack.eps": EPS,
        "attack.start": "uniform",
        "attack.step_size": "2/255",
        "attack.steps": 10,
    }
    parts = parts_of(configure(method, "tiny", preset="demo", overrides=overrides))
    after_all = ClassStats(epoch=99, class_counts=torch.ones(len(weights)), seen={})
    _, knobs = parts.rule({"weight": of(weights)}, after_all)
    classes = len(weights)
    x = torch.full((classes, 1, 2, 2), 0.5, dtype=torch.float64)
    batch = replace(batch_of([[0.0] * classes] * classes, list(range(classes)), **knobs), x=x)

    def model(images: Tensor) -> Tensor:
        """Depend on the sum of the pixels alone, so that all of them are moved the same way."""
        return images.flatten(1).sum(1, keepdim=True) * torch.linspace(3, 1, classes, dtype=torch.float64)

    x_adv = parts.attack(model, batch, torch.Generator().manual_seed(0)).x_adv
    moved = (x_adv - x).abs().amax((1, 2, 3)) * 255
    assert moved.tolist() == pytest.approx(radii, abs=1e-5)
    assert (knobs["eps"] * 255).tolist() == pytest.approx(radii, abs=1e-5)


def test_losses_by_the_weight_of_the_class() -> None:
    """The logits of test_formulas.py, divided by 7; weights .5 and 2 of classes 0 and 1.

    CE .169846 .680270 and KL .619910 .061218: (.5 x .169846 + 6 x .619910 + 2 x .680270 + 6 x .061218) / 2.
    CE of x': 1.180270 .402569.
    """
    clean, adv = [[2.0, 0, -1], [0.5, 1, 0]], [[0.5, 1.0, 0], [0.2, 1.5, 0]]
    third, w = [1 / 7] * 3, of([0.5, 2, 1])
    batch = batch_of(clean, [0, 1], clean_weight=of(third) * w, robust_weight=6 * of(third))
    around_trades = parts_of(configure("dafa", "tiny", preset="demo")).objective
    loss = around_trades(same, batch, adversarial(adv))
    expected = (0.5 * 0.169846 + 6 * 0.619910 + 2 * 0.680270 + 6 * 0.061218) / 14
    assert float(loss.per_sample.mean()) == pytest.approx(expected, abs=1e-5)
    assert loss.sums[PROBABILITIES][0].tolist() == pytest.approx([0.307196, 0.506480, 0.186324], abs=1e-5)
    around_pgd_at = parts_of(configure("pgd-at-dafa", "tiny", preset="demo")).objective
    loss = around_pgd_at(same, batch_of(clean, [0, 1], weight=w), adversarial(adv))
    assert loss.per_sample.tolist() == pytest.approx([0.5 * 1.180270, 2 * 0.402569], abs=1e-5)
