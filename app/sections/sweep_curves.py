"""Robust accuracy over eps: curves with their intervals, and the area under each."""

import numpy as np
import pandas as pd
import streamlit as st

from app import cards, charts, elements, fields, table_columns, wording
from app.engine import budgets
from app.sections import series_colours
from app.sections.swept import Swept, downloads, that_counts, unit_of

CUMULATIVE = "An image that is broken at a smaller eps counts as broken at every larger one."


def show_sweeps(found: list[Swept]) -> None:
    """Draw accuracy over budgets: of all runs together, then of each class by class."""
    st.subheader("Robust accuracy over eps")
    sweeps = [swept for swept in found if budgets.is_sweep(swept.evaluation)]
    if not sweeps:
        st.caption("None of these evaluations has several budgets: start a sweep above.")
        return
    sweeps = of_one_data_set(sweeps, "sweep_data")
    attack, norm = choose_attack(sweeps)
    alike = that_counts([swept for swept in sweeps if (attack, norm) in attacks_of(swept)])
    per_class, summary = budgets.sweep_scores([(swept.run, swept.evaluation) for swept in alike])
    wanted = per_class["attack"].isin([attack, "clean"])  # clean images are the budget 0
    per_class, summary = per_class[wanted], summary[summary["attack"].isin([attack, "clean"])]
    unit = unit_of(norm)
    styles = series_colours.choose_styles(
        [series_colours.Series(swept.key, swept.title, swept.run.method) for swept in alike],
        name="coloured",
    )
    names = {"mean_accuracy": "mean", "worst_accuracy": "worst"}
    names |= {f"{m}_ci_{end}": f"{m}_{end}" for m in ("mean", "worst") for end in ("low", "high")}
    named = with_group(summary, alike).rename(columns=names)
    cards.show_card(
        cards.Card(
            f"{wording.attack_title(attack)}: mean and worst class",
            "sweep_mean_worst",
            charts.mean_and_worst_over_eps(named, styles, unit, trained_at(alike, norm)),
            f"{CUMULATIVE} Clean images are eps 0. Bands: 95 % intervals; upright lines: eps of training. "
            f"On {alike[0].evaluation.dataset}.",
        )
    )
    grouped = with_group(per_class, alike)
    cards.show_cards(
        [
            cards.Card(
                f"{swept.title}: class by class",
                f"sweep_classes_{swept.key}",
                charts.accuracy_over_eps(
                    grouped[grouped["group"] == swept.key], unit, trained_at([swept], norm)
                ),
                elements.evaluation_title(swept.evaluation),
            )
            for swept in alike
        ]
    )
    show_table(named, norm)
    areas = areas_under_curves(grouped)
    show_areas(areas, norm)
    downloads(
        (
            ("Per-class CSV", per_class, "sweep_per_class.csv"),
            ("Summary CSV", summary, "sweep_summary.csv"),
            ("Areas CSV", areas, "sweep_areas.csv"),
        )
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


def show_areas(areas: pd.DataFrame, norm: str) -> None:
    """Show the area under every class's curve, models side by side."""
    reach = wording.budget(norm, areas["largest_eps"].max())
    wide = areas.pivot(index=["class_index", "class_name"], columns="series", values="area")
    percent = (100 * wide).reset_index("class_name").reset_index(drop=True)
    st.markdown("**Area under the curve, class by class**")
    st.caption(f"The mean accuracy over all budgets from 0 to {reach}: what a class keeps along its curve.")
    st.dataframe(
        percent,
        hide_index=True,
        key="sweep_areas",
        width="content",
        column_config={
            "class_name": st.column_config.TextColumn("Class", pinned=True),
            **{series: elements.percent_column(str(series)) for series in wide.columns},
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
            "total": table_columns.count_column("Images"),
        },
    )
