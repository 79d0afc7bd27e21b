"""Sweep: robust accuracy over eps, and how much it takes to break each image."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from app import charts, elements, fields, texts, wording
from app.engine import budgets, downloadable, evaluated, image_outcomes, snapshots

MOST_CLASSES = 20
GRID_POINTS = 61
WHAT_COUNTS = "what-counts"  # of a run's evaluations, as addresses say it
CUMULATIVE = "An image that is broken at a smaller eps counts as broken at every larger one."


@dataclass(frozen=True)
class Swept:
    """A run with the evaluation that is shown of it."""

    run: snapshots.Run
    evaluation: evaluated.Evaluation

    @property
    def key(self) -> str:
        """Name it among others."""
        return f"{self.run.id}_{self.evaluation.id}"

    @property
    def old(self) -> bool:
        """Tell whether the run has other weights now."""
        return self.evaluation.id in evaluated.of_old_weights(self.run)

    @property
    def title(self) -> str:
        """Say whose weights these are."""
        weights = charts.WEIGHTS_TITLES.get(self.evaluation.weights, self.evaluation.weights)
        last = ", last checkpoint" if self.evaluation.checkpoint == "last" else ""
        epoch = f" of epoch {self.evaluation.epoch}" if self.old else ""
        return f"{self.run.name} · {weights}{last}{epoch}"


# --- what to show ---------------------------------------------------------------------------------


def choose_runs() -> list[snapshots.Run]:
    available = budgets.swept_runs()
    if not available:
        st.info(
            "No run has a sweep yet. On Evaluate write several budgets into 'eps sweep' (2/255, 4/255, "
            "8/255), or choose the attack fab-min, which looks for the smallest perturbation of every image.",
            icon=":material/inbox:",
        )
        st.page_link("views/evaluate.py", label="Start one on Evaluate", icon=":material/shield:")
        return []
    ids = fields.multiselect(
        "Runs",
        elements.run_names(available),
        name="runs",
        default=[available[0].id],
        help="Runs with a sweep, or with smallest perturbations.",
    )
    chosen = [run for run_id in ids if (run := snapshots.find_run(run_id))]
    if not chosen:
        st.info("Choose at least one run.")
    return chosen


def choose_evaluations(runs: list[snapshots.Run]) -> list[Swept]:
    """Take what each run has of the weights that it has now; of a single run any can be chosen."""
    found = [
        Swept(run, evaluation)
        for run in runs
        for evaluation in evaluated.evaluations(run)
        if budgets.is_sweep(evaluation) or budgets.finds_minimum(run, evaluation)
    ]
    counting = [swept for swept in found if not swept.old]
    if len(runs) > 1:
        return counting
    if len(found) < 2:
        return found  # of old weights it says so
    evaluations = [swept.evaluation for swept in found]
    titles = elements.evaluation_titles(evaluations, evaluated.of_old_weights(runs[0]))
    options = {WHAT_COUNTS: "what counts"} if counting else {}
    options |= {one.id: title for one, title in zip(evaluations, titles, strict=True)}
    chosen = fields.selectbox("Evaluation", options, name="evaluation", subject=runs[0].id)
    return counting if chosen == WHAT_COUNTS else [one for one in found if one.evaluation.id == chosen]


def that_counts(found: list[Swept]) -> list[Swept]:
    """Keep, of all of the same weights and data set, the one on most images, the newest of equals."""
    kept: dict[tuple[str, ...], Swept] = {}
    for swept in found:  # newest first
        evaluation = swept.evaluation
        key = (swept.run.id, evaluation.dataset, evaluation.weights, evaluation.checkpoint)
        if key not in kept or swept.evaluation.images > kept[key].evaluation.images:
            kept[key] = swept
    return list(kept.values())


# --- robust accuracy over eps ---------------------------------------------------------------------


def show_sweeps(found: list[Swept]) -> None:
    st.subheader("Robust accuracy over eps")
    sweeps = [swept for swept in found if budgets.is_sweep(swept.evaluation)]
    if not sweeps:
        st.caption("None of these evaluations has several budgets: write some into 'eps sweep' on Evaluate.")
        return
    sweeps = of_one_data_set(sweeps, "sweep_data")
    attack, norm = choose_attack(sweeps)
    alike = that_counts([swept for swept in sweeps if (attack, norm) in attacks_of(swept)])
    per_class, summary = budgets.sweep_scores([(swept.run, swept.evaluation) for swept in alike])
    wanted = per_class["attack"].isin([attack, "clean"])  # clean images are the budget 0
    per_class, summary = per_class[wanted], summary[summary["attack"].isin([attack, "clean"])]
    unit = unit_of(norm)
    colours = charts.group_colours([swept.key for swept in alike])
    named = with_group(summary, alike).rename(columns={"mean_accuracy": "mean", "worst_accuracy": "worst"})
    elements.show_card(
        elements.Card(
            f"{wording.attack_title(attack)}: mean and worst class",
            "sweep_mean_worst",
            charts.mean_and_worst_over_eps(named, colours, unit),
            f"{CUMULATIVE} Clean images are eps 0. On {alike[0].evaluation.dataset}.",
        )
    )
    grouped = with_group(per_class, alike)
    elements.show_cards(
        [
            elements.Card(
                f"{swept.title}: class by class",
                f"sweep_classes_{swept.key}",
                charts.accuracy_over_eps(grouped[grouped["group"] == swept.key], unit),
                elements.evaluation_title(swept.evaluation),
            )
            for swept in alike
        ]
    )
    show_table(named, norm)
    downloads(
        (("Per-class CSV", per_class, "sweep_per_class.csv"), ("Summary CSV", summary, "sweep_summary.csv"))
    )


def of_one_data_set(found: list[Swept], key: str) -> list[Swept]:
    """Let the data set be chosen where there are several: curves of two are never in one chart."""
    names = list(dict.fromkeys(swept.evaluation.dataset for swept in found))
    if len(names) > 1:
        options = {name: name for name in names}
        chosen = fields.selectbox("Data set", options, name="dataset", was=key, key=key)
        return [swept for swept in found if swept.evaluation.dataset == chosen]
    return found


def attacks_of(swept: Swept) -> list[tuple[str, str]]:
    rows = [row for row in swept.evaluation.scores if row.attack != "clean"]
    return list(dict.fromkeys((row.attack, row.norm) for row in rows))


def choose_attack(sweeps: list[Swept]) -> tuple[str, str]:
    options = list(dict.fromkeys(pair for swept in sweeps for pair in attacks_of(swept)))
    if len(options) == 1:
        return options[0]
    pairs = {f"{attack} {norm}": (attack, norm) for attack, norm in options}
    titles = {
        name: f"{wording.attack_title(attack)} ({wording.norm_title(norm)})"
        for name, (attack, norm) in pairs.items()
    }
    return pairs[fields.selectbox("Attack", titles, name="attack", was="sweep_attack", key="sweep_attack")]


def with_group(frame: pd.DataFrame, found: list[Swept]) -> pd.DataFrame:
    """Say which of the evaluations a row belongs to; on one data set each weights have one."""
    of = {(one.run.id, one.evaluation.weights, one.evaluation.checkpoint): one for one in found}
    rows = list(frame[["run_id", "weights", "checkpoint"]].itertuples(index=False, name=None))
    return frame.assign(group=[of[row].key for row in rows], series=[of[row].title for row in rows])


def unit_of(norm: str) -> charts.Unit:
    return charts.EPS if norm == "linf" else charts.Unit(f"eps ({wording.norm_title(norm)})")


def show_table(summary: pd.DataFrame, norm: str) -> None:
    table = elements.percent_columns(summary, ["mean", "worst"])
    table = table.assign(budget=["clean" if eps == 0 else wording.budget(norm, eps) for eps in table["eps"]])
    st.dataframe(
        table[["series", "budget", "mean", "worst", "worst_class", "total"]],
        hide_index=True,
        height="content" if len(table) <= 30 else "auto",
        key="sweep_table",
        column_config={
            "series": st.column_config.TextColumn("Model", pinned=True),
            "budget": "eps",
            "mean": elements.percent_column("Mean"),
            "worst": elements.percent_column("Worst class"),
            "worst_class": "Which",
            "total": "Images",
        },
    )


# --- the smallest perturbation --------------------------------------------------------------------


def show_minimum(found: list[Swept]) -> None:
    st.subheader("The smallest perturbation that breaks an image")
    searched = that_counts([swept for swept in found if budgets.finds_minimum(swept.run, swept.evaluation)])
    if not searched:
        st.caption(
            "Not looked for yet: choose the attack fab-min on Evaluate. It finds, for every image, a "
            "perturbation as small as it can."
        )
        return
    for swept in searched:
        with elements.explained_errors():
            show_lengths(swept)


def show_lengths(swept: Swept) -> None:
    lengths = budgets.smallest_perturbations(image_outcomes.outcomes(swept.run, swept.evaluation))
    norm = next(row.norm for row in swept.evaluation.scores if row.attack != "clean")
    unit = unit_of(norm)
    statistics = summarise(lengths)
    none_found, wrong = int(statistics["none_found"].sum()), int(statistics["wrong"].sum())
    st.caption(
        f"**{texts.plain(swept.title)}** · {texts.plain(elements.evaluation_title(swept.evaluation))}. Of "
        f"{wording.count(len(lengths), 'image')}, {wrong} are wrong without a perturbation (0), and for "
        f"{none_found} none was found (infinite); the boxes are of the others."
    )
    hardest = statistics.nsmallest(MOST_CLASSES, "median")["class_index"]
    finite = lengths[np.isfinite(lengths["length"]) & (lengths["length"] > 0)]
    boxed = finite[finite["class_index"].isin(hardest)]
    note = f"Median, quartiles and reach; {unit.title}."
    if len(statistics) > MOST_CLASSES:
        note += f" The {MOST_CLASSES} classes that break most easily."
    elements.show_cards(
        [
            elements.Card(
                "Smallest perturbation per class",
                f"sweep_boxes_{swept.key}",
                charts.smallest_perturbations(boxed, unit) if len(boxed) else None,
                note,
                "no image needed a perturbation that was found.",
            ),
            elements.Card(
                "Share of images that need more than eps",
                f"sweep_need_{swept.key}",
                charts.accuracy_over_eps(needing_more(lengths), unit) if len(finite) else None,
                "Robust accuracy if the attacker could find no smaller perturbation.",
            ),
        ]
    )
    show_statistics(statistics, unit, swept.key)
    downloads(
        (
            ("Per-class CSV", statistics, f"smallest_per_class_{swept.run.id}.csv"),
            ("Per-image CSV", lengths, f"smallest_per_image_{swept.run.id}.csv"),
        )
    )


def show_statistics(statistics: pd.DataFrame, unit: charts.Unit, key: str) -> None:
    st.dataframe(
        statistics.assign(median=statistics["median"] * unit.factor).drop(columns="class_index"),
        hide_index=True,
        key=f"sweep_statistics_{key}",
        column_config={
            "class_name": st.column_config.TextColumn("Class", pinned=True),
            "images": "Images",
            "wrong": "Wrong without (0)",
            "none_found": "None found (∞)",
            "median": st.column_config.NumberColumn(
                f"Median {unit.title.removeprefix('eps ')}", format="%.3g"
            ),
        },
    )


def summarise(lengths: pd.DataFrame) -> pd.DataFrame:
    """Reduce the lengths to one row a class; the median counts 0 and infinity like any other length."""
    grouped = lengths.groupby(["class_index", "class_name"], sort=True)["length"]
    return grouped.agg(
        images="size",
        wrong=lambda length: int((length == 0).sum()),
        none_found=lambda length: int(np.isinf(length).sum()),
        median="median",
    ).reset_index()


def needing_more(lengths: pd.DataFrame) -> pd.DataFrame:
    """Count, class by class and eps by eps, the images whose smallest perturbation is longer."""
    finite = lengths["length"][np.isfinite(lengths["length"])]
    grid = np.linspace(0, float(finite.quantile(0.99)), GRID_POINTS)
    blocks = []
    for (index, name), block in lengths.groupby(["class_index", "class_name"], sort=True):
        share = (block["length"].to_numpy()[None, :] > grid[:, None]).mean(axis=1)
        blocks.append(
            pd.DataFrame({"eps": grid, "class_index": index, "class_name": name, "accuracy": share})
        )
    return pd.concat(blocks, ignore_index=True)


def downloads(files: tuple[tuple[str, pd.DataFrame, str], ...]) -> None:
    with st.container(horizontal=True):
        for label, frame, file in files:
            elements.csv_button(label, downloadable.csv(frame), file, f"download_{file}")


elements.heading("Sweep", "Robust accuracy over eps, and how little it takes to break an image.")
runs = choose_runs()
if runs:
    with elements.explained_errors():
        found = choose_evaluations(runs)
        show_sweeps(found)
        show_minimum(found)
