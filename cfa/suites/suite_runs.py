"""The runs that a suite asks for: every data set and method, every combination of settings, every seed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from cfa.config import RunConfig
from cfa.errors import ConfigError
from cfa.registry import unknown
from cfa.suites.controls import control_of
from cfa.suites.suite import ExtraRow, Suite
from cfa.suites.words import MOST_RUNS

if TYPE_CHECKING:
    from cfa.methods import Grid, GridRun


@dataclass(frozen=True)
class SuiteRun:
    """One run that a suite asks for.

    Attributes:
        config: Its configuration; ``init`` and ``teacher`` are still empty where they are runs of the suite.
        variant: Those of its settings that are a grid in the suite.
        starts_from: The run of the suite that it starts from.
        learns_from: The run of the suite that is its teacher.
        control_of: The method that it is the control of; empty where it is none.
    """

    config: RunConfig
    variant: Mapping[str, Any]
    starts_from: "SuiteRun | None" = None
    learns_from: "SuiteRun | None" = None
    control_of: str = ""

    @property
    def key(self) -> str:
        """Tell it from other runs of the suite."""
        parts = (self.config, *(one.config for one in (self.starts_from, self.learns_from) if one))
        return " ".join(config.key() for config in parts)


def runs_of(suite: Suite) -> list[SuiteRun]:
    """List the runs: every data set and method, every combination of settings, every seed, and extra rows."""
    _refuse_unused_settings(suite)
    _refuse_sources(suite)
    _refuse_too_many_runs(suite)
    found: dict[str, SuiteRun] = {}
    for dataset in suite.datasets:
        for run in _grid(suite, dataset).runs():
            for made in _with_control(suite, found.values(), run):
                found.setdefault(made.key, made)
        of_the_table = list(found.values())  # what an extra row is made from
        for run in _extra_runs(suite, dataset):
            for made in _with_control(suite, of_the_table, run):
                if made.key in found and not made.control_of:
                    raise ConfigError(
                        f"also: {made.config.method} with these settings is a row of the suite anyway; "
                        "leave it out"
                    )
                found.setdefault(made.key, made)
    return list(found.values())


def _with_control(suite: Suite, found: Iterable[SuiteRun], run: "GridRun") -> Iterator[SuiteRun]:
    """Give a run, made from those that it names, and its control where the suite wants one."""
    from cfa.methods import METHODS

    start, teacher = (_source(suite, setting, found, run) for setting in ("init", "teacher"))
    yield SuiteRun(run.config, run.variant, start, teacher)
    if suite.controls and METHODS[run.config.method].fine_tunes:
        control = control_of(run.config, start.config if start else None)
        yield SuiteRun(control, run.variant, start, control_of=run.config.method)


def _extra_runs(suite: Suite, dataset: str) -> Iterator["GridRun"]:
    """Give the runs of the extra rows on a data set, which are told apart by the settings of their row."""
    for row in suite.also:
        for run in _grid(suite, dataset, row).runs():
            yield replace(run, variant={**row.settings, **run.variant})


def _grid(suite: Suite, dataset: str, row: ExtraRow | None = None) -> "Grid":
    """Say what a suite, or an extra row of it, asks for; what is made from a run is made from nothing yet."""
    from cfa.methods import Grid

    by_method = suite.by_method
    if row is not None:
        by_method = {row.method: {**suite.by_method.get(row.method, {}), **row.settings}}
    return Grid(
        methods=tuple(_methods_in_order(suite)) if row is None else (row.method,),
        dataset=dataset,
        model=suite.model,
        preset=suite.preset,
        seeds=suite.seeds,
        settings=_in_lists({**suite.settings, **suite.by_dataset.get(dataset, {})}),
        by_method={method: _in_lists(settings) for method, settings in by_method.items()},
        init={method: source for method, source in suite.init.items() if source not in suite.methods},
        teacher={method: name for method, name in suite.teacher.items() if name not in suite.methods},
    )


def _in_lists(settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Write every setting as a list of values: a text of a suite is one, whatever is in it."""
    return {name: given if isinstance(given, list) else [given] for name, given in settings.items()}


def _refuse_too_many_runs(suite: Suite) -> None:
    rows = (None, *suite.also)
    runs = sum(_grid(suite, dataset, row).size for dataset in suite.datasets for row in rows)
    if runs == 0:
        raise ConfigError("the suite asks for no run: a setting has an empty list of values; give it one")
    if runs > MOST_RUNS:
        raise ConfigError(f"the suite asks for {runs:,} runs; split it, {MOST_RUNS:,} are the most")


def _source(
    suite: Suite, setting: Literal["init", "teacher"], found: Iterable[SuiteRun], run: "GridRun"
) -> SuiteRun | None:
    """Find the run of the suite that another is made from: same data set, seed, and settings of the grid."""
    config = run.config
    source = (suite.init if setting == "init" else suite.teacher).get(config.method)
    if source not in suite.methods:
        return None
    wanted = (source, config.dataset, config.seed)
    able = [
        one
        for one in found
        if not one.control_of
        and (one.config.method, one.config.dataset, one.config.seed) == wanted
        and all(one.variant.get(key, value) == value for key, value in run.variant.items())
    ]
    if len(able) != 1:
        raise ConfigError(
            f"{setting}.{config.method}={source!r} fits {len(able)} runs of seed {config.seed}; "
            "it has to be one, so leave out the grid of settings"
        )
    return able[0]


def _methods_in_order(suite: Suite) -> list[str]:
    """Order the methods so that a run comes after those that it is made from."""
    order: list[str] = []
    left = list(suite.methods)
    while left:
        ready = [
            method for method in left if not {suite.init.get(method), suite.teacher.get(method)} & {*left}
        ]
        if not ready:
            raise ConfigError(
                f"init and teacher: {', '.join(left)} are made from each other; name a run or a file for one"
            )
        order += ready
        left = [method for method in left if method not in ready]
    return order


def _refuse_sources(suite: Suite) -> None:
    """Refuse what no job would train: a start or a teacher that is missing, or a teacher of no use."""
    from cfa.methods import METHODS

    for method in suite.methods:
        needs = METHODS[method].needs_teacher
        if needs and method not in suite.teacher:
            raise ConfigError(f"{method} learns from a trained network; name one under [teacher]")
        if not needs and method in suite.teacher:
            raise ConfigError(f"{method} learns from no teacher; leave it out under [teacher]")
        if METHODS[method].fine_tunes and method not in suite.init:
            raise ConfigError(f"{method} goes on from a trained network; name one under [init]")


def _refuse_unused_settings(suite: Suite) -> None:
    from cfa.methods import METHODS, settings_of

    usable, everything = settings_of(suite.methods), settings_of(METHODS)
    for key in [*suite.settings, *(key for given in suite.by_dataset.values() for key in given)]:
        if key in usable:
            continue
        if key in everything:
            raise ConfigError(f"none of the suite's methods has {key}; leave it out")
        raise ConfigError(str(unknown("setting", key, list(usable))))
