"""Several runs asked for at once: every combination of the values given for settings, with every seed."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cfa.config import RunConfig
from cfa.methods.configuring import configure


def grid(overrides: Mapping[str, str | Sequence[str]]) -> list[dict[str, Any]]:
    """Expand settings with several values, ``"0.3,0.5"`` or a list, into one dictionary per combination."""
    choices = [
        [part.strip() for part in value.split(",")] if isinstance(value, str) else list(value)
        for value in overrides.values()
    ]
    return [dict(zip(overrides, combination, strict=True)) for combination in itertools.product(*choices)]


def configure_grid(
    method: str,
    dataset: str,
    *,
    seeds: Iterable[int],
    overrides: Mapping[str, str | Sequence[str]],
    model: str | None = None,
    preset: str | None = None,
    init: str | None = None,
) -> list[RunConfig]:
    """Build a configuration for each seed and combination of settings, each once: ``20,20`` is one value.

    Args:
        method: See :func:`configure`, as of the rest.
        dataset: A data set's name.
        seeds: Seeds of weights, order and noise.
        overrides: Settings by dotted name, with several values as :func:`grid` reads them.
        model: A network's name.
        preset: A preset's name.
        init: A run or a weights file to start from.

    Raises:
        CfaError: As :func:`configure` does.
    """
    configs = [
        configure(method, dataset, model=model, preset=preset, seed=seed, init=init, overrides=chosen)
        for seed in seeds
        for chosen in grid(overrides)
    ]
    return list({config.key(): config for config in configs}.values())
