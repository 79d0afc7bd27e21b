"""IKL's loss and rule, worked out by hand with sums over pairs (example 13, logits of `test_formulas.py`)."""

import pytest
import torch
from torch import Tensor

from cfa.methods import TRAINING, Attacked, Batch, ClassStats, Knobs, Tally, configure, parts_of
from cfa.methods.catalogue.ikl import PREDICTION, IklSettings, MeanPrediction, difference_error, ikl
from tests.methods.test_formulas import ADVERSARIAL, CLASSES, CLEAN

PREDICTIONS = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [0.1, 0.2, 0.7]], dtype=torch.float64)


def batch_of(predictions: Tensor, x: Tensor = CLEAN) -> Batch:
    knobs = Knobs(eps=torch.full((3,), 0.1, dtype=torch.float64), prediction=predictions)
    return Batch(
        x=x,
        y=CLASSES,
        index=torch.arange(2),
        knobs=knobs.at(CLASSES),
        knobs_of_class=knobs,
        class_counts=torch.full((3,), 10),
        whole_y=CLASSES,
    )


def same(x: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize(
    ("predictions", "squared", "total"),
    [
        (torch.full((3, 3), 1 / 3, dtype=torch.float64), 0.374444, 12.365119),
        (PREDICTIONS, 0.359725, 12.070730),
    ],
)
def test_the_loss_of_given_logits(predictions: Tensor, squared: float, total: float) -> None:
    found = difference_error(CLEAN - ADVERSARIAL, predictions[CLASSES]).mean()
    assert float(found) == pytest.approx(squared, abs=1e-6)
    loss = ikl(IklSettings(), same, batch_of(predictions), Attacked(x_adv=ADVERSARIAL))
    assert float(loss.per_sample.mean()) == pytest.approx(total, abs=1e-5)


def test_the_squared_error_is_that_over_all_pairs_of_classes() -> None:
    noise = torch.Generator().manual_seed(0)
    d = torch.randn(5, 7, generator=noise, dtype=torch.float64)
    w = torch.rand(5, 7, generator=noise, dtype=torch.float64)
    pairs = w[:, :, None] * w[:, None, :] * (d[:, :, None] - d[:, None, :]).square()
    expected = pairs.sum((1, 2)) / 4 / w.sum(1).square()
    torch.testing.assert_close(difference_error(d, w), expected)


def test_soft_labels_have_no_gradient_and_the_squared_error_has_that_of_both_sides() -> None:
    """With alpha alone clean logits have the gradient of their cross-entropy, and with beta alone more."""
    attacked = Attacked(x_adv=ADVERSARIAL)
    found = []
    for settings in (IklSettings(beta=0, alpha=0), IklSettings(beta=0), IklSettings(alpha=0)):
        x = CLEAN.clone().requires_grad_()
        loss = ikl(settings, same, batch_of(PREDICTIONS, x), attacked).per_sample.sum()
        found.append(torch.autograd.grad(loss, x)[0])
    torch.testing.assert_close(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


def test_the_rule_takes_the_mean_prediction_of_each_class() -> None:
    """Two images of class 0, one of class 1, none of class 2; temperature 4 in the sums of the loss."""
    total = torch.tensor([2, 1, 0])
    sums = torch.tensor([[1.4, 0.4, 0.2], [0.3, 0.5, 0.2], [0, 0, 0]], dtype=torch.float64)
    seen = {TRAINING: Tally(total=total, correct=total, sums={PREDICTION: sums})}
    rule = MeanPrediction(eps=0.1)
    state, knobs = rule.initial(3)
    assert knobs[PREDICTION].tolist() == [[1 / 3] * 3] * 3
    _, knobs = rule(state, ClassStats(epoch=1, class_counts=total, seen=seen))
    expected = [[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [1 / 3] * 3]
    assert knobs[PREDICTION].tolist() == [pytest.approx(row) for row in expected]


def test_predictions_are_summed_at_their_temperature() -> None:
    """The soft-max of (2, 0, -1) / 4 and (0.5, 1, 0) / 4."""
    loss = ikl(IklSettings(), same, batch_of(PREDICTIONS), Attacked(x_adv=ADVERSARIAL))
    expected = [[0.481024, 0.291756, 0.227220], [0.331604, 0.375757, 0.292639]]
    assert loss.sums[PREDICTION].tolist() == [pytest.approx(row, abs=1e-5) for row in expected]


def test_eps_grows_to_the_nominal_one_in_the_last_epoch() -> None:
    overrides = {"method.eps_grows": True, "train.epochs": 4, "attack.eps": 0.08}
    config = configure("ikl", "tiny", model="small-cnn", preset="demo", overrides=overrides)
    rule = parts_of(config).rule
    state, knobs = rule.initial(3)
    found = [float(knobs["eps"][0])]
    total = torch.full((3,), 3)
    seen = {TRAINING: Tally(total=total, correct=total, sums={PREDICTION: 3 * PREDICTIONS})}
    for epoch in (1, 2, 3):
        state, knobs = rule(state, ClassStats(epoch=epoch, class_counts=total, seen=seen))
        found.append(float(knobs["eps"][0]))
    assert found == pytest.approx([0.02, 0.04, 0.06, 0.08])
    assert knobs[PREDICTION].tolist() == [pytest.approx(row) for row in PREDICTIONS.tolist()]
