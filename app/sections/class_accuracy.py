"""Accuracy class by class: a chart of the hardest, and a table of all."""

import pandas as pd
import streamlit as st

from app import cards, charts, elements, table_columns, tables, texts, wording
from app.engine import attacked_images, image_outcomes, run_folders, snapshots

MOST_CLASSES = 20


def show_accuracy(found: image_outcomes.ImageOutcomes, column: attacked_images.ShownColumn) -> None:
    """Draw clean accuracy and that of a column, of the hardest classes; the table has all."""
    st.subheader(f"Accuracy per class of {texts.plain(found.run.name)}")
    clean = found.columns[0]
    chosen = [clean] if column == clean else [clean, column]
    table = found.scores(chosen)
    table = table.assign(
        group=table["attack"],
        series=table["attack"].map(lambda attack: found.title(clean if attack == "clean" else column)),
        low=table["ci_low"],
        high=table["ci_high"],
    )
    attacked = table[table["attack"] == column.attack]
    ran = attacked[attacked["total"] > 0]
    hardest = tables.hardest_classes(ran, column.attack, MOST_CLASSES)
    shown = table[table["class_index"].isin(hardest) & (table["total"] > 0)]
    note = f"{in_a_line(ran)} Whiskers: 95 % Wilson intervals."
    if len(hardest) < ran["class_index"].nunique():
        note += f" The {len(hardest)} hardest of {ran['class_index'].nunique()} classes; the table has all."
    styles = {
        "clean": charts.SeriesStyle(charts.CLASS_COLOURS[0], plain=True),
        column.attack: charts.SeriesStyle(charts.CLASS_COLOURS[0]),
    }
    figure = charts.class_bars(shown, styles) if len(shown) else None
    cards.show_card(
        cards.Card(
            found.title(column),
            "classes_bars",
            figure,
            note,
            "it was run on no image.",
            own_table=True,
        )
    )
    with st.expander("Table", icon=":material/table:"):
        show_table(with_training_images(found.run, table))


def in_a_line(ran: pd.DataFrame) -> str:
    """Say mean and worst class."""
    if ran.empty:
        return ""
    worst = ran.iloc[int(ran["accuracy"].to_numpy().argmin())]
    return (
        f"Mean of classes {wording.percent(ran['accuracy'].mean())}, worst class {worst['class_name']} with "
        f"{wording.percent(worst['accuracy'])} ({worst['correct']:,} of {worst['total']:,} images right)."
    )


def with_training_images(run: snapshots.Run, table: pd.DataFrame) -> pd.DataFrame:
    """Add how many training images each class has, and its group, where classes are not equally large."""
    groups, manifest = run_folders.class_groups(run), run_folders.manifest(run)
    if manifest is None or len(groups) != table["class_index"].nunique():
        return table
    return table.assign(
        trained=table["class_index"].map(pd.Series(manifest.train_counts)),
        part=table["class_index"].map(pd.Series(groups)),
    )


def show_table(table: pd.DataFrame) -> None:
    """Show every class with its counts and interval."""
    percent = elements.percent_columns(table, ["accuracy", "low", "high"])
    columns = ["class_name", "series", "correct", "total", "accuracy", "low", "high", "trained", "part"]
    st.dataframe(
        percent[[name for name in columns if name in percent]],
        hide_index=True,
        key="classes_table",
        column_config={
            "class_name": st.column_config.TextColumn("Class", pinned=True),
            "series": "Attack",
            "correct": table_columns.count_column("Right"),
            "total": table_columns.count_column("Images"),
            "accuracy": elements.percent_column("Accuracy"),
            "low": elements.percent_column("95 % from", help=table_columns.INTERVAL_HELP),
            "high": elements.percent_column("to"),
            "trained": table_columns.count_column("Training images"),
            "part": "Group",
        },
    )
