"""What an attack maximises: each builder sees the clean batch once and gives a loss per sample."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Model = Callable[[Tensor], Tensor]
SampleLoss = Callable[[Tensor], Tensor]  # logits (batch, classes) -> loss (batch,)
AttackLoss = Callable[[Model, Tensor, Tensor], SampleLoss]  # (model, x, y) -> SampleLoss


def cross_entropy(model: Model, x: Tensor, y: Tensor) -> SampleLoss:
    """Attack the cross-entropy (Madry et al. 2018)."""
    return lambda logits: F.cross_entropy(logits, y, reduction="none")


def kl_to_clean(model: Model, x: Tensor, y: Tensor) -> SampleLoss:
    """Attack KL(f(x) || f(x_adv)) (TRADES, Zhang et al. 2019, eq. 3); f(x) is computed once."""
    with torch.no_grad():
        clean = F.log_softmax(model(x), dim=1)
    return lambda logits: kl_divergence(clean, logits)


def margin(model: Model, x: Tensor, y: Tensor) -> SampleLoss:
    """Attack the margin: largest wrong logit minus the true one (Carlini and Wagner 2017)."""

    def loss(logits: Tensor) -> Tensor:
        true = F.one_hot(y, logits.shape[1]).bool()
        wrong = logits.masked_fill(true, -torch.inf).amax(dim=1)
        return wrong - logits.gather(1, y[:, None]).squeeze(1)

    return loss


def kl_divergence(clean_log_probabilities: Tensor, logits: Tensor) -> Tensor:
    """Return KL(p || softmax(logits)) per sample for log p of shape (batch, classes)."""
    log_q = F.log_softmax(logits, dim=1)
    return F.kl_div(log_q, clean_log_probabilities, reduction="none", log_target=True).sum(dim=1)


LOSSES: dict[str, AttackLoss] = {
    "cross-entropy": cross_entropy,
    "kl": kl_to_clean,
    "margin": margin,
}
