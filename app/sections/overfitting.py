"""Robust overfitting: training runs ahead of what the network never saw, and where it began."""

import streamlit as st

from app import cards, charts, curve_frames, fields, tables, texts, wording
from app.curve_frames import MEAN, WORST
from app.engine import histories, snapshots


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
    selected = run.folder.config.train.select_on
    of_choice = history[history["split"] == selected]
    chosen = of_choice[(of_choice["attack"] == attack) & (of_choice["weights"] == weights)]
    drops = curve_frames.learning_rate_drops(histories.epochs(run))
    best = curve_frames.best_epoch(chosen)
    figure = charts.robust_overfitting(lines, drops, best) if not lines.empty else None
    cards.show_card(
        cards.Card(
            f"Robust accuracy, {measure}",
            "monitor_overfitting",
            figure,
            _says(attack, weights, unseen, best, bool(lines["split"].eq("gap").any())),
            "neither training nor validation accuracy was kept.",
        ),
        view=f"{run.id} {measure}",
    )
    if not history["split"].eq("test").any():
        st.caption(
            "With `train.test_probe=true` a run is also measured on test images in every epoch: drawn here, "
            "and never used to choose anything."
        )


def _says(attack: str, weights: str, unseen: str, best: int | None, has_gap: bool) -> str:
    title = charts.WEIGHTS_TITLES[weights]
    words = [
        f"Training: as it went, on its own attack, each class at its own eps, online weights. The others: "
        f"{wording.attack_title(attack)}, {title} weights."
    ]
    if has_gap:
        split = "test" if unseen == "test" else "validation"
        words.append(f"Dotted: training minus {split}.")
    if best is not None:
        words.append(f"Epoch {best} has the best mean plus worst class, and was kept.")
    return texts.readable(" ".join(words))
