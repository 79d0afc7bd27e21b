"""Compare's tables: every model with its difference to the baseline, and fairness metrics of the field."""

from typing import Any

import pandas as pd
import streamlit as st

from app import charts, elements, table_columns, tables, wording
from app.engine import downloadable, evaluated, training_settings
from app.sections import comparison_choice


def summary_section(comparison: comparison_choice.Compared) -> None:
    """Show every model in a row, with its difference to the baseline."""
    st.subheader("At a glance")
    table = with_differences(comparison)
    columns = [
        "series",
        "against",
        "weights",
        "mean",
        "mean_difference",
        "worst",
        "worst_difference",
        "worst_class",
    ]
    parts = [part for part in tables.CLASS_GROUPS if part in table]
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
            "against": "Against",
            "weights": "Weights",
            "mean": elements.percent_column("Mean"),
            "mean_interval": f"Mean, {interval}",
            "mean_difference": elements.percent_column("Change", "%+.1f"),
            "worst": elements.percent_column("Worst class"),
            "worst_interval": f"Worst, {interval}",
            "worst_difference": elements.percent_column("Change ", "%+.1f"),
            "worst_class": "Which",
            **{part: elements.percent_column(part.capitalize()) for part in parts},
            "images": table_columns.count_column("Images"),
            "seeds": "Seeds",
            "common": st.column_config.TextColumn("Where the images differ", width="large"),
        },
    )
    st.caption(
        "Changes are in percentage points, to weights of the same kind. Intervals: 95 % "
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


def with_differences(comparison: comparison_choice.Compared) -> pd.DataFrame:
    """Add to the models, in percent, what each is compared with, differences, intervals, other images."""
    models = comparison.models
    table = elements.percent_columns(models, ["mean", "worst"])
    titles = {group.key: group.title for group in comparison.groups}
    against = models["group"].map(comparison.baselines)
    common = on_common_images(comparison)
    table["common"] = [evaluated.on_common_images(entry) if entry else "" for entry in common]
    known = models.set_index(["group", "weights"])
    beside = pd.MultiIndex.from_arrays([against, models["weights"]])
    named = known["series"].reindex(beside).to_numpy()  # with its weights, which are those of the row
    table["against"] = pd.Series(named, models.index).fillna(against.map(titles)).fillna("")
    images = known["images"].reindex(beside).to_numpy()
    for measure in ("mean", "worst"):
        change = 100 * (models[measure] - known[measure].reindex(beside).to_numpy())
        change = change.where(models["images"] == images)
        paired = [100 * entry[f"{measure}_difference"] if entry else None for entry in common]
        change = change.fillna(pd.Series(paired, models.index, dtype=float))
        change = change.where(change.abs() >= 0.05, change.abs())  # what rounds to nothing has no sign
        table[f"{measure}_difference"] = change
        table[f"{measure}_interval"] = [
            wording.percent_range(low, high)
            for low, high in zip(models[f"{measure}_low"], models[f"{measure}_high"], strict=True)
        ]
    return table


def on_common_images(comparison: comparison_choice.Compared) -> list[dict[str, Any] | None]:
    """Find, for every row of the table, the comparison on the images that it and the other have in common.

    ``None`` where both have the same images anyway, or nothing is known image by image.
    """
    where = comparison.condition
    wanted = (where.dataset, where.attack, where.norm, where.eps, where.checkpoint, where.checkpoint)
    names = ("dataset", "attack", "norm", "eps", "checkpoint", "baseline_checkpoint")
    sides = {
        pair.group.key: (comparison.runs_of(pair.baseline), comparison.runs_of(pair.group))
        for pair in comparison.pairs
    }
    found: list[dict[str, Any] | None] = []
    for key, weights in comparison.models[["group", "weights"]].itertuples(index=False, name=None):
        base, others = sides.get(key, ([], []))
        entries = [
            entry
            for entry in (evaluated.pairs(base[0], others[0]) if len(base) == len(others) == 1 else [])
            if tuple(entry[name] for name in names) == wanted
            and entry["weights"] == entry["baseline_weights"] == weights
            and evaluated.on_common_images(entry)
        ]
        found.append(entries[0] if entries else None)
    return found


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


def fairness_section(comparison: comparison_choice.Compared) -> None:
    """Show the fairness metrics of the field, folded away."""
    with st.expander("Fairness metrics of the field", icon=":material/balance:"):
        against = {
            member.run_id: [other.run_id for other in pair.baseline.members]
            for pair in comparison.pairs
            for member in pair.group.members
        }
        frame = comparison.condition.of(evaluated.fairness(comparison.runs, against))
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
