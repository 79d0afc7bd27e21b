"""Controls: networks that only train on, as long and as fast as a method that goes on from them."""

from typing import Any

from cfa.config import RunConfig

SHARED = ("attack", "averaging", "data", "optimizer", "train")
"""Groups of settings that a control has from the method that it stands beside."""


def control_of(config: RunConfig, start: RunConfig | None) -> RunConfig:
    """Configure the control of a run: the loss of its start, all classes alike, otherwise as that run.

    Where the two losses have different scales (TRADES divides by 1 + beta, others add up), rate and weight
    decay make up for it: each step goes as far as one of the run does.

    Args:
        config: Of a run whose method fine-tunes a trained network.
        start: Of the run that it starts from; without one the method's plain version is its loss.
    """
    from cfa.methods import METHODS, configure

    method = start.method if start else METHODS[config.method].compared_with
    shared = {name: value for name, value in config.flat().items() if name.partition(".")[0] in SHARED}
    own = {f"method.{name}": value for name, value in start.method_settings.items()} if start else {}
    identity: dict[str, Any] = {"model": config.model, "preset": config.preset, "seed": config.seed}
    control = configure(method, config.dataset, **identity, init=config.init, overrides=shared | own)
    factor = _loss_scale(config) / _loss_scale(control)
    optimizer = config.optimizer
    steps = {
        "optimizer.lr": optimizer.lr * factor,
        "optimizer.weight_decay": optimizer.weight_decay / factor,
    }
    return configure(method, config.dataset, **identity, init=config.init, overrides=shared | own | steps)


def _loss_scale(config: RunConfig) -> float:
    from cfa.methods import METHODS, validated_settings

    method = METHODS[config.method]
    return method.loss_scale(validated_settings(method, config))
