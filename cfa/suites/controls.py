"""Controls: networks that only train on, as long and as fast as a method that goes on from them."""

from cfa.config import RunConfig

SHARED = ("attack", "averaging", "data", "optimizer", "train")
"""Groups of settings that a control has from the method that it stands beside."""


def control_of(config: RunConfig, start: RunConfig | None) -> RunConfig:
    """Configure the control of a run: the loss of its start, all classes alike, otherwise as that run.

    Args:
        config: Of a run whose method fine-tunes a trained network.
        start: Of the run that it starts from; without one the method's plain version is its loss.
    """
    from cfa.methods import METHODS, configure

    method = start.method if start else METHODS[config.method].compared_with
    shared = {name: value for name, value in config.flat().items() if name.partition(".")[0] in SHARED}
    own = {f"method.{name}": value for name, value in start.method_settings.items()} if start else {}
    return configure(
        method,
        config.dataset,
        model=config.model,
        preset=config.preset,
        seed=config.seed,
        init=config.init,
        overrides=shared | own,
    )
