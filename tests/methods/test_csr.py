"""CSR against the numbers of its formulas, computed apart from this project (methods2, example 7)."""

from typing import Any

import pytest
import torch

from cfa.methods import ClassStats, Tally, configure, parts_of
from cfa.methods.catalogue.csr import CONFUSION, PREDICTED, WEIGHT, SpectralWeights, spectral_weights
from tests.support.worked import adversarial, batch_of, of, same

ERRORS = [[0, 30, 5], [50, 0, 10], [5, 20, 0]]  # predicted class by true class
WEIGHTS = [[0.148220, 0.01, 0.026408], [2.01, 0.192013, 0.407822], [0.264284, 0.021347, 0.050185]]


def test_pairs_weigh_by_the_largest_singular_direction() -> None:
    found = spectral_weights(of(ERRORS))
    assert found.flatten().tolist() == pytest.approx(of(WEIGHTS).flatten().tolist(), abs=1e-5)
    assert float(torch.linalg.matrix_norm(of(ERRORS), 2)) == pytest.approx(51.35376, abs=1e-5)


def test_an_even_direction_weighs_all_alike() -> None:
    """Three classes that are taken for one another equally often: its direction is the same for all pairs."""
    assert spectral_weights(7 * (1 - torch.eye(3, dtype=torch.float64))).tolist() == [[1.0] * 3] * 3


def after(counted: list[list[int]]) -> ClassStats:
    """What a pass has counted: true class by predicted class, those that were right included."""
    total = torch.tensor(counted).sum(dim=1)
    seen = {CONFUSION: Tally(total=total, correct=total, sums={PREDICTED: torch.tensor(counted)})}
    return ClassStats(epoch=1, class_counts=total, seen=seen)


def test_the_rule_weighs_what_was_counted() -> None:
    rule = SpectralWeights(eps=0.1)
    state, knobs = rule.initial(3)
    assert knobs[WEIGHT].tolist() == [[1.0] * 3] * 3
    _, knobs = rule(state, after([[45, 50, 5], [30, 50, 20], [5, 10, 85]]))
    assert knobs[WEIGHT].T.flatten().tolist() == pytest.approx(of(WEIGHTS).flatten().tolist(), abs=1e-5)
    _, knobs = rule(state, after([[45, 0, 0], [0, 50, 0], [0, 0, 85]]))
    assert knobs[WEIGHT].tolist() == [[1.0] * 3] * 3


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"method.correct_too": True}, 1.743303),  # as coded
        ({}, 1.783933),  # without the second image's .3 x .192013 (ln .192013 + CE) / 2, which is right
        ({"method.correct_too": True, "method.divided": True}, 1.743303 / 7),
    ],
)
def test_the_loss_of_one_confused_image_and_one_that_is_right(
    settings: dict[str, Any], expected: float
) -> None:
    objective = parts_of(configure("csr", "tiny", preset="demo", overrides=settings)).objective
    batch = batch_of([[1, 0.5, 0], [0, 3, 0]], [0, 1], **{WEIGHT: of(WEIGHTS).T})
    loss = objective(same, batch, adversarial([[0, 1, 0], [0, 2, 0]])).per_sample.mean()
    assert float(loss) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("signed", "expected"),
    [(False, [[0, 2, 0], [0, 1, 0], [1, 0, 0]]), (True, [[0, 2, 0], [0, 1, 0], [0, 0, 1]])],
)
def test_true_logits_are_lowered_by_a_tenth_of_their_size(signed: bool, expected: list[list[int]]) -> None:
    """2 is lowered to 1.8, below 1.9, and -2 to -2.2, below -2.1; by a tenth of itself it is raised."""
    config = configure("csr", "tiny", preset="demo", overrides={"method.signed_margin": signed})
    (asked,) = parts_of(config).passes
    assert (asked.over, asked.from_epoch) == ("training", 0)
    assert (asked.attack.pgd.loss, asked.attack.pgd.start) == ("cross-entropy", "uniform")
    logits = [[2, 1.9, 0], [0, 1, 0.5], [-2.1, -3, -2.0], [1, 1.5, 0]]
    y = [0, 1, 2, 0]
    sums = asked.objective(same, batch_of(logits, y), adversarial(logits)).sums[PREDICTED]
    found = [
        sum(one.int() for one, k in zip(sums, y, strict=True) if k == true).tolist() for true in range(3)
    ]
    assert found == expected


def test_from_scratch_confusions_are_counted_from_epoch_1_on() -> None:
    (asked,) = parts_of(configure("csr-scratch", "tiny", preset="demo")).passes
    assert asked.from_epoch == 1
