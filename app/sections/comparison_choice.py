"""What Compare compares: runs, what each is compared with, and a measurement, shaped for the charts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import streamlit as st

from app import charts, elements, fields, tables, texts
from app.engine import evaluated, runs_together, snapshots, training_settings, verdicts
from app.sections import series_colours

OWN_PLAIN = "plain"
KINDS = {"own": "Each method's own", "online": "Online", "ema": "EMA", "fawa": "FAWA", "file": "File"}


@dataclass(frozen=True)
class MethodPair:
    """A method, or a run, and what it is compared with."""

    group: tables.Group
    baseline: tables.Group


@dataclass(frozen=True)
class Compared:
    """What is compared, shaped for the charts.

    Attributes:
        runs: All of them.
        groups: What a bar or a point stands for.
        pairs: Which of the groups are compared with which.
        methods: The pairs that the verdict is about: seeds are one there, whatever charts show.
        condition: What was measured.
        weights: The kind of weights that is looked at: ``own`` is each method's own.
        scores: Per class (`tables.class_scores`), every kind of weights, and ``own``.
        models: Whole models (`tables.model_summary`).
        results: Everything that was measured of the runs.
        seeds: Which rows may be averaged.
        styles: How each group looks, the same in every chart of every page.
    """

    runs: list[snapshots.Run]
    groups: list[tables.Group]
    pairs: list[MethodPair]
    methods: list[MethodPair]
    condition: tables.Condition
    weights: str
    scores: pd.DataFrame
    models: pd.DataFrame
    results: evaluated.Results
    seeds: evaluated.DistinctSeeds
    styles: dict[str, charts.SeriesStyle]

    @cached_property
    def baselines(self) -> dict[str, str]:
        """By the key of a group, the key of what it is compared with."""
        return {pair.group.key: pair.baseline.key for pair in self.pairs}

    @property
    def first_baseline(self) -> tables.Group:
        """What most groups are compared with, the first of equals."""
        others = [pair.baseline for pair in self.pairs] or self.groups
        return max(others, key=others.count)

    def runs_of(self, group: tables.Group) -> list[snapshots.Run]:
        """List the runs of a group."""
        ids = {member.run_id for member in group.members}
        return [run for run in self.runs if run.id in ids]

    def weights_of(self, group: tables.Group) -> str:
        """Say which weights of a group are looked at."""
        return own_weights(group) if self.weights == "own" else self.weights


def with_results() -> list[snapshots.Run]:
    """List the runs that can be compared, newest first."""
    runs = snapshots.usable_runs()
    tested = set(evaluated.results(runs).per_class["run_id"])
    return [run for run in runs if run.id in tested]


def choose_runs(available: list[snapshots.Run]) -> list[snapshots.Run]:
    """Take the runs that are chosen by name, or all that carry one of the chosen tags."""
    known = sorted({tag for run in available for tag in run.tags})
    by_name, by_tag = st.columns([4, 1]) if known else (st.container(), None)
    tags = (
        fields.multiselect(
            "Tags",
            {tag: tag for tag in known},
            name="tags",
            placeholder="Any",
            place=by_tag,
            help="All runs with one of these tags, instead of runs by name. Runs writes tags.",
        )
        if by_tag
        else fields.selection("tags", [])
    )
    chosen = fields.multiselect(
        "Runs",
        elements.run_names(available),
        name="runs",
        default=[run.id for run in runs_together.newest_together(available)],
        place=by_name,
        disabled=bool(tags),
        help="Runs with test results. At first: the newest that were trained alike, with all their seeds.",
    )
    if tags:
        return [run for run in available if set(tags) & set(run.tags)]
    return [run for run_id in chosen if (run := snapshots.find_run(run_id))]


def choose(available: list[snapshots.Run]) -> Compared | None:
    """Ask what to compare; ``None`` while fewer than two runs are chosen."""
    with st.container(key="compare_choice"):
        runs = choose_runs(available)
        if len(runs) < 2:
            st.info("Choose two or more runs.", icon=":material/compare_arrows:")
            return None
        results = evaluated.results(runs)
        found = tables.conditions(results.per_class)
        first, second, third, fourth = st.columns([3, 3, 2, 2], vertical_alignment="bottom")
        merge = choose_merging(runs, fourth)
        groups = tables.make_groups([run.member for run in runs], evaluated.reported_title, merge_seeds=merge)
        methods = tables.make_groups([run.member for run in runs], evaluated.reported_title, merge_seeds=True)
        against = choose_baseline(groups, runs, first)
        condition = elements.choose_condition(found, place=second)
        weights = choose_weights(condition.of(results.per_class), third)
        pairs = pairs_of(groups, against, runs)
        styles = series_colours.choose_styles(
            [series_colours.Series(group.key, group.title, group.method) for group in groups],
            name="coloured",
            first=[side.key for pair in pairs[:1] for side in (pair.group, pair.baseline)],
        )
    say_what_is_not_alike(runs, condition.of(results.summary))
    keys = {member.run_id: group.key for group in groups for member in group.members}
    seeds = evaluated.averaged(condition.of(results.summary), keys)
    elements.not_in_tables([*results.left_out, *seeds.left_out])
    scores = tables.class_scores(
        seeds.of(condition.of(results.per_class)), groups, training_settings.display_name
    )
    own = {group.key: own_weights(group) for group in groups}
    return Compared(
        runs=runs,
        groups=groups,
        pairs=pairs,
        methods=pairs_of(methods, with_all_seeds(against, methods), runs),
        condition=condition,
        weights=weights,
        scores=tables.with_own_weights(scores, own),
        models=tables.model_summary(
            seeds.of(condition.of(results.grouped)), groups, training_settings.display_name
        ),
        results=results,
        seeds=seeds,
        styles=styles,
    )


def choose_merging(runs: Sequence[snapshots.Run], place: st.delta_generator.DeltaGenerator) -> bool:
    """Ask whether seeds of one experiment are one bar in tables and charts."""
    return fields.toggle(
        "Seeds as one",
        name="seeds_as_one",
        default=True,
        was="merge_seeds",
        key="merge_seeds",
        place=place,
        disabled=len({run.experiment for run in runs}) == len(runs),
        help="In tables and charts, runs that differ only in their seed are one, with mean and standard "
        "deviation. The verdict is always over seeds.",
    )


def choose_baseline(
    groups: Sequence[tables.Group],
    runs: Sequence[snapshots.Run],
    place: st.delta_generator.DeltaGenerator,
) -> tables.Group | None:
    """Ask what everything is compared with; ``None`` is each method's own plain version."""
    by_run = {group.members[0].run_id: group for group in groups}
    has_plain = bool(pairs_of(groups, None, runs))
    chosen = fields.selectbox(
        "Compared with",
        {OWN_PLAIN: "Each method's own plain version"} | {run: group.title for run, group in by_run.items()},
        name="baseline",
        default=OWN_PLAIN if has_plain else list(by_run)[default_baseline(groups)],
        also={member.run_id: run for run, group in by_run.items() for member in group.members},
        place=place,
        help="A method declares which one it is made of: TRADES + CFA is compared with TRADES.",
    )
    return by_run.get(chosen)


def choose_weights(per_class: pd.DataFrame, place: st.delta_generator.DeltaGenerator) -> str:
    """Ask which weights are looked at."""
    there = [kind for kind in KINDS if kind == "own" or kind in set(per_class["weights"])]
    return fields.selectbox(
        "Weights",
        {kind: KINDS[kind] for kind in there},
        name="weights",
        was="compare_weights",
        place=place,
        help="A method's own are those that its authors report: FAWA for CFA, else those of training.",
    )


def pairs_of(
    groups: Sequence[tables.Group], against: tables.Group | None, runs: Sequence[snapshots.Run]
) -> list[MethodPair]:
    """Say which groups are compared with which.

    Args:
        groups: All of them.
        against: What all others are compared with; ``None`` for the plain version of each.
        runs: Those that the groups are made of.
    """
    if against is not None:
        return [MethodPair(group, against) for group in groups if group.key != against.key]
    found = []
    for group in groups:
        plain = verdicts.compared_with(group.method)
        others = [other for other in groups if other.method == plain and group.method != plain]
        if others:
            found.append(MethodPair(group, min(others, key=lambda other: _distance(group, other, runs))))
    return found


def _distance(
    group: tables.Group, other: tables.Group, runs: Sequence[snapshots.Run]
) -> tuple[bool, int, int, bool]:
    """Say how far a group is from being the plain version of another, but for the method: smallest first."""
    sides = [
        [run for run in runs if run.id in {member.run_id for member in side.members}]
        for side in (group, other)
    ]
    seeds = {member.seed for member in group.members} & {member.seed for member in other.members}
    settings = verdicts.unlike_settings(*sides)
    return bool(verdicts.refusal(*sides)), len(verdicts.unlike(*sides)), len(settings), not seeds


def with_all_seeds(against: tables.Group | None, methods: Sequence[tables.Group]) -> tables.Group | None:
    """Take the whole experiment for one of its runs: a verdict is over seeds."""
    if against is None:
        return None
    ids = {member.run_id for member in against.members}
    return next(group for group in methods if ids <= {member.run_id for member in group.members})


def say_what_is_not_alike(runs: list[snapshots.Run], summary: pd.DataFrame) -> None:
    """Warn of runs that were not measured like this, and of others that were on other images."""
    images = summary.groupby("run_id")["total"].min()
    missing = [run for run in runs if run.id not in images.index]
    if missing:
        here = all(not run.read_only for run in missing)
        way = "Evaluate can do it." if here else "What ships with CFA Studio stays as it is."
        names = ", ".join(run.name for run in missing)
        st.warning(f"Not measured like this: {texts.plain(names)}. {way}", icon=":material/warning:")
    if images.nunique() > 1:
        fewest = ", ".join(run.name for run in runs if images.get(run.id) == images.min())
        st.warning(
            f"Not all on the same images: from {images.min():,} ({texts.plain(fewest)}) to "
            f"{images.max():,}. Of each run the evaluation on most images counts. Differences are taken on "
            "the images that both have, where two runs were kept image by image, and not at all elsewhere.",
            icon=":material/warning:",
        )


def default_baseline(groups: Sequence[tables.Group]) -> int:
    """Prefer a plain method, and of those what most methods are compared with."""
    methods = [group.method for group in groups]
    for plain in training_settings.plain_methods():
        if plain in methods:
            return methods.index(plain)
    return 0


def own_weights(group: tables.Group) -> str:
    """Say which weights a group is reported with."""
    runs = [run for member in group.members if (run := snapshots.find_run(member.run_id))]
    return evaluated.common_own_weights(runs)
