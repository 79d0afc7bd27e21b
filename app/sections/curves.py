"""Curves of several runs in one chart: accuracy, and what their rules set, over epochs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app import cards, charts, curve_frames, fields, texts, wording
from app.charts.palette import LineStyle
from app.curve_frames import MEAN, WORST, RunCurve
from app.engine import calibration, evaluated, histories, snapshots
from app.sections import series_colours

MOST_CLASSES = 1000  # that are offered by name
OWN = "own"
SPLITS = {"val": "Validation", "test": "Test probe", "train": "Training, as it went"}


@dataclass(frozen=True)
class _Choice:
    """What the curves show, and how each looks."""

    split: str
    attack: str
    weights: str
    measure: str
    together: bool
    smoothing: float
    logarithmic: bool
    styles: Mapping[str, charts.SeriesStyle]


def curves_section(runs: list[snapshots.Run]) -> None:
    """Draw curves of some runs over epochs, with what is to be chosen about them.

    Mean, worst or one class's accuracy; seeds of one experiment as a band; eps and whatever else the runs'
    rules set, in one chart for all of them.

    Args:
        runs: In the order of the legend.
    """
    trained = [run for run in runs if not run.problem and not histories.epochs(run).empty]
    if not trained:
        st.caption("None of these runs has an epoch that ended: there is nothing to draw yet.")
        return
    choice = _choose(trained)
    drawn = [_accuracy_card(trained, choice), *_knob_cards(trained, choice)]
    cards.show_cards(drawn, view=repr((choice.split, choice.attack, choice.logarithmic)))
    if left_out := [run.name for run in runs if run not in trained]:
        st.caption(texts.plain(f"Without epochs, and not drawn: {', '.join(left_out)}."))


def _choose(runs: Sequence[snapshots.Run]) -> _Choice:
    """Ask what is to be shown; what cannot differ is not asked."""
    pairs = list(dict.fromkeys(pair for run in runs for pair in _measured(run)))
    pairs.sort(key=lambda pair: (list(SPLITS).index(pair[0]), pair[1] == "clean"))
    by_key = {f"{split} {attack}": (split, attack) for split, attack in pairs}
    first, second, third = st.columns([3, 3, 3], vertical_alignment="bottom")
    titles = {key: _title_of(pair) for key, pair in by_key.items()}
    split, attack = by_key[fields.selectbox("Measured on", titles, name="curves_measured", place=first)]
    classes = list(dict.fromkeys(name for run in runs for name in _class_names(run)))[:MOST_CLASSES]
    measures = {name: name for name in (MEAN, WORST, *classes)}
    measure = fields.selectbox("Of", measures, name="curves_of", place=second)
    kinds = {kind: charts.WEIGHTS_TITLES[kind] for kind in (OWN, "online", "ema", "fawa")}
    weights = fields.segmented_control("Weights", kinds, name="curves_weights", place=third)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        several = len({run.experiment for run in runs}) < len(runs)
        together = several and fields.toggle("Seeds as one", name="curves_seeds", default=True)
        smoothing = fields.number_input(
            "Smoothing",
            name="curves_smoothing",
            default=0.0,
            min_value=0.0,
            max_value=0.95,
            step=0.05,
            width=160,
            help="How much the past counts, from 0 (as measured) to 0.95, as in TensorBoard.",
        )
        logarithmic = fields.toggle("Log scale", name="curves_log")
    series = {
        run.experiment if together else run.id: (
            evaluated.reported_title([run.member]) if together else run.name,
            run.method,
        )
        for run in runs
    }
    styles = series_colours.choose_styles(
        [series_colours.Series(key, *named) for key, named in series.items()], name="curves_coloured"
    )
    return _Choice(split, attack, weights, measure, together, smoothing or 0.0, logarithmic, styles)


def _title_of(pair: tuple[str, str]) -> str:
    split, attack = pair
    return SPLITS[split] if split == "train" else f"{SPLITS[split]}, {wording.attack_title(attack)}"


def _measured(run: snapshots.Run) -> list[tuple[str, str]]:
    history = histories.history(run)
    pairs = history[["split", "attack"]].drop_duplicates().itertuples(index=False, name=None)
    return [pair for pair in pairs if pair[0] in SPLITS]


def _class_names(run: snapshots.Run) -> list[str]:
    return [str(name) for name in histories.history(run)["class_name"].unique()]


# --- charts ---------------------------------------------------------------------------------------


def _accuracy_card(runs: Sequence[snapshots.Run], choice: _Choice) -> cards.Card:
    found = []
    for run in runs:
        history = histories.history(run)
        wanted = history[(history["split"] == choice.split) & (history["attack"] == choice.attack)]
        kind = _weights_of(run, choice)
        values = curve_frames.of_measure(wanted[wanted["weights"] == kind], "accuracy", choice.measure)
        found.append(_one(run, values, choice, kind))
    says = [_title_of((choice.split, choice.attack)) + "."]
    if choice.together:
        says.append("Of several seeds: mean, and one standard deviation on either side.")
    if choice.smoothing:
        says.append("Pale: as it was measured.")
    empty = "none of these runs was measured like this, with these weights."
    title = f"Accuracy, {choice.measure}"
    return _card(title, "accuracy", found, charts.PERCENT, choice, " ".join(says), empty)


def _weights_of(run: snapshots.Run, choice: _Choice) -> str:
    """Return the kind of weights that is drawn of a run."""
    if choice.split == "train":
        return "online"
    return evaluated.own_weights(run) if choice.weights == OWN else choice.weights


def _knob_cards(runs: Sequence[snapshots.Run], choice: _Choice) -> list[cards.Card]:
    """Draw every knob that varies in one of the runs: of the chosen class, else the mean over classes."""
    drawn: dict[str, calibration.DrawnKnob] = {}
    for run in runs:
        knobs = histories.knobs(run)
        for knob in [] if knobs.empty else calibration.drawn_knobs(run, knobs):
            if knob.varies:
                drawn.setdefault(knob.name, knob)
    measure = MEAN if choice.measure == WORST else choice.measure
    found_cards = []
    for name, knob in drawn.items():
        tables = {run.id: histories.knobs(run) for run in runs}
        found = [
            _one(run, curve_frames.of_measure(tables[run.id], name, measure), choice, "")
            for run in runs
            if name in tables[run.id]
        ]
        unit = charts.EPS if knob.card.unit else charts.Unit(knob.card.label)
        title = f"{knob.card.label}, {measure}"
        found_cards.append(_card(title, name, found, unit, choice, "What the rule set in every epoch."))
    return found_cards


def _one(run: snapshots.Run, values: pd.Series, choice: _Choice, weights: str) -> RunCurve:
    own = evaluated.reported_title([run.member]) if choice.weights == OWN else run.title
    kind = f" · {charts.WEIGHTS_TITLES[weights]}" if weights and choice.weights != OWN else ""
    if choice.together:
        return RunCurve(run.experiment, f"{own}{kind}", run.method, values)
    return RunCurve(run.id, f"{run.name}{kind}", run.method, values)


def _card(
    title: str,
    name: str,
    found: Sequence[RunCurve],
    unit: charts.Unit,
    choice: _Choice,
    says: str,
    empty: str = "",
) -> cards.Card:
    lines = curve_frames.as_curves(found, choice.smoothing)
    styles = {key: LineStyle(style.colour, style.dash, style.width) for key, style in choice.styles.items()}
    figure = None
    if not lines.empty:
        figure = charts.curves(_told_apart(lines), unit, styles, logarithmic=choice.logarithmic)
    return cards.Card(title, re.sub(r"\W", "_", f"curves_{name}"), figure, says, empty)


def _told_apart(lines: pd.DataFrame) -> pd.DataFrame:
    """Number the series that have one name: experiments of one method that differ in a setting."""
    names = lines.drop_duplicates("key").set_index("key")["series"]
    count = names.groupby(names).cumcount() + 1
    shared = names.duplicated(keep=False)
    apart = names.where(~shared, names + " · " + count.astype(str))
    return lines.assign(series=lines["key"].map(apart))
