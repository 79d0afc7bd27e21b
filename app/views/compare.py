"""Compare: who gains, who pays and whether it is certain; then everything that this rests on."""

import streamlit as st

from app import cards, charts, elements, tables
from app.sections import (
    certainty,
    comparison_choice,
    comparison_documents,
    comparison_numbers,
    curves,
    verdict,
)

MOST_CLASSES = 20


def averaging_section(comparison: comparison_choice.Compared) -> None:
    st.subheader("Mean against worst class, and what averaging alone does")
    models, styles = comparison.models, comparison.styles
    scatter = cards.Card(
        "Mean against worst class",
        "compare_scatter",
        charts.mean_against_worst(models, styles),
        "Circle: online, square: EMA, diamond: FAWA. Up and to the right is better.",
    )
    bars = [
        cards.Card(
            f"{title} with online, EMA and FAWA weights",
            f"compare_averaging_{measure}",
            charts.averaging(models, measure),
            "Whiskers as in the table's intervals.",
        )
        for measure, title in (("worst", "Worst class"), ("mean", "Mean of classes"))
    ]
    cards.show_card(scatter)
    cards.show_cards(bars)


def class_section(comparison: comparison_choice.Compared) -> None:
    st.subheader("Accuracy class by class")
    scores = comparison.scores[comparison.scores["weights"] == comparison.weights]
    hardest = tables.hardest_classes(scores, comparison.first_baseline.key, MOST_CLASSES)
    total = scores["class_index"].nunique()
    if total > len(hardest):
        st.caption(
            f"The {len(hardest)} of {total} classes that are hardest for the baseline; the CSV has all."
        )
    bars = scores[scores["class_index"].isin(hardest)]
    cards.show_card(
        cards.Card(
            f"Accuracy per class, weights: {comparison_choice.KINDS[comparison.weights]}",
            "compare_bars",
            charts.class_bars(bars, comparison.styles) if len(bars) else None,
            f"{comparison.condition.title}. Whiskers: 95 % Wilson intervals, "
            "or ± one standard deviation over seeds.",
            "no run has these weights.",
        )
    )


def settings_section(comparison: comparison_choice.Compared) -> None:
    st.subheader("What differs in their settings")
    table = tables.setting_differences({run.name: run.folder.config.flat() for run in comparison.runs})
    if table.empty:
        st.caption("Nothing: these runs have the same settings.")
    else:
        st.dataframe(table, hide_index=True, key="compare_settings")


elements.heading("Compare", "Which classes gain, which pay, and how much of it averaging alone explains.")
available = comparison_choice.with_results()
if len(available) < 2:
    st.info(
        "Two runs with test results are needed, and there "
        + ("is one" if available else "are none")
        + ". A training ends with a test evaluation; the demo on Home makes four.",
        icon=":material/inbox:",
    )
    st.stop()
comparison = comparison_choice.choose(available)
if comparison is not None:
    pairs = verdict.judged(comparison)
    verdict.verdict_section(comparison, pairs)
    verdict.forest_section(pairs)
    class_section(comparison)
    comparison_numbers.summary_section(comparison)
    certainty.claims_section(comparison)
    comparison_numbers.fairness_section(comparison)
    averaging_section(comparison)
    st.subheader("Over the epochs of training")
    curves.curves_section(comparison.runs)
    settings_section(comparison)
    comparison_documents.reports_section(comparison)
