"""How little it takes to break each image: what `fab-min` found."""

import numpy as np
import pandas as pd
import streamlit as st

from app import cards, charts, elements, table_columns, texts, wording
from app.engine import budgets, image_outcomes
from app.sections.swept import Swept, downloads, that_counts, unit_of

MOST_CLASSES = 20
GRID_POINTS = 61


def show_minimum(found: list[Swept]) -> None:
    """Show the smallest perturbations that were found of each run."""
    st.subheader("The smallest perturbation that breaks an image")
    searched = that_counts([swept for swept in found if budgets.finds_minimum(swept.run, swept.evaluation)])
    if not searched:
        st.caption(
            "Not looked for yet: start a search above. It finds, for every image, a perturbation as small as "
            "it can (the attack fab-min)."
        )
        return
    for swept in searched:
        with elements.explained_errors():
            show_lengths(swept)


def show_lengths(swept: Swept) -> None:
    """Draw what it takes to break each class's images."""
    lengths = budgets.smallest_perturbations(image_outcomes.outcomes(swept.run, swept.evaluation))
    norm = next(row.norm for row in swept.evaluation.scores if row.attack != "clean")
    unit = unit_of(norm)
    statistics = summarise(lengths)
    none_found, wrong = int(statistics["none_found"].sum()), int(statistics["wrong"].sum())
    st.caption(
        f"**{texts.plain(swept.title)}** · {texts.plain(elements.evaluation_title(swept.evaluation))}. Of "
        f"{wording.count(len(lengths), 'image')}, {wrong:,} are wrong without a perturbation (0), and for "
        f"{none_found} none was found (infinite); the boxes are of the others."
    )
    hardest = statistics.nsmallest(MOST_CLASSES, "median")["class_index"]
    finite = lengths[np.isfinite(lengths["length"]) & (lengths["length"] > 0)]
    boxed = finite[finite["class_index"].isin(hardest)]
    note = f"Median, quartiles and reach; {unit.title}."
    if len(statistics) > MOST_CLASSES:
        note += f" The {MOST_CLASSES} classes that break most easily."
    cards.show_cards(
        [
            cards.Card(
                "Smallest perturbation per class",
                f"sweep_boxes_{swept.key}",
                charts.smallest_perturbations(boxed, unit) if len(boxed) else None,
                note,
                "no image needed a perturbation that was found.",
            ),
            cards.Card(
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
    """Show the lengths of every class in numbers."""
    st.dataframe(
        statistics.assign(median=statistics["median"] * unit.factor).drop(columns="class_index"),
        hide_index=True,
        key=f"sweep_statistics_{key}",
        column_config={
            "class_name": st.column_config.TextColumn("Class", pinned=True),
            "images": table_columns.count_column("Images"),
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
