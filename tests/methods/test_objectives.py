"""Losses of whole steps against formulas written out in numpy, and where gradients flow."""

import numpy as np
import scipy.special
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfa.methods import Attacked, Batch, Knobs
from cfa.methods.catalogue.pgd_at import adversarial_cross_entropy
from cfa.methods.catalogue.trades import clean_and_robust, trades
from tests.support.networks import batch_norm_network, images_and_labels


def softmax(z: torch.Tensor) -> np.ndarray:
    return scipy.special.softmax(z.detach().double().numpy(), axis=1)


def batch_of(x: Tensor, y: Tensor, **knobs: Tensor) -> Batch:
    of_class = Knobs(eps=torch.full((4,), 0.1), **knobs)
    return Batch(
        x=x,
        y=y,
        index=torch.arange(len(y)),
        knobs=of_class.at(y),
        knobs_of_class=of_class,
        class_counts=torch.full((4,), 10),
        whole_y=y,
    )


def test_trades_is_cross_entropy_and_kl_per_sample() -> None:
    model, (x, y) = batch_norm_network().eval(), images_and_labels()
    x_adv = (x + 0.1).clamp(0, 1)
    clean, robust, logits_adv = clean_and_robust(model, batch_of(x, y), Attacked(x_adv=x_adv))
    p, q = softmax(model(x)), softmax(model(x_adv))
    np.testing.assert_allclose(
        clean.detach().numpy(), -np.log(p[np.arange(len(y)), y.numpy()]), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(robust.detach().numpy(), (p * np.log(p / q)).sum(1), rtol=1e-3, atol=1e-6)
    assert torch.equal(logits_adv, model(x_adv))


def test_the_gradient_of_trades_is_that_of_the_official_loss() -> None:
    """Formula of PKU-ML/CFA: sum[(1 - w) CE + w KL] / B, where the KL's target keeps its gradient."""
    model, (x, y) = batch_norm_network().train(), images_and_labels()
    of_class = torch.tensor([0.2, 0.5, 0.9, 6 / 7])
    x_adv, w = (x - 0.07).clamp(0, 1), of_class[y]
    batch = batch_of(x, y, clean_weight=1 - of_class, robust_weight=of_class)
    loss = trades(model, batch, Attacked(x_adv=x_adv)).per_sample.mean()
    found = torch.autograd.grad(loss, list(model.parameters()))

    clean, robust = model(x), model(x_adv)
    kl = nn.KLDivLoss(reduction="none")(F.log_softmax(robust, dim=1), F.softmax(clean, dim=1)).sum(1)
    official = ((1 - w) * F.cross_entropy(clean, y, reduction="none") + w * kl).sum() / len(x)
    expected = torch.autograd.grad(official, list(model.parameters()))
    torch.testing.assert_close(loss, official)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_adversarial_training_makes_one_pass() -> None:
    model, (x, y) = batch_norm_network().train(), images_and_labels()
    x_adv = (x + 0.1).clamp(0, 1)
    loss = adversarial_cross_entropy(model, batch_of(x, y), Attacked(x_adv=x_adv))
    assert int(model[1].num_batches_tracked) == 1
    expected = scipy.special.log_softmax(loss.logits_adv.detach().double().numpy(), axis=1)
    np.testing.assert_allclose(
        loss.per_sample.detach().numpy(), -expected[np.arange(len(y)), y.numpy()], rtol=1e-4, atol=1e-6
    )
