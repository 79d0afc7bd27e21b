"""CGR's feedback, graph and losses by hand, and that it looks at validation images only."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cfa.methods import ClassStats, Tally, configure, parts_of
from cfa.methods.attacking import AtNominalEps
from cfa.methods.catalogue.cgr import (
    CgrSettings,
    ConfusionFeedback,
    TradesCgrSettings,
    cgr,
    confusion_graph,
    trades_cgr,
)
from cfa.notation import StepSize
from tests.support.worked import adversarial, batch_of, of, same

CONFUSION = torch.tensor([[60, 25, 15], [20, 30, 50], [10, 10, 80]])  # row: true class
FEATURES = torch.tensor([[100.0, 0, 0, 0], [50.0, 50, 0, 0], [0, 0, 30, 40]])  # sums over 100 images
COUNTS = torch.tensor([100, 50, 10])
TALLY = Tally(
    total=torch.tensor([100, 100, 100]),
    correct=torch.tensor([60, 30, 80]),
    sums={"predicted": CONFUSION, "features": FEATURES},
)
SETTINGS = CgrSettings(memory=0.7)


def after(epoch: int) -> ClassStats:
    return ClassStats(epoch=epoch, class_counts=COUNTS, seen={"feedback": TALLY})


def test_the_score_of_a_class_rises_with_its_errors_and_confusion() -> None:
    """Numbers of the published code's formula with a memory of 0.7, computed apart from this project."""
    rule = ConfusionFeedback(eps=0.1, settings=SETTINGS, every=10, beta=4.0)
    state, knobs = rule.initial(3)
    assert knobs["weight"].tolist() == [1, 1, 1]
    assert knobs["beta"].tolist() == [4, 4, 4]
    assert not knobs["graph"].any()
    state, knobs = rule(state, after(9))
    assert knobs["weight"].tolist() == [1, 1, 1], "looked at too early"
    state, knobs = rule(state, after(10))
    assert state["score"].tolist() == pytest.approx([0.896364, 1.305454, 0.798182], abs=1e-6)
    assert knobs["weight"].tolist() == pytest.approx([0.948182, 1.152727, 0.899091], abs=1e-6)
    # 1 + (score - 1) / 2, whose mean is 1
    assert knobs["beta"].tolist() == pytest.approx([4 * 0.948182, 4 * 1.152727, 4 * 0.899091], abs=1e-5)


def test_a_weight_is_cut() -> None:
    """Of scores that lie far apart, with a weight of 9."""
    rule = ConfusionFeedback(eps=0.1, settings=CgrSettings(memory=0.0, score_weight=9), every=1)
    tally = replace(TALLY, correct=torch.tensor([99, 99, 0]), sums={
        "predicted": torch.tensor([[99, 1, 0], [1, 99, 0], [50, 50, 0]]), "features": FEATURES,
    })  # fmt: skip
    _, knobs = rule(rule.initial(3)[0], ClassStats(epoch=1, class_counts=COUNTS, seen={"feedback": tally}))
    raw = np.array([0.005, 0.005, 0.66 + 0.5])
    weight = 1 + 9 * raw / raw.mean()
    weight = (weight / weight.mean()).clip(0.25, 3)
    assert knobs["weight"].tolist() == pytest.approx((weight / weight.mean()).tolist(), abs=1e-9)
    assert weight[0] == 0.25


@pytest.mark.parametrize("neighbours", [1, 3])
def test_the_graph_links_classes_that_are_confused_frequent_and_near(neighbours: int) -> None:
    centres = FEATURES.numpy() / 100
    centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    expected = np.zeros((3, 3))
    for true in range(3):
        for other in range(3):
            if other != true:
                distance = np.linalg.norm(centres[true] - centres[other])
                often = np.sqrt(COUNTS[other].item() / 100)
                expected[true, other] = CONFUSION[true, other].item() / 100 * often / distance
        expected[true][expected[true] < np.sort(expected[true])[-neighbours]] = 0
    expected = np.minimum(expected / expected[expected > 0].mean(), 5)
    found = confusion_graph(TALLY, COUNTS, neighbours)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    state, _ = ConfusionFeedback(eps=0.1, settings=SETTINGS, every=1).initial(3)
    rule = ConfusionFeedback(eps=0.1, settings=SETTINGS, every=1)
    _, knobs = rule(state, after(1))
    np.testing.assert_allclose(
        knobs["graph"].numpy(), 0.3 * confusion_graph(TALLY, COUNTS, 3).numpy(), rtol=1e-9
    )


def test_an_edge_is_at_most_five_times_the_mean() -> None:
    predicted = torch.full((20, 20), 1)
    predicted[0, 1] = 10_000
    tally = Tally(
        total=predicted.sum(1),
        correct=predicted.diag(),
        sums={"predicted": predicted, "features": torch.eye(20)},
    )
    assert float(confusion_graph(tally, torch.full((20,), 10), 19).max()) == 5


LOGITS, CLASSES = [[1.0, 0.5, 0.0], [0.0, 1.0, 1.5]], [0, 2]
# Hinges with a margin of 0.5: image 0, true logit 1: 0 and 0 (0.5 - 1 + 0.5); image 2, true logit 1.5: 0, 0.
NEAR = [[1.0, 0.75, 0.0], [0.0, 1.25, 1.5]]  # one hinge of 0.25 each, to class 1
GRAPH = of([[0, 2.0, 1.0], [1.0, 0, 1.0], [1.0, 4.0, 0]])


def test_the_loss_is_weighed_and_keeps_a_margin_to_confused_classes() -> None:
    batch = batch_of(LOGITS, CLASSES, weight=of([0.5, 1, 2]), graph=GRAPH, counts=(100, 50, 10))
    balanced = [0.292709, 1.834812]  # AT-BSL's, see test_at_bsl.py
    found = cgr(CgrSettings(), same, batch, adversarial(LOGITS)).per_sample
    assert found.tolist() == pytest.approx([0.5 * balanced[0], 2 * balanced[1]], abs=1e-6)
    with_margin = cgr(CgrSettings(), same, batch, adversarial(NEAR)).per_sample
    without = cgr(CgrSettings(hinge_weight=0), same, batch, adversarial(NEAR)).per_sample
    # 0.05 x weight x edge x 0.25
    assert (with_margin - without).tolist() == pytest.approx([0.05 * 0.5 * 2 * 0.25, 0.05 * 2 * 4 * 0.25])


def test_the_form_of_trades_weighs_what_moves() -> None:
    """Clean cross-entropy as it is, with the prior; KL .619910 .061218 of the logits of test_formulas.py."""
    clean, moved = [[2, 0, -1], [0.5, 1, 0]], [[0.5, 1, 0], [0.2, 1.5, 0]]
    knobs = {"weight": of([0.5, 2, 1]), "beta": of([3.0, 5, 4]), "graph": of([[0.0] * 3] * 3)}
    batch = batch_of(clean, [0, 1], **knobs)
    found = trades_cgr(TradesCgrSettings(), same, batch, adversarial(moved)).per_sample
    assert float(found.mean()) == pytest.approx(
        0.425058 + (0.5 * 3 * 0.619910 + 2 * 5 * 0.061218) / 2, abs=1e-5
    )


def test_it_looks_at_validation_images_under_the_nominal_attack() -> None:
    config = configure("cgr", "cifar10", overrides={"train.epochs": 110})
    (asked,) = parts_of(config).passes
    assert (asked.over, asked.every) == ("validation", 10)
    assert isinstance(asked.attack, AtNominalEps)
    assert asked.attack.eps == config.attack.eps
    assert asked.attack.pgd.steps == 20
    assert asked.attack.pgd.step_size == StepSize(value=0.003 / 0.031, relative=True)
    assert asked.attack.pgd.bn_mode == "eval"
