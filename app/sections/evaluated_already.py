"""What is known of the chosen runs before anything is started: in a sentence, and as a short table."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import charts, elements, glossary, table_columns, tables, texts, wording
from app.engine import evaluated, snapshots

MOST_ROWS = 7  # before the table scrolls


def say_known(chosen: Sequence[snapshots.Run]) -> None:
    """Say what the chosen runs come to under the strongest attack that most of them have."""
    results = evaluated.results(chosen)
    whose = texts.plain(chosen[0].name) if len(chosen) == 1 else wording.count(len(chosen), "run")
    found = [one for one in tables.conditions(results.per_class) if one.norm != "none"]
    if not found:
        st.subheader(f"{whose}: not evaluated yet." if len(chosen) == 1 else f"{whose}, none evaluated yet.")
        return
    rows = of_own_weights(found[0].of(results.summary), chosen)
    images = " or ".join(f"{number:,}" for number in sorted(set(rows["total"])))
    attack = wording.condition(found[0].attack, found[0].norm, found[0].eps)
    said = texts.plain(f"{attack}, {images} test images of {found[0].dataset}")
    if len(chosen) > 1:
        low, high = rows["worst_accuracy"].min(), rows["worst_accuracy"].max()
        st.subheader(
            f"{len(rows)} of {whose} are evaluated alike: worst classes from {wording.percent(low)} to "
            f"{wording.percent(high)}."
        )
        st.caption(f"{said}, each with its own weights.")
        return
    row = rows.iloc[0]
    st.subheader(
        f"{whose} keeps {wording.percent(row['worst_accuracy'])} in its worst class, "
        f"{texts.plain(row['worst_class'])}, and {wording.percent(row['mean_accuracy'])} in the mean."
    )
    weights = charts.WEIGHTS_TITLES.get(row["weights"], row["weights"])
    st.caption(
        f"{said}, {weights} weights. 95 % interval, whichever class is the worst: "
        f"{wording.percent_range(row['worst_ci_low'], row['worst_ci_high'])}.",
        help=glossary.explained("worst class", "mean of classes", "eps", attack),
    )


def warn_of_failed_checks(chosen: Sequence[snapshots.Run]) -> None:
    """Say beside the numbers, and not only below them, that a sanity check of a run failed."""
    failed = [
        run.name
        for run in chosen
        if any(check.passed is False for one in evaluated.evaluations(run) for check in one.checks)
    ]
    if failed:
        names = texts.plain(", ".join(dict.fromkeys(failed)))
        st.warning(f"{names}: a sanity check failed; see the checks below.", icon=":material/gpp_bad:")


def of_own_weights(summary: pd.DataFrame, chosen: Sequence[snapshots.Run]) -> pd.DataFrame:
    """Keep one row a run: of the weights that it is reported with, else of the first that it has."""
    own = {run.id: evaluated.own_weights(run) for run in chosen}
    ordered = summary.assign(own=summary["run_id"].map(own) == summary["weights"])
    return ordered.sort_values("own", ascending=False, kind="stable").drop_duplicates("run_id")


def show_known(chosen: Sequence[snapshots.Run]) -> None:
    """Tabulate what the chosen runs were evaluated with already, the strongest attack first."""
    st.markdown("**Evaluated already**")
    results = evaluated.results(chosen)
    rows = [
        one.of(results.summary).assign(measured=wording.condition(one.attack, one.norm, one.eps))
        for one in tables.conditions(results.per_class)
        if one.norm != "none"
    ]
    if not rows:
        st.caption("Nothing yet: a plan, and Start.")
        return
    table = elements.percent_columns(pd.concat(rows), ["worst_accuracy", "mean_accuracy"])
    table = table.assign(weights=table["weights"].map(lambda kind: charts.WEIGHTS_TITLES.get(kind, kind)))
    columns = ["measured", "worst_accuracy", "mean_accuracy", "weights", "total"]
    if len(chosen) > 1:
        columns[1:1] = ["run_name"]
    if table["checkpoint"].nunique() > 1:
        columns.append("checkpoint")
    st.dataframe(
        table[columns],
        hide_index=True,
        height="content" if len(table) <= MOST_ROWS else 35 * (MOST_ROWS + 1),
        key="evaluate_known",
        column_config={
            "measured": st.column_config.TextColumn("Attack, eps"),
            "run_name": "Run",
            "worst_accuracy": elements.percent_column("Worst"),
            "mean_accuracy": elements.percent_column("Mean"),
            "weights": "Weights",
            "total": table_columns.count_column("Images"),
            "checkpoint": "Checkpoint",
        },
    )
