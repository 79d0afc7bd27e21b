"""Compare: two or more runs against one of them, class by class, all three kinds of weights."""

import shlex
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import access, charts, elements, tables, texts, wording
from app.engine import (
    calibration,
    comparison_reports,
    downloadable,
    evaluated,
    evaluation_jobs,
    histories,
    sample_sizes,
    snapshots,
    training_settings,
)

KINDS = {"online": "Online", "ema": "EMA", "fawa": "FAWA", "own": "Each method's own"}
MOST_CLASSES = 20


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


# --- what to compare ------------------------------------------------------------------------------


def with_results() -> list[snapshots.Run]:
    runs = snapshots.usable_runs()
    tested = set(evaluated.results(runs).per_class["run_id"])
    return [run for run in runs if run.id in tested]


def default_choice(available: list[snapshots.Run]) -> list[str]:
    """Take the newest run of each method, at most four, on the first data set that has two of them."""
    by_dataset: dict[str, dict[str, str]] = {}
    for run in available:
        by_dataset.setdefault(run.dataset, {}).setdefault(run.method, run.name)
    newest = next((found for found in by_dataset.values() if len(found) > 1), next(iter(by_dataset.values())))
    order = list(training_settings.METHODS)
    ranked = sorted(newest, key=lambda method: order.index(method) if method in order else len(order))
    return [newest[method] for method in ranked][:4]


def choose_runs(available: list[snapshots.Run]) -> list[snapshots.Run]:
    """Take the runs that are chosen by name, or all that carry one of the chosen tags."""
    known = sorted({tag for run in available for tag in run.tags})
    elements.say_what_is_not_here("tags", known)
    by_name, by_tag = st.columns([4, 1]) if known else (st.container(), None)
    tags = (
        by_tag.multiselect(
            "Tags",
            known,
            placeholder="Any",
            key="tags",
            bind="query-params",
            help="All runs with one of these tags, instead of runs by name. Runs writes tags.",
        )
        if by_tag
        else []
    )
    elements.say_what_is_not_here("runs", [run.name for run in available])
    names = by_name.multiselect(
        "Runs",
        [run.name for run in available],
        default=default_choice(available),
        key="runs",
        bind="query-params",
        disabled=bool(tags),
        help="Runs with test results.",
    )
    if tags:
        return [run for run in available if set(tags) & set(run.tags)]
    return [run for name in names if (run := snapshots.find_run(name))]


def choose(available: list[snapshots.Run]) -> Compared | None:
    runs = choose_runs(available)
    if len(runs) < 2:
        st.info("Choose two or more runs.", icon=":material/compare_arrows:")
        return None
    results = evaluated.results(runs)
    found = tables.conditions(results.per_class)
    first, second, third = st.columns([3, 3, 2], vertical_alignment="bottom")
    several = len({run.experiment for run in runs}) < len(runs)
    merge = third.toggle(
        "Seeds as one",
        value=True,
        key="merge_seeds",
        bind="query-params",
        disabled=not several,
        help="Runs that differ only in their seed are shown as one, with mean and standard deviation.",
    )
    groups = tables.make_groups([run.member for run in runs], snapshots.method_title, merge_seeds=merge)
    elements.say_what_is_not_here("baseline", [group.title for group in groups])
    baseline = first.selectbox(
        "Baseline",
        groups,
        index=default_baseline(groups),
        format_func=lambda group: group.title,
        key="baseline",
        bind="query-params",
    )
    condition = second.selectbox(
        "Measured", found, format_func=lambda c: c.title, key="measured", bind="query-params"
    )
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
    run = snapshots.find_run(group.members[0].run_id)
    return evaluation_jobs.own_weights(run) if run else "online"


# --- the picture ----------------------------------------------------------------------------------


def summary_section(comparison: Compared) -> None:
    models, base = comparison.models, comparison.baseline
    st.subheader("At a glance")
    table = elements.percent_columns(models, ["mean", "worst"])
    common = on_common_images(comparison)
    table["common"] = [evaluated.on_common_images(entry) if entry else "" for entry in common]
    for measure in ("mean", "worst"):
        reference = models[models["group"] == base.key].set_index("weights")
        change = 100 * (models[measure] - models["weights"].map(reference[measure]))
        change = change.where(models["images"] == models["weights"].map(reference["images"]))
        paired = [100 * entry[f"{measure}_difference"] if entry else None for entry in common]
        change = change.fillna(pd.Series(paired, models.index, dtype=float))
        change = change.where(change.abs() >= 0.05, change.abs())  # what rounds to nothing has no sign
        table[f"{measure}_difference"] = change.where(models["group"] != base.key)
        table[f"{measure}_interval"] = [
            wording.percent_range(low, high)
            for low, high in zip(models[f"{measure}_low"], models[f"{measure}_high"], strict=True)
        ]
    columns = ["series", "weights", "mean", "mean_difference", "worst", "worst_difference", "worst_class"]
    parts = [part for part in tables.CLASS_GROUPS if part in models]
    table = elements.percent_columns(table, parts)
    columns += [*parts, "mean_interval", "worst_interval", "images", "seeds"]
    columns += ["common"] if any(table["common"]) else []
    several = set(table["seeds"] > 1)
    interval = "interval" if len(several) != 1 else "± std" if several == {True} else "95 %"
    st.dataframe(
        table[columns].assign(weights=table["weights"].map(charts.WEIGHTS_TITLES)),
        hide_index=True,
        height="content" if len(table) <= 30 else "auto",
        placeholder="–",
        key="compare_table",
        column_config={
            "series": st.column_config.TextColumn("Model", pinned=True),
            "weights": "Weights",
            "mean": elements.percent_column("Mean"),
            "mean_interval": f"Mean, {interval}",
            "mean_difference": elements.percent_column("± baseline", "%+.1f"),
            "worst": elements.percent_column("Worst class"),
            "worst_interval": f"Worst, {interval}",
            "worst_difference": elements.percent_column("± baseline ", "%+.1f"),
            "worst_class": "Which",
            **{part: elements.percent_column(part.capitalize()) for part in parts},
            "images": "Images",
            "seeds": "Seeds",
            "common": st.column_config.TextColumn("Where the images differ", width="large"),
        },
    )
    st.caption(
        "Differences are in percentage points, to the baseline's weights of the same kind. Intervals: 95 % "
        "for one run (the worst class's holds for all classes at once), mean ± standard deviation for "
        "several seeds. One run of each compares two checkpoints; a statement about methods needs seeds."
        + (" Head, medium, tail: thirds of the classes by their training images." if parts else "")
    )
    with st.container(horizontal=True):
        for label, frame, file in (
            ("Per-class CSV", comparison.results.per_class, "per_class.csv"),
            ("Summary CSV", comparison.results.summary, "summary.csv"),
        ):
            elements.csv_button(label, downloadable.csv(frame), file, f"compare_{file}")
    for finding in evaluated.findings(comparison.runs):
        st.warning(elements.sentence(finding), icon=":material/info:")


def on_common_images(comparison: Compared) -> list[dict[str, Any] | None]:
    """Find, for every row of the table, the comparison on the images that it and the baseline have in common.

    ``None`` where both have the same images anyway, or nothing is known image by image.
    """
    base, where = runs_of(comparison, comparison.baseline), comparison.condition
    wanted = (where.dataset, where.attack, where.norm, where.eps, where.checkpoint, where.checkpoint)
    names = ("dataset", "attack", "norm", "eps", "checkpoint", "baseline_checkpoint")
    found: list[dict[str, Any] | None] = []
    for key, weights in comparison.models[["group", "weights"]].itertuples(index=False, name=None):
        group = next(group for group in comparison.groups if group.key == key)
        others = runs_of(comparison, group)
        alone = len(base) == len(others) == 1 and key != comparison.baseline.key
        entries = [
            entry
            for entry in (evaluated.pairs(base[0], others[0]) if alone else [])
            if tuple(entry[name] for name in names) == wanted
            and entry["weights"] == entry["baseline_weights"] == weights
            and evaluated.on_common_images(entry)
        ]
        found.append(entries[0] if entries else None)
    return found


REPORTS = {
    ".html": ("HTML", "text/html", "One file with interactive charts; opens offline."),
    ".pdf": ("PDF", "application/pdf", "The HTML report, printed."),
    ".tex": ("LaTeX", "application/x-tex", "A booktabs table: best in bold, spread over seeds."),
    ".md": ("Markdown", "text/markdown", "Table, what is certain, and the commands that make it again."),
    ".zip": ("PNG and SVG", "application/zip", "Every chart as a picture."),
}


def reports_section(comparison: Compared) -> None:
    """Offer the comparison as documents; they are made when they are asked for."""
    st.subheader("Take it along")
    if problem := comparison_reports.report_problem(comparison.runs):
        st.caption(f"There is no report. {elements.sentence(problem)}")
        return
    base = comparison.baseline.members[0].run_id
    hindrance = ""
    if not access.may_start():
        hindrance = "It starts a browser on the dashboard's machine; only those who may start can ask for it."
    elif not comparison_reports.has_browser():
        hindrance = "It takes a Chromium on the dashboard's machine; install one."
    with st.container(horizontal=True):
        for ending, (label, kind, says) in REPORTS.items():
            printed = ending in comparison_reports.PRINTED
            missing = bool(printed and hindrance)
            make = (
                comparison_reports.print_report
                if printed and not missing
                else partial(partial, comparison_reports.report)
            )
            st.download_button(
                label,
                b"" if missing else make(comparison.runs, base, ending),
                f"comparison{ending}",
                kind,
                icon=":material/description:",
                key=f"report_{ending[1:]}",
                on_click="ignore",
                disabled=missing,
                help=hindrance if missing else says,
            )
    names = shlex.join(run.name for run in comparison.runs)
    against = shlex.quote(comparison.baseline.members[0].run_name)
    st.caption("The same from a terminal:")
    st.code(f"cfa compare {names} --baseline {against} --out report.html", language=None, wrap_lines=True)


def certain_section(comparison: Compared) -> None:
    """Say in words what the differences carry."""
    st.subheader("What is certain")
    base = comparison.baseline
    spoken = [
        text for group in comparison.groups if group.key != base.key if (text := said(comparison, group))
    ]
    if not spoken:
        st.caption("Too few of these runs were measured like this for anything to be said.")
        claim(comparison)
        return
    st.markdown("Differences in percentage points, with 95 % intervals.")
    for text in spoken:
        st.markdown(text)
    seeds = any(group.seeds > 1 for group in comparison.groups)
    pairs = sum(len(group.members) == 1 for group in comparison.groups) > 1
    how = "Several seeds of both: Welch's t over seeds, a statement about the methods. " if seeds else ""
    if pairs:
        how += (
            "One run of each compares two checkpoints; classes by exact McNemar tests on the same images "
            "(Fisher's without them), Holm over classes; the worst class's interval holds when classes tie."
        )
    st.caption(f"{texts.plain(comparison.condition.title)}. {how}")
    claim(comparison)


def said(comparison: Compared, group: tables.Group) -> str:
    """Put the statements about one group into a list in Markdown; empty where there is none to make."""
    title = f"**{texts.plain(group.title)}** against {texts.plain(comparison.baseline.title)}"
    baseline, others = runs_of(comparison, comparison.baseline), runs_of(comparison, group)
    statements = evaluated.statements(baseline, others, comparison.condition)
    if statements:
        lines = [f"{s.weights[:1].upper()}{s.weights[1:]}: {s.words}. ({s.basis})" for s in statements]
        return "\n".join([title, *(f"- {texts.plain(line)}" for line in lines)])
    if len(baseline) != len(others) or len(baseline) > 1:
        return f"{title}: nothing can be said; it takes several seeds of both, or one run of each."
    return ""


def runs_of(comparison: Compared, group: tables.Group) -> list[snapshots.Run]:
    ids = {member.run_id for member in group.members}
    return [run for run in comparison.runs if run.id in ids]


def disagreement(comparison: Compared) -> float | None:
    """Find the largest share of images that exactly one of two runs gets right, over what is said here."""
    base = runs_of(comparison, comparison.baseline)
    shares = [
        statement.disagreement
        for group in comparison.groups
        if group.key != comparison.baseline.key
        for statement in evaluated.statements(base, runs_of(comparison, group), comparison.condition)
        if statement.disagreement is not None
    ]
    return max(shares, default=None)


def claim(comparison: Compared) -> None:
    """Say how many images, or seeds, a claim of a given size needs."""
    with st.expander("How many images or seeds a claim needs", icon=":material/calculate:"):
        points = st.number_input(
            "Size of the difference, in points", 0.5, 50.0, 5.0, 0.5, key="claim_points", width=260
        )
        base = comparison.scores[comparison.scores["group"] == comparison.baseline.key]
        if base.empty:
            st.caption("The baseline was not measured like this.")
            return
        worst, classes = float(base["accuracy"].min()), base["class_index"].nunique()
        images = sample_sizes.images_needed(points / 100, worst, classes=classes)
        st.markdown(
            f"- **Images**: from {wording.percent(worst)} (the baseline's worst class), a difference of "
            f"{points:g} points in one of {classes} classes takes about **{images:,} images of that class** "
            "for each model, 80 % power, 5 % over all classes."
        )
        if share := disagreement(comparison):
            pairs = sample_sizes.paired_images_needed(points / 100, share, classes=classes)
            st.markdown(
                f"- **The same images, in pairs**: these models disagree on up to {wording.percent(share)} "
                f"of the images; where they do on so many, it takes about **{pairs:,} images of that class**."
            )
        if spread := largest_spread(comparison):
            seeds = sample_sizes.seeds_needed(points / 100, spread)
            st.markdown(
                f"- **Seeds**: worst classes here differ between seeds by up to {100 * spread:.1f} "
                f"points (standard deviation): a difference of {points:g} points between two methods takes "
                f"about **{seeds} seeds of each**."
            )
        else:
            st.markdown(
                "- **Seeds**: choose several seeds of a method to see how much they differ; runs with other "
                "settings, or with the same seed, do not say it."
            )


def largest_spread(comparison: Compared) -> float | None:
    """Return the largest standard deviation of a worst class over seeds; ``None`` where no seeds differ."""
    experiments = {run.id: run.experiment for run in comparison.runs}
    rows = evaluated.averaged(comparison.condition.of(comparison.results.summary), experiments).kept
    grouped = rows.groupby([rows["run_id"].map(experiments), "weights"])["worst_accuracy"]
    spread = grouped.std().max()
    return float(spread) if spread > 1e-9 else None


FAIRNESS = {
    "worst_10_percent": ("Worst 10 %", True, "Mean of the lowest tenth of the classes, at least one."),
    "validation_worst": (
        "Worst on validation",
        True,
        "Test accuracy of the class that was worst on validation: no selection on these images.",
    ),
    "spread": ("Range", True, "Best minus worst class."),
    "deviation": ("Std", True, "Standard deviation over classes."),
    "nsd": ("NSD", False, "Standard deviation over mean; lower is fairer."),
    "gini": ("Gini", False, "0 where all classes are equal."),
    "rho": (
        "rho",
        False,
        "DAFA: relative gain of the worst class plus that of the mean, to the baseline.",
    ),
    "clean_gap": ("Clean gap", True, "FRL: largest clean error of a class minus the mean."),
    "boundary_gap": ("Boundary gap", True, "FRL: the same of clean minus robust accuracy."),
    "nrr": ("NRR", True, "Harmonic mean of clean and robust accuracy."),
}


def fairness_section(comparison: Compared) -> None:
    with st.expander("Fairness metrics of the field", icon=":material/balance:"):
        base = [member.run_id for member in comparison.baseline.members]
        frame = comparison.condition.of(evaluated.fairness(comparison.runs, base))
        table = tables.fairness(
            comparison.seeds.of(frame), comparison.groups, training_settings.display_name, list(FAIRNESS)
        )
        percent = [name for name, (_, share, _) in FAIRNESS.items() if share]
        st.dataframe(
            elements.percent_columns(table, percent)[["series", *FAIRNESS]],
            hide_index=True,
            placeholder="–",
            key="compare_fairness",
            column_config={
                "series": st.column_config.TextColumn("Model", pinned=True),
                **{
                    name: st.column_config.NumberColumn(
                        title, format="%.1f %%" if share else "%.3f", help=says
                    )
                    for name, (title, share, says) in FAIRNESS.items()
                },
            },
        )
        elements.csv_button("Fairness CSV", downloadable.csv(frame), "fairness.csv", "compare_fairness_csv")


def averaging_section(comparison: Compared) -> None:
    st.subheader("Mean against worst class, and what averaging alone does")
    models, colours = comparison.models, comparison.colours
    scatter = elements.Card(
        "Mean against worst class",
        "compare_scatter",
        charts.mean_against_worst(models, colours),
        "Circle: online, square: EMA, diamond: FAWA. Up and to the right is better.",
    )
    bars = [
        elements.Card(
            f"{title} with online, EMA and FAWA weights",
            f"compare_averaging_{measure}",
            charts.averaging(models, measure),
            "Whiskers as in the table's intervals.",
        )
        for measure, title in (("worst", "Worst class"), ("mean", "Mean of classes"))
    ]
    elements.show_card(scatter)
    elements.show_cards(bars)


def class_section(comparison: Compared) -> None:
    st.subheader("Class by class")
    kinds = st.pills(
        "Weights",
        [kind for kind in KINDS if kind in set(comparison.scores["weights"])],
        selection_mode="multi",
        default=[kind for kind in ("online", "fawa") if kind in set(comparison.scores["weights"])],
        format_func=KINDS.__getitem__,
        key="compare_weights",
        bind="query-params",
    )
    hardest = tables.hardest_classes(comparison.scores, comparison.baseline.key, MOST_CLASSES)
    total = comparison.scores["class_index"].nunique()
    if total > len(hardest):
        st.caption(
            f"The {len(hardest)} of {total} classes that are hardest for the baseline; the CSV has all."
        )
    scores = comparison.scores[comparison.scores["class_index"].isin(hardest)]
    differences = tables.differences(scores, comparison.baseline.key)
    for kind in kinds:
        bars, changes = scores[scores["weights"] == kind], differences[differences["weights"] == kind]
        elements.show_card(
            elements.Card(
                f"{KINDS[kind]}: accuracy per class",
                f"compare_bars_{kind}",
                charts.class_bars(bars, comparison.colours) if len(bars) else None,
                f"{comparison.condition.title}. Whiskers: 95 % Wilson intervals, "
                "or ± one standard deviation over seeds.",
            )
        )
        elements.show_card(
            elements.Card(
                f"{KINDS[kind]}: difference to {comparison.baseline.title}",
                f"compare_differences_{kind}",
                charts.class_differences(changes, comparison.colours) if len(changes) else None,
                "Percentage points; pale where the whiskers above overlap. What is certain: further up.",
                "the baseline has no weights of this kind under this measurement, or other images.",
            )
        )


def eps_section(comparison: Compared) -> None:
    st.subheader("Calibrated eps over epochs")
    knobs = {run.id: histories.knobs(run) for run in comparison.runs}
    calibrated = [run for run in comparison.runs if calibration.varies(knobs[run.id], "eps")]
    drawn = [(run, knobs[run.id]) for run in calibrated]
    others = [run for run in comparison.runs if run not in calibrated]
    if others:
        each = [f"{run.title} ({wording.eps_255(run.folder.config.attack.eps)})" for run in others]
        kept = ", ".join(dict.fromkeys(each))  # seeds of one method are said once
        st.caption(f"One eps for all classes: {texts.plain(kept)}.")
    if not drawn:
        st.caption("None of these runs has an eps per class to show.")
        return
    common = charts.eps_range([frame for _, frame in drawn])
    elements.show_cards(
        [
            elements.Card(
                f"{run.title} · {run.name}",
                f"compare_eps_{run.id}",
                charts.class_lines(frame, "eps", charts.EPS, y_range=common),
                "The eps that each class was trained with, epoch by epoch; the same scale for all runs.",
            )
            for run, frame in drawn
        ]
    )


def settings_section(comparison: Compared) -> None:
    st.subheader("What differs in their settings")
    table = tables.setting_differences({run.name: run.folder.config.flat() for run in comparison.runs})
    if table.empty:
        st.caption("Nothing: these runs have the same settings.")
    else:
        st.dataframe(table, hide_index=True, key="compare_settings")


elements.heading("Compare", "Which classes gain, which pay, and how much of it averaging alone explains.")
available = with_results()
if len(available) < 2:
    st.info(
        "Two runs with test results are needed, and there "
        + ("is one" if available else "are none")
        + ". A training ends with a test evaluation; the demo on Home makes four.",
        icon=":material/inbox:",
    )
    st.stop()
comparison = choose(available)
if comparison is not None:
    summary_section(comparison)
    certain_section(comparison)
    fairness_section(comparison)
    averaging_section(comparison)
    class_section(comparison)
    eps_section(comparison)
    settings_section(comparison)
    reports_section(comparison)
