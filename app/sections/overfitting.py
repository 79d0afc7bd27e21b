"""Robust overfitting: training runs ahead of what the network never saw, and where it began."""

import streamlit as st

from app import cards, charts, curve_frames, fields, tables, texts, wording
from app.curve_frames import MEAN, WORST
from app.engine import histories, snapshots
from app.sections import kept_epochs


def overfitting_section(run: snapshots.Run, weights: str) -> None:
    """Draw robust accuracy on training, validation and (with the test probe) test images, with the gap.

    Args:
        run: A run with an epoch that ended.
        weights: Of validation and test; training is always that of the online weights.
    """
    history = histories.history(run)
    validation = history[history["split"] == "val"]
    attack = tables.robust_attack(validation)
    if attack is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.markdown("**Robust overfitting**", width="content")
        classes = [str(name) for name in validation["class_name"].unique()]
        measures = {name: name for name in (MEAN, WORST, *classes)}
        measure = fields.selectbox("Of", measures, name="overfitting", width=260)
    lines, unseen = curve_frames.overfitting_lines(history, weights, attack, measure)
    drops = curve_frames.learning_rate_drops(histories.epochs(run))
    kept = kept_epochs.kept_of(run)
    figure = charts.robust_overfitting(lines, drops) if not lines.empty else None
    if figure is not None and weights in kept.epochs:
        charts.mark_kept(figure, {weights: kept.epochs[weights]})
    cards.show_card(
        cards.Card(
            f"Robust accuracy, {measure}",
            "monitor_overfitting",
            figure,
            _says(attack, weights, unseen, kept, bool(lines["split"].eq("gap").any())),
            "neither training nor validation accuracy was kept.",
        ),
        view=f"{run.id} {measure}",
    )
    if not history["split"].eq("test").any():
        st.caption(
            "With `train.test_probe=true` a run is also measured on test images in every epoch: drawn here, "
            "and never used to choose anything."
        )


def _says(attack: str, weights: str, unseen: str, kept: kept_epochs.KeptEpochs, has_gap: bool) -> str:
    title = charts.WEIGHTS_TITLES[weights]
    words = [
        f"Training: as it went, on its own attack, each class at its own eps, online weights. The others: "
        f"{wording.attack_title(attack)}, {title} weights."
    ]
    if has_gap:
        split = "test" if unseen == "test" else "validation"
        words.append(f"Dotted: training minus {split}.")
    if weights in kept.epochs:
        words.append(
            f"{title} weights: epoch {kept.epochs[weights]} has their highest mean plus worst class on "
            f"{kept.chosen_on} images, and was kept."
        )
    if weights != kept.own and kept.own in kept.epochs:
        own = charts.WEIGHTS_TITLES[kept.own]
        words.append(f"The run is reported with its {own} weights, kept at epoch {kept.epochs[kept.own]}.")
    return texts.readable(" ".join(words))
