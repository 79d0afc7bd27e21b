"""Charts of one run, class by class: accuracy, ranks, what its rule set, the gate of FAWA, and speed."""

import re

import pandas as pd
import streamlit as st

from app import cards, charts, tables, wording
from app.engine import calibration, histories, run_folders, snapshots
from app.sections import kept_epochs


@st.cache_resource(max_entries=10, show_spinner=False)
def charts_of(run_id: str, weights: str, stamp: tuple[int, int]) -> list[cards.Card]:
    """Draw a run's charts, once for everybody who watches it with these weights."""
    run = snapshots.find_run(run_id)
    if run is None:
        return []
    history, epochs = histories.history(run), histories.epochs(run)
    validation = history[history["split"] == "val"]
    kept = kept_epochs.kept_of(run).epochs
    of_all = accuracy_cards(validation)
    of_these = [
        *class_cards(run, validation, weights),
        *rank_cards(validation, weights),
        *group_cards(run, validation, weights),
        *calibration_cards(run),
        *gate_and_speed_cards(run, epochs),
    ]
    chosen = {kind: epoch for kind, epoch in kept.items() if kind == weights}
    for drawn, marked in ((of_all, kept), (of_these, chosen)):
        for card in drawn:
            if card.figure is not None:
                charts.mark_kept(card.figure, marked)
    return [*of_all, *of_these]


def accuracy_cards(validation: pd.DataFrame) -> list[cards.Card]:
    """Show mean and worst class, clean and attacked, of every kind of weights."""
    found = []
    for name, title in (("clean", "Clean accuracy"), (tables.robust_attack(validation), "Robust accuracy")):
        summary = tables.epoch_summary(validation[validation["attack"] == name])
        figure = charts.accuracy_over_epochs(summary) if len(summary) else None
        says = "Validation; solid: mean of the classes, dotted: worst class."
        found.append(cards.Card(title, f"monitor_{title}", figure, says))
    return found


def attacked(validation: pd.DataFrame, weights: str) -> tuple[str | None, pd.DataFrame]:
    """Keep the scores of one kind of weights under attack, and say which attack that is."""
    attack = tables.robust_attack(validation)
    return attack, validation[(validation["attack"] == attack) & (validation["weights"] == weights)]


def class_cards(run: snapshots.Run, validation: pd.DataFrame, weights: str) -> list[cards.Card]:
    """Show the robust accuracy of every class, as lines and as colours."""
    attack, chosen = attacked(validation, weights)
    title = charts.WEIGHTS_TITLES[weights]
    empty = (
        f"no {title} weights yet; averaging starts in epoch {run.folder.config.averaging.start_epoch}, "
        "and FAWA with the first epoch that passes its gate."
    )
    lines = charts.class_lines(chosen, "accuracy", charts.PERCENT) if len(chosen) else None
    heat = charts.class_heatmap(chosen, "accuracy") if len(chosen) else None
    says = f"Validation, {wording.attack_title(attack or '')}."
    return [
        cards.Card(f"Robust accuracy per class, {title} weights", "monitor_class_lines", lines, says, empty),
        cards.Card(
            f"Class × epoch, {title} weights",
            "monitor_heatmap",
            heat,
            "The same numbers as colours; dark is low.",
            empty,
        ),
    ]


def rank_cards(validation: pd.DataFrame, weights: str) -> list[cards.Card]:
    """Show which class is where among all of them, and whether that settles."""
    _, chosen = attacked(validation, weights)
    return [
        cards.Card(
            f"Rank of every class, {charts.WEIGHTS_TITLES[weights]} weights",
            "monitor_ranks",
            charts.class_ranks(chosen) if len(chosen) else None,
            "By robust accuracy on validation images; 1 is the best, and classes that tie share it.",
            "no weights of this kind yet.",
        )
    ]


def group_cards(run: snapshots.Run, validation: pd.DataFrame, weights: str) -> list[cards.Card]:
    """Show head, medium and tail where classes are not equally large."""
    groups, manifest = run_folders.class_groups(run), run_folders.manifest(run)
    if not groups or manifest is None:
        return []
    attack, chosen = attacked(validation, weights)
    parts = tables.group_history(chosen, groups, manifest.train_counts) if len(chosen) else chosen
    return [
        cards.Card(
            f"Head, medium and tail, {charts.WEIGHTS_TITLES[weights]} weights",
            "monitor_groups",
            charts.class_lines(parts, "accuracy", charts.PERCENT) if len(parts) else None,
            f"Mean robust accuracy of thirds of the classes, by training images. Validation, "
            f"{wording.attack_title(attack or '')}.",
            "no weights of this kind yet.",
        )
    ]


def calibration_cards(run: snapshots.Run) -> list[cards.Card]:
    """Draw every knob of the run's method that varies, and say what the others are."""
    knobs = histories.knobs(run)
    if knobs.empty:
        return []
    return [knob_card(run, knobs, knob) for knob in calibration.drawn_knobs(run, knobs)]


def knob_card(run: snapshots.Run, knobs: pd.DataFrame, knob: calibration.DrawnKnob) -> cards.Card:
    """Show what the rule set for every class, on an axis that is fitted to it."""
    summary = f"A larger value: {knob.card.summary}. " if knob.card.summary else ""
    alike = f"All classes alike up to epoch {knob.alike_until}. " if knob.alike_until else ""
    value = wording.eps_255(knob.value or 0) if knob.card.unit else f"{knob.value or 0:g}"
    unit = charts.EPS if knob.card.unit else charts.Unit(knob.card.label)
    return cards.Card(
        f"{knob.card.label} per class",
        re.sub(r"\W", "_", f"monitor_{knob.name}"),
        charts.class_lines(knobs, knob.name, unit, from_zero=False) if knob.varies else None,
        f"{alike}{summary}".strip(),
        f"all classes have {value} in all epochs so far.",
    )


def gate_and_speed_cards(run: snapshots.Run, epochs: pd.DataFrame) -> list[cards.Card]:
    """Show which epochs entered the average of FAWA, and how fast training is."""
    settings = run.folder.config.averaging
    tested = epochs.dropna(subset=["gate_worst"])
    averaged = tested[tested["epoch"] >= settings.start_epoch]
    accepted = int(averaged["gate_accepted"].fillna(False).sum())
    statistic = f"validation, {settings.gate.replace('-', ' ')}"
    return [
        cards.Card(
            "FAWA gate",
            "monitor_gate",
            charts.gate(epochs, statistic, settings.start_epoch) if len(tested) else None,
            f"{accepted} of {wording.count(len(averaged), 'epoch')} accepted: from epoch "
            f"{settings.start_epoch} on, an epoch enters the average when its validation statistic reaches "
            f"{wording.percent(settings.threshold)}.",
            f"averaging starts in epoch {settings.start_epoch}; the gate is drawn from then on.",
        ),
        cards.Card(
            "Speed",
            "monitor_speed",
            charts.speed(epochs) if epochs["seconds"].notna().any() else None,
            "Training images per second.",
            "it was not kept where this run was trained.",
        ),
    ]
