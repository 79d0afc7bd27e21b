"""AWP: gradients are taken at weights that were moved uphill; a wrapper around any method.

Wu et al., Adversarial Weight Perturbation Helps Robust Generalization, NeurIPS 2020. The authors' code
(csdongxian/AWP) finds the direction with one step of SGD, without momentum, of a copy of the network, so that
BatchNorm's statistics see nothing of it. That step's rate (0.01 and 0.1 there) falls out, because the step
is scaled to a share of the weights' length. Weight decay is that of the moved weights, as theirs is: they
move back after the optimiser's step. They move parameters of more than one dimension that are called weight;
here, all of more than one dimension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.catalogue.pgd_at import PGD_AT
from cfa.methods.catalogue.trades import TRADES, TradesSettings
from cfa.methods.epochs import Epochs, epochs_of
from cfa.methods.interface import AddGradients, Gradients, KnobLabel, Method, NoSettings
from cfa.methods.knobs import Knobs
from cfa.methods.rules import OverEpochs, Rule
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor, nn

GAMMA = "awp_gamma"
_SHORTEST = 1e-20  # a gradient of zeros moves nothing


class AwpSettings(Settings):
    """How far weights are moved, and from when on."""

    awp_gamma: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.005, description="AWP: how far weights are moved, as a share of each tensor's length."
    )
    awp_start: Epochs = Field(
        default=10 / 200, description="AWP: the first epoch in which weights are moved; or a share of all."
    )


class PgdAtAwpSettings(AwpSettings, NoSettings):
    """PGD-AT with AWP."""


class TradesAwpSettings(AwpSettings, TradesSettings):
    """TRADES with AWP."""


def at_perturbed_weights(weight_decay: float) -> Gradients:
    """Build what takes gradients at w + gamma |w| g / |g| per tensor, g the gradient at w.

    Args:
        weight_decay: The optimiser's, whose share of the gradient is to be that of the moved weights.
    """

    def gradients(networks: Sequence[nn.Module], add_gradients: AddGradients, knobs: Knobs) -> Tensor:
        import torch

        gamma = knobs[GAMMA][0]
        buffers = [(buffer, buffer.clone()) for network in networks for buffer in network.buffers()]
        add_gradients()
        with torch.no_grad():
            kept = _moved_uphill(networks[0], gamma)
            for buffer, before in buffers:  # the way uphill leaves BatchNorm's statistics as they were
                buffer.copy_(before)
        for network in networks:
            network.zero_grad(set_to_none=True)
        loss = add_gradients()
        with torch.no_grad():
            for weight, before in kept:
                if weight.grad is not None:
                    weight.grad.add_(weight - before, alpha=weight_decay)
                weight.copy_(before)
        return loss

    return gradients


def _moved_uphill(model: nn.Module, gamma: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Move a model's matrices and kernels along their gradients; return each with what it was."""
    kept: list[tuple[Tensor, Tensor]] = []
    for weight in model.parameters():
        if weight.ndim > 1 and weight.grad is not None:
            kept.append((weight, weight.clone()))
            length = gamma * weight.norm() / (weight.grad.norm() + _SHORTEST)
            weight.add_(length.to(weight.dtype) * weight.grad)
    return kept


def with_awp(method: Method[Any], settings: type[Settings], **more: Any) -> Method[Any]:
    """Return a method whose gradients are taken at perturbed weights.

    Args:
        method: Any one that takes its gradients at the weights.
        settings: A class made of the method's own settings and `AwpSettings`.
        more: Attributes of the new method: its name, summary, presets.
    """

    def rule(settings: Any, config: RunConfig) -> Rule:
        start = epochs_of(settings.awp_start, config)
        base = method.rule(settings, config)
        return OverEpochs(base, GAMMA, lambda epoch: settings.awp_gamma if epoch >= start else 0.0)

    own: Mapping[str, Any] = {
        "title": f"{method.title} + AWP",
        "source": "Wu et al., Adversarial Weight Perturbation Helps Robust Generalization, NeurIPS 2020",
        "year": 2020,
        "plain": method.name,
        "rule": rule,
        "forward": replace(method.forward, times=2),
        "gradients": lambda settings, config: at_perturbed_weights(config.optimizer.weight_decay),
        "knobs": {
            **method.knobs,
            GAMMA: KnobLabel(
                label="AWP's gamma", summary="how far weights are moved; the same for every class"
            ),
        },
        "official_arguments": {},
    }
    return replace(method.taking(settings), **{**own, **more})


_SCHEDULE = {
    "attack.eps": 8 / 255,
    "attack.steps": 10,
    "attack.step_size": 2 / 255,
    "optimizer.milestones": (0.5, 0.75),
    "train.epochs": 200,
}
OFFERED: tuple[Method[Any], ...] = (
    with_awp(
        PGD_AT,
        PgdAtAwpSettings,
        name="pgd-at-awp",
        summary="PGD-AT at weights that are moved uphill first (Wu et al. 2020)",
        values={"method.awp_gamma": 0.01, "method.awp_start": 1},
        presets={"authors": {**_SCHEDULE, "optimizer.lr": 0.1, "optimizer.weight_decay": 5e-4}},
    ),
    with_awp(
        TRADES,
        TradesAwpSettings,
        name="trades-awp",
        summary="TRADES at weights that are moved uphill first (Wu et al. 2020)",
        presets={
            **TRADES.presets,
            # Their loss is CE + 6 KL, ours that over 7: with seven times the rate and a seventh of the weight
            # decay SGD takes the steps that theirs takes at 0.1 and 0.0005.
            "authors": {
                **_SCHEDULE,
                "method.beta": 6.0,
                "optimizer.lr": 0.7,
                "optimizer.weight_decay": 5e-4 / 7,
            },
        },
    ),
)
