"""Robust accuracy over eps: curves with their intervals, and the area under each."""

import numpy as np
import pandas as pd
import streamlit as st

from app import cards, charts, elements, fields, glossary, table_columns, texts, wording
from app.engine import budgets
from app.sections import series_colours
from app.sections.sweep_answer import SweepAnswer, answer
from app.sections.swept import Swept, downloads, that_counts, unit_of

LINES = (
    "Solid: treated for fairness; dashed, hollow: the plain method. Clean images are eps 0. Bands: 95 % "
    "intervals; upright line: eps of training."
)
LOWEST = "Thick, with its 95 % interval: the lowest class."
CHANGE = "change"
CUMULATIVE = "An image that is broken at a smaller eps counts as broken at every larger one."


def show_sweeps(found: list[Swept], above: st.delta_generator.DeltaGenerator) -> None:
    """Draw accuracy over budgets: of all runs together, then of each class by class.

    Args:
        found: The evaluations that are shown.
        above: Where is said what they come to.
    """
    sweeps = [swept for swept in found if budgets.is_sweep(swept.evaluation)]
    if not sweeps:
        above.caption("None of these evaluations has several budgets: start a sweep.")
        return
    sweeps = of_one_data_set(sweeps, "sweep_data")
    attack, norm = choose_attack(sweeps)
    alike = that_counts([swept for swept in sweeps if (attack, norm) in attacks_of(swept)])
    per_class, summary = budgets.sweep_scores([(swept.run, swept.evaluation) for swept in alike])
    wanted = per_class["attack"].isin([attack, "clean"])  # clean images are the budget 0
    per_class, summary = per_class[wanted], summary[summary["attack"].isin([attack, "clean"])]
    names = {"mean_accuracy": "mean", "worst_accuracy": "worst"}
    names |= {f"{m}_ci_{end}": f"{m}_{end}" for m in ("mean", "worst") for end in ("low", "high")}
    named, grouped = with_group(summary, alike).rename(columns=names), with_group(per_class, alike)
    areas = areas_under_curves(grouped)
    with above:
        say_answer(answer(named, areas, norm, trained_at(alike, norm)), alike, attack)
    show_charts(named, grouped, alike, norm)
    left, right = st.columns([3, 2])
    with left:
        show_table(named, norm)
    with right:
        show_areas(areas, list(dict.fromkeys(named["series"])), norm)
    downloads(
        (
            ("Per-class CSV", per_class, "sweep_per_class.csv"),
            ("Summary CSV", summary, "sweep_summary.csv"),
            ("Areas CSV", areas, "sweep_areas.csv"),
        )
    )


def say_answer(said: SweepAnswer, alike: list[Swept], attack: str) -> None:
    """Say what the sweeps come to, before anything is drawn."""
    st.subheader(said.headline)
    each = "".join(f"\n- {one}" for one in said.of_each)
    st.markdown(
        f"{said.note}{each}",
        help=glossary.explained("eps", "worst class", "mean of classes", "area under the curve"),
    )
    images = sorted({swept.evaluation.images for swept in alike})
    counted = " and ".join(f"{number:,}" for number in images)
    st.caption(
        texts.plain(
            f"{wording.attack_title(attack)} on {counted} images of {alike[0].evaluation.dataset}. "
            f"{CUMULATIVE}"
        )
    )


def show_charts(named: pd.DataFrame, grouped: pd.DataFrame, alike: list[Swept], norm: str) -> None:
    """Draw worst class and mean of all models side by side, then each model class by class."""
    unit, trained = unit_of(norm), trained_at(alike, norm)
    styles = series_colours.choose_styles(
        [series_colours.Series(swept.key, swept.title, swept.run.method) for swept in alike],
        name="coloured",
    )
    cards.show_cards(
        [
            cards.Card(
                title,
                f"sweep_{measure}",
                charts.models_over_eps(named, measure, styles, unit, trained),
                says,
            )
            for measure, title, says in (
                ("worst", "Worst class over eps", LINES),
                ("mean", "Mean of classes over eps", "Lines and bands as of the worst class."),
            )
        ]
    )
    cards.show_cards(
        [
            cards.Card(
                f"{swept.title}: class by class",
                f"sweep_classes_{swept.key}",
                charts.accuracy_over_eps(
                    grouped[grouped["group"] == swept.key], unit, trained_at([swept], norm)
                ),
                f"{elements.evaluation_title(swept.evaluation)}. {LOWEST}",
            )
            for swept in alike
        ]
    )


def trained_at(found: list[Swept], norm: str) -> tuple[float, ...]:
    """Return the budgets that these runs were trained at, where that is the norm that is drawn."""
    settings = [swept.run.folder.config.attack for swept in found if not swept.run.is_external]
    return tuple(sorted({one.eps for one in settings if one.norm == norm}))


def areas_under_curves(per_class: pd.DataFrame) -> pd.DataFrame:
    """Integrate accuracy over eps, class by class, and divide by the largest eps: the mean over budgets.

    Args:
        per_class: Columns ``series, class_index, class_name, eps, accuracy``; clean images are eps 0.

    Returns:
        Columns ``series, class_index, class_name, area, largest_eps``; a fraction, by the trapezoidal rule.
    """
    rows = []
    keys = ["series", "class_index", "class_name"]
    for key, block in per_class.sort_values("eps").groupby(keys, sort=False):
        eps, accuracy = block["eps"].to_numpy(float), block["accuracy"].to_numpy(float)
        reach = eps[-1] - eps[0]
        area = np.trapezoid(accuracy, eps) / reach if reach else float(accuracy[0])
        rows.append((*key, float(area), eps[-1]))
    return pd.DataFrame(rows, columns=[*keys, "area", "largest_eps"]).sort_values(keys[:2], ignore_index=True)


def show_areas(areas: pd.DataFrame, series: list[str], norm: str) -> None:
    """Show the area under every class's curve, the class that keeps least first, models side by side."""
    reach = wording.budget(norm, areas["largest_eps"].max())
    wide = areas.pivot(index=["class_index", "class_name"], columns="series", values="area")
    wide = wide.loc[wide.min(axis=1).sort_values().index, series]
    if len(series) == 2:  # by how much they differ
        wide[CHANGE] = wide[series[1]] - wide[series[0]]
    percent = (100 * wide).reset_index("class_name").reset_index(drop=True)
    st.markdown("**Area under the curve, class by class**", help=glossary.explained("area under the curve"))
    st.caption(f"The mean accuracy over all budgets from 0 to {reach}: what a class keeps along its curve.")
    st.dataframe(
        percent,
        hide_index=True,
        key="sweep_areas",
        width="content",
        height="content" if len(percent) <= 30 else "auto",
        column_config={
            "class_name": st.column_config.TextColumn("Class", pinned=True),
            **{name: elements.percent_column(name) for name in series},
            CHANGE: elements.percent_column(CHANGE, "%+.1f", help="The second less the first, in points."),
        },
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
    """List attacks and norms of an evaluation."""
    rows = [row for row in swept.evaluation.scores if row.attack != "clean"]
    return list(dict.fromkeys((row.attack, row.norm) for row in rows))


def choose_attack(sweeps: list[Swept]) -> tuple[str, str]:
    """Ask for one attack and norm, where there are several."""
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


def show_table(summary: pd.DataFrame, norm: str) -> None:
    """Show mean and worst class at every budget."""
    table = elements.percent_columns(summary, ["mean", "worst"])
    table = table.assign(budget=["clean" if eps == 0 else wording.budget(norm, eps) for eps in table["eps"]])
    several = table["series"].nunique() > 1
    columns = ["budget", "worst", "worst_class", "mean"]
    st.markdown("**Worst class and mean at every eps**")
    st.dataframe(
        table[["series", *columns, "total"]],
        hide_index=True,
        column_order=["series", *columns] if several else columns,
        height="content" if len(table) <= 30 else "auto",
        key="sweep_table",
        column_config={
            "series": st.column_config.TextColumn("Model"),
            "budget": "eps",
            "mean": elements.percent_column("Mean"),
            "worst": elements.percent_column("Worst class"),
            "worst_class": "Which",
            "total": table_columns.count_column("Images"),
        },
    )
