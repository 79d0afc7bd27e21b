"""Losses of whole steps against formulas written out in numpy, and where gradients flow."""

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F
from torch import nn

from cfa.methods import METHODS
from cfa.methods.objectives import adversarial_cross_entropy, trades
from tests.support.networks import batch_norm_network, images_and_labels


def softmax(z: torch.Tensor) -> np.ndarray:
    return scipy.special.softmax(z.detach().double().numpy(), axis=1)


def test_trades_is_cross_entropy_and_kl_per_sample() -> None:
    model, (x, y) = batch_norm_network().eval(), images_and_labels()
    x_adv = (x + 0.1).clamp(0, 1)
    terms = trades(model, x, x_adv, y)
    p, q = softmax(model(x)), softmax(model(x_adv))
    assert terms.clean is not None
    np.testing.assert_allclose(
        terms.clean.detach().numpy(), -np.log(p[np.arange(len(y)), y.numpy()]), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        terms.robust.detach().numpy(), (p * np.log(p / q)).sum(1), rtol=1e-3, atol=1e-6
    )
    assert torch.equal(terms.logits_adv, model(x_adv))


def test_the_gradient_of_trades_is_that_of_the_official_loss() -> None:
    """Formula of PKU-ML/CFA: sum[(1 - w) CE + w KL] / B, where the KL's target keeps its gradient."""
    model, (x, y) = batch_norm_network().train(), images_and_labels()
    x_adv, w = (x - 0.07).clamp(0, 1), torch.tensor([0.2, 0.5, 0.9, 6 / 7])[y]
    terms = trades(model, x, x_adv, y)
    loss = (terms.clean * (1 - w) + terms.robust * w).mean()
    found = torch.autograd.grad(loss, list(model.parameters()))

    clean, robust = model(x), model(x_adv)
    kl = nn.KLDivLoss(reduction="none")(F.log_softmax(robust, dim=1), F.softmax(clean, dim=1)).sum(1)
    official = ((1 - w) * F.cross_entropy(clean, y, reduction="none") + w * kl).sum() / len(x)
    expected = torch.autograd.grad(official, list(model.parameters()))
    torch.testing.assert_close(loss, official)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_adversarial_training_has_no_clean_term_and_makes_one_pass() -> None:
    model, (x, y) = batch_norm_network().train(), images_and_labels()
    x_adv = (x + 0.1).clamp(0, 1)
    terms = adversarial_cross_entropy(model, x, x_adv, y)
    assert terms.clean is None
    assert int(model[1].num_batches_tracked) == 1
    expected = scipy.special.log_softmax(terms.logits_adv.detach().double().numpy(), axis=1)
    np.testing.assert_allclose(
        terms.robust.detach().numpy(), -expected[np.arange(len(y)), y.numpy()], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("method", METHODS)
def test_equal_images_have_no_robust_term_beyond_the_clean_one(method: str) -> None:
    model, (x, y) = batch_norm_network().eval(), images_and_labels()
    terms = METHODS[method].objective(model, x, x, y)
    if terms.clean is None:
        torch.testing.assert_close(terms.robust, F.cross_entropy(model(x), y, reduction="none"))
    else:
        assert terms.robust.abs().max() < 1e-6
