"""Which epoch of each kind of weights a run kept: in a sentence, as cards on top, and for lines in charts."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app import charts, curve_frames, glossary, tables, texts, wording
from app.engine import evaluated, histories, snapshots

SPLITS = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class KeptEpochs:
    """What a run kept.

    Attributes:
        own: The kind of weights that the run is reported with.
        epochs: The kept epoch of every kind that it has so far, its own kind first.
        chosen_on: The images by which they were chosen, for people.
        attack: What those were attacked with, for people.
    """

    own: str
    epochs: dict[str, int]
    chosen_on: str
    attack: str

    @property
    def words(self) -> str:
        """Say which epoch is whose, and why."""
        others = [f"{charts.WEIGHTS_TITLES[kind]}: epoch {epoch}" for kind, epoch in self.epochs.items()]
        if self.own not in self.epochs:
            return f"Kept: {'; '.join(others)}." if others else ""
        title = charts.WEIGHTS_TITLES[self.own]
        words = (
            f"This run is reported with its {title} weights, kept at epoch {self.epochs[self.own]}: the "
            f"epoch with their highest mean plus worst class on {self.chosen_on} images under {self.attack}."
        )
        return f"{words} Kept of the other weights: {'; '.join(others[1:])}." if others[1:] else words


def kinds_of(run: snapshots.Run) -> list[str]:
    """List the kinds of weights that a run has measured so far, and else that which it is reported with."""
    history = histories.history(run)
    found = set(history.loc[history["split"] != "train", "weights"])
    return [kind for kind in charts.WEIGHTS_TITLES if kind in found] or [evaluated.own_weights(run)]


def first_kind(run: snapshots.Run) -> str:
    """Return the kind of weights to open with: what the run is reported with, where it has that."""
    kinds, own = kinds_of(run), evaluated.own_weights(run)
    return own if own in kinds else kinds[0]


def kept_of(run: snapshots.Run) -> KeptEpochs:
    """Find the epochs of which a run kept weights as the best."""
    history, split = histories.history(run), run.folder.config.train.select_on
    attack, own = tables.robust_attack(history[history["split"] == "val"]), evaluated.own_weights(run)
    epochs = curve_frames.best_epochs(history[(history["split"] == split) & (history["attack"] == attack)])
    ordered = sorted(epochs, key=lambda kind: (kind != own, list(charts.WEIGHTS_TITLES).index(kind)))
    words = wording.attack_title(attack) if attack else "attack"
    return KeptEpochs(own, {kind: epochs[kind] for kind in ordered}, SPLITS[split], words)


def show_kept(run: snapshots.Run, weights: str, epochs: pd.DataFrame) -> None:
    """Show how far a run is, the kept epoch of every kind of weights, and what one reached there."""
    kept, history = kept_of(run), histories.history(run)
    with st.container(horizontal=True):
        _card("Epoch", f"{int(epochs['epoch'].max())} of {run.epochs}")
        for kind, epoch in kept.epochs.items():
            why = "reported" if kind == kept.own else "not reported"
            _card(f"Kept epoch: {charts.WEIGHTS_TITLES[kind]}", str(epoch), why)
        validation = history[history["split"] == "val"]
        attack = tables.robust_attack(validation)
        robust = validation[(validation["attack"] == attack) & (validation["weights"] == weights)]
        if len(robust) and weights in kept.epochs:
            _reached(tables.epoch_summary(robust), weights, kept.epochs[weights])
        if pd.notna(rate := epochs["images_per_second"].iloc[-1]):
            _card("Images per second", f"{rate:,.0f}")
    if kept.words:
        st.markdown(texts.plain(kept.words), help=glossary.explained(kept.words, "checkpoint"))


def _reached(summary: pd.DataFrame, weights: str, epoch: int) -> None:
    """Show mean and worst class of the kept epoch, and those of the last where that is another one."""
    title, last = charts.WEIGHTS_TITLES[weights], summary.iloc[-1]
    at = summary[summary["epoch"] == epoch]
    if at.empty:
        return
    chosen = at.iloc[0]
    later = last["epoch"] != epoch
    ends = [f"; last: {wording.percent(last[one])}" if later else "" for one in ("mean", "worst")]
    _card(f"{title}, mean", wording.percent(chosen["mean"]), f"epoch {epoch}{ends[0]}")
    label = f"{title}, {chosen['worst_class']} (worst)"
    _card(label, wording.percent(chosen["worst"]), f"epoch {epoch}{ends[1]}")


def _card(label: str, value: str, below: str = "") -> None:
    st.metric(
        texts.plain(label),
        value,
        texts.plain(below) if below else None,
        delta_color="off",
        delta_arrow="off",
        border=True,
        width=165,
    )
