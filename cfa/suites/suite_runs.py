"""The runs that a suite asks for: every data set and method, every combination of settings, every seed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cfa.config import RunConfig
from cfa.errors import ConfigError
from cfa.registry import unknown
from cfa.suites.suite import Suite
from cfa.suites.words import MOST_RUNS


@dataclass(frozen=True)
class SuiteRun:
    """One run that a suite asks for.

    Attributes:
        config: Its configuration; ``init`` is still empty where it starts from another run of the suite.
        variant: Those of its settings that are a grid in the suite.
        starts_from: The run of the suite that it starts from.
    """

    config: RunConfig
    variant: Mapping[str, Any]
    starts_from: "SuiteRun | None" = None


def runs_of(suite: Suite) -> list[SuiteRun]:
    """List the runs: every data set and method, every combination of settings, every seed."""
    _refuse_unused_settings(suite)
    _refuse_too_many_runs(suite)
    found: dict[str, SuiteRun] = {}
    for dataset in suite.datasets:
        for method in _methods_in_order(suite):
            for config, variant in _configurations(suite, dataset, method):
                start = _start(suite, found.values(), config, variant)
                key = config.key() + (start.config.key() if start else "")
                found.setdefault(key, SuiteRun(config, variant, start))
    return list(found.values())


def _configurations(suite: Suite, dataset: str, method: str) -> Iterable[tuple[RunConfig, dict[str, Any]]]:
    from cfa.methods import configure, grid

    listed = _listed_settings(suite, dataset, method)
    source = suite.init.get(method)
    for overrides in grid(listed):
        for seed in suite.seeds:
            config = configure(
                method,
                dataset,
                model=suite.model,
                preset=suite.preset,
                seed=seed,
                init=None if source in suite.methods else source,
                overrides=overrides,
            )
            yield config, {key: overrides[key] for key in listed if len(listed[key]) > 1}


def _listed_settings(suite: Suite, dataset: str, method: str) -> dict[str, list[Any]]:
    """Return the settings of a method's runs on a data set, each with all the values that it takes."""
    from cfa.methods import settings_of

    known = settings_of([method])
    common = {**suite.settings, **suite.by_dataset.get(dataset, {})}
    usable = {key: value for key, value in common.items() if key in known}
    usable |= suite.by_method.get(method, {})
    return {key: value if isinstance(value, list) else [value] for key, value in usable.items()}


def _refuse_too_many_runs(suite: Suite) -> None:
    combinations = (
        math.prod(map(len, _listed_settings(suite, dataset, method).values()))
        for dataset in suite.datasets
        for method in suite.methods
    )
    runs = sum(combinations) * len(suite.seeds)
    if runs == 0:
        raise ConfigError("the suite asks for no run: a setting has an empty list of values; give it one")
    if runs > MOST_RUNS:
        raise ConfigError(f"the suite asks for {runs:,} runs; split it, {MOST_RUNS:,} are the most")


def _start(
    suite: Suite, found: Iterable[SuiteRun], config: RunConfig, variant: Mapping[str, Any]
) -> SuiteRun | None:
    """Find the run of the suite that another starts from: same data set, seed, and settings of the grid."""
    source = suite.init.get(config.method)
    if source not in suite.methods:
        return None
    wanted = (source, config.dataset, config.seed)
    able = [
        run
        for run in found
        if (run.config.method, run.config.dataset, run.config.seed) == wanted
        and all(run.variant.get(key, value) == value for key, value in variant.items())
    ]
    if len(able) != 1:
        raise ConfigError(
            f"init.{config.method}={source!r} fits {len(able)} runs of seed {config.seed}; "
            "it has to be one, so leave out the grid of settings"
        )
    return able[0]


def _methods_in_order(suite: Suite) -> list[str]:
    """Order the methods so that a run comes after the one that it starts from."""
    order: list[str] = []
    left = list(suite.methods)
    while left:
        ready = [method for method in left if suite.init.get(method) not in left]
        if not ready:
            raise ConfigError(f"init: {', '.join(left)} start from each other; let one start without")
        order += ready
        left = [method for method in left if method not in ready]
    return order


def _refuse_unused_settings(suite: Suite) -> None:
    from cfa.methods import METHODS, settings_of

    usable, everything = settings_of(suite.methods), settings_of(METHODS)
    for key in [*suite.settings, *(key for given in suite.by_dataset.values() for key in given)]:
        if key in usable:
            continue
        if key in everything:
            raise ConfigError(f"none of the suite's methods has {key}; leave it out")
        raise ConfigError(str(unknown("setting", key, list(usable))))
