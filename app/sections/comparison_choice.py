"""What Compare compares: runs, a baseline and a measurement, chosen by people and shaped for the charts."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app import charts, elements, fields, tables, texts
from app.engine import evaluated, snapshots, training_settings


@dataclass(frozen=True)
class Compared:
    """What is compared, shaped for the charts."""

    runs: list[snapshots.Run]
    groups: list[tables.Group]
    baseline: tables.Group
    condition: tables.Condition
    scores: pd.DataFrame
    models: pd.DataFrame
    results: evaluated.Results
    seeds: evaluated.DistinctSeeds

    @property
    def colours(self) -> dict[str, str]:
        """Give each group its colour, the same in every chart of the page."""
        return charts.group_colours([group.key for group in self.groups])


def with_results() -> list[snapshots.Run]:
    """List the runs that can be compared."""
    runs = snapshots.usable_runs()
    tested = set(evaluated.results(runs).per_class["run_id"])
    return [run for run in runs if run.id in tested]


def default_choice(available: list[snapshots.Run]) -> list[str]:
    """Take the newest run of each method, at most four, on the first data set that has two of them; ids."""
    by_dataset: dict[str, dict[str, str]] = {}
    for run in available:
        by_dataset.setdefault(run.dataset, {}).setdefault(run.method, run.id)
    newest = next((found for found in by_dataset.values() if len(found) > 1), next(iter(by_dataset.values())))
    order = list(training_settings.METHODS)
    ranked = sorted(newest, key=lambda method: order.index(method) if method in order else len(order))
    return [newest[method] for method in ranked][:4]


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
        default=default_choice(available),
        place=by_name,
        disabled=bool(tags),
        help="Runs with test results.",
    )
    if tags:
        return [run for run in available if set(tags) & set(run.tags)]
    return [run for run_id in chosen if (run := snapshots.find_run(run_id))]


def choose(available: list[snapshots.Run]) -> Compared | None:
    """Ask what to compare; ``None`` while fewer than two runs are chosen."""
    runs = choose_runs(available)
    if len(runs) < 2:
        st.info("Choose two or more runs.", icon=":material/compare_arrows:")
        return None
    results = evaluated.results(runs)
    found = tables.conditions(results.per_class)
    first, second, third = st.columns([3, 3, 2], vertical_alignment="bottom")
    several = len({run.experiment for run in runs}) < len(runs)
    merge = fields.toggle(
        "Seeds as one",
        name="seeds_as_one",
        default=True,
        was="merge_seeds",
        key="merge_seeds",
        place=third,
        disabled=not several,
        help="Runs that differ only in their seed are shown as one, with mean and standard deviation.",
    )
    groups = tables.make_groups([run.member for run in runs], evaluated.reported_title, merge_seeds=merge)
    by_run = {group.members[0].run_id: group for group in groups}
    baseline = by_run[
        fields.selectbox(
            "Baseline",
            {run_id: group.title for run_id, group in by_run.items()},
            name="baseline",
            default=list(by_run)[default_baseline(groups)],
            also={member.run_id: run_id for run_id, group in by_run.items() for member in group.members},
            place=first,
        )
    ]
    condition = elements.choose_condition(found, place=second)
    say_what_is_not_alike(runs, condition.of(results.summary))
    keys = {member.run_id: group.key for group in groups for member in group.members}
    seeds = evaluated.averaged(condition.of(results.summary), keys)
    elements.not_in_tables([*results.left_out, *seeds.left_out])
    per_class = seeds.of(condition.of(results.per_class))
    scores = tables.class_scores(per_class, groups, training_settings.display_name)
    models = tables.model_summary(
        seeds.of(condition.of(results.grouped)), groups, training_settings.display_name
    )
    own = {group.key: own_weights(group) for group in groups}
    return Compared(
        runs=runs,
        groups=groups,
        baseline=baseline,
        condition=condition,
        scores=tables.with_own_weights(scores, own),
        models=models,
        results=results,
        seeds=seeds,
    )


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


def default_baseline(groups: list[tables.Group]) -> int:
    """Prefer a plain method, and of those what most methods are compared with."""
    methods = [group.method for group in groups]
    for plain in training_settings.plain_methods():
        if plain in methods:
            return methods.index(plain)
    return 0


def own_weights(group: tables.Group) -> str:
    """Say which weights a group is reported with."""
    run = snapshots.find_run(group.members[0].run_id)
    return evaluated.own_weights(run) if run else "online"


def runs_of(comparison: Compared, group: tables.Group) -> list[snapshots.Run]:
    """List the runs of a group."""
    ids = {member.run_id for member in group.members}
    return [run for run in comparison.runs if run.id in ids]
