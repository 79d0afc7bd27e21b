"""Attack losses against scipy and numbers worked out by hand."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from cfa.attacks import LOSSES, kl_divergence
from cfa.attacks.geometry import l2_norm, per_sample

GENERATOR = torch.Generator().manual_seed(0)
CLEAN = torch.randn(7, 5, generator=GENERATOR, dtype=torch.float64) * 3
LOGITS = torch.randn(7, 5, generator=GENERATOR, dtype=torch.float64) * 3
Y = torch.randint(5, (7,), generator=GENERATOR)


def test_kl_is_that_of_clean_to_adversarial_predictions() -> None:
    p, q = (scipy.special.softmax(z.numpy(), axis=1) for z in (CLEAN, LOGITS))
    expected = scipy.stats.entropy(p, q, axis=1)  # sum p log(p / q)
    found = kl_divergence(torch.log_softmax(CLEAN, 1), LOGITS)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
    through_the_table = LOSSES["kl"](lambda x: CLEAN, CLEAN, Y)(LOGITS)
    np.testing.assert_allclose(through_the_table.numpy(), expected, rtol=1e-10)


def test_cross_entropy_per_sample() -> None:
    expected = -scipy.special.log_softmax(LOGITS.numpy(), axis=1)[np.arange(7), Y.numpy()]
    np.testing.assert_allclose(LOSSES["cross-entropy"](lambda x: x, CLEAN, Y)(LOGITS).numpy(), expected)


@pytest.mark.parametrize(
    ("logits", "y", "margin"), [([3.0, 1.0, 2.0], 0, -1.0), ([3.0, 1.0, 2.0], 1, 2.0), ([1.0, 1.0], 1, 0.0)]
)
def test_margin_is_the_largest_wrong_logit_minus_the_true_one(
    logits: list[float], y: int, margin: float
) -> None:
    loss = LOSSES["margin"](lambda x: x, torch.zeros(1), torch.tensor([y]))
    assert loss(torch.tensor([logits])).tolist() == [margin]


def test_certain_predictions_give_no_nan() -> None:
    certain = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    found = kl_divergence(torch.log_softmax(certain, 1), certain.flip(1))
    assert torch.isfinite(found).all()
    assert found.tolist() == [1000.0, 1000.0]


@pytest.mark.parametrize("value", [0.5, torch.tensor(0.5), torch.tensor([0.5, 1.0, 2.0])])
def test_a_number_or_one_per_sample_broadcasts_over_images(value: float | torch.Tensor) -> None:
    batch = torch.ones(3, 2, 4, 4)
    scaled = per_sample(value, batch) * batch
    assert scaled.shape == batch.shape
    expected = [0.5, 1.0, 2.0] if torch.is_tensor(value) and value.ndim else [0.5] * 3
    assert scaled.amax((1, 2, 3)).tolist() == scaled.amin((1, 2, 3)).tolist() == expected


def test_l2_norm_equals_numpy() -> None:
    delta = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(2))
    expected = [np.linalg.norm(d.numpy().ravel()) for d in delta]
    np.testing.assert_allclose(l2_norm(delta).flatten().numpy(), expected, rtol=1e-6)
    assert l2_norm(delta).shape == (4, 1, 1, 1)
