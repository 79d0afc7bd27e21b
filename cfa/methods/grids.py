"""Several runs asked for at once: every method, every combination of settings, every seed."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cfa.config import RunConfig
from cfa.errors import ConfigError
from cfa.methods.configuring import configure, settings_of

MOST_RUNS = 10_000
"""Of one grid; every one of them is configured before the first begins."""


@dataclass(frozen=True)
class GridRun:
    """One run of a grid.

    Attributes:
        config: Its configuration.
        variant: Those of its settings that have several values in the grid, with its own.
    """

    config: RunConfig
    variant: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Runs on one data set; a command, a page, a suite and a script ask for them so.

    Of a setting a list is several values, and so is a text with commas: ``"0.3, 0.5"``.

    Attributes:
        methods: Names of methods.
        dataset: A data set's name.
        model: A network's name; by default the data set's usual one.
        preset: A preset's name; by default the network's usual one.
        seeds: Seeds of weights, order and noise.
        settings: By dotted name; a method without a setting goes without it.
        by_method: Over ``settings`` for one method, which must have them.
        init: By method, the run or weights file that its runs start from.
        teacher: By method, the run or weights file that its runs learn from.
    """

    methods: tuple[str, ...]
    dataset: str
    model: str | None = None
    preset: str | None = None
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] = field(default_factory=dict)
    by_method: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    init: Mapping[str, str] = field(default_factory=dict)
    teacher: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many runs are asked for, those that come out alike counted each time."""
        return self._size_of({method: self._values(method) for method in self.methods})

    def runs(self) -> list[GridRun]:
        """Build every run once, seeds innermost: ``20,20`` is one value.

        Raises:
            ConfigError: There are more than :data:`MOST_RUNS`.
            CfaError: As :func:`configure` does.
        """
        several = {method: self._values(method) for method in self.methods}
        if (size := self._size_of(several)) > MOST_RUNS:
            raise ConfigError(
                f"{size:,} runs are asked for, and {MOST_RUNS:,} at most at once; name fewer values"
            )
        found: dict[str, GridRun] = {}
        for method, values in several.items():
            for combination in itertools.product(*values.values()):
                overrides = dict(zip(values, combination, strict=True))
                variant = {name: value for name, value in overrides.items() if len(values[name]) > 1}
                for seed in self.seeds:
                    config = self._configured(method, seed, overrides)
                    found.setdefault(config.key(), GridRun(config, variant))
        return list(found.values())

    def configs(self) -> list[RunConfig]:
        """Build the configuration of every run."""
        return [run.config for run in self.runs()]

    def _size_of(self, several: Mapping[str, Mapping[str, list[Any]]]) -> int:
        return len(self.seeds) * sum(math.prod(map(len, values.values())) for values in several.values())

    def _configured(self, method: str, seed: int, overrides: Mapping[str, Any]) -> RunConfig:
        return configure(
            method,
            self.dataset,
            model=self.model,
            preset=self.preset,
            seed=seed,
            init=self.init.get(method),
            teacher=self.teacher.get(method),
            overrides=overrides,
        )

    def _values(self, method: str) -> dict[str, list[Any]]:
        """List all values of each setting of a method's runs."""
        known = settings_of([method])
        usable = {name: given for name, given in self.settings.items() if name in known}
        return {name: _several(given) for name, given in {**usable, **self.by_method.get(method, {})}.items()}


def _several(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [part.strip() for part in given.split(",")]
    return given if isinstance(given, list) else [given]
