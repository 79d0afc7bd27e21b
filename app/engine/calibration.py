"""What a run's rule set for each class, as pages draw it: every knob that varies over classes or epochs."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from app.engine.snapshots import Run
from app.process.rights import looks
from cfa.methods import METHODS
from cfa.runs.cards import KnobCard
from cfa.runs.rows import BETA_WEIGHTS

_NOT_KNOBS = ("run_id", "epoch", "class_index", "class_name")


@dataclass(frozen=True)
class DrawnKnob:
    """A knob of a run.

    Attributes:
        name: Its column.
        card: What people read of it.
        varies: Whether it differs between classes or epochs.
        alike_until: The last epoch in which all classes had the same; 0 where they never had.
        value: What it is where it does not vary.
    """

    name: str
    card: KnobCard
    varies: bool
    alike_until: int
    value: float | None


@looks
def drawn_knobs(run: Run, knobs: pd.DataFrame) -> list[DrawnKnob]:
    """Describe a run's knobs, ``eps`` first.

    Args:
        run: The run.
        knobs: Its knobs per epoch and class.
    """
    cards = _cards(run)
    columns = [str(name) for name in knobs if name not in _NOT_KNOBS and knobs[name].notna().any()]
    if np.allclose(sum(knobs[name] for name in BETA_WEIGHTS), 1):  # beta says both, or its absence does
        columns = [name for name in columns if name not in BETA_WEIGHTS]
    return [_described(name, knobs, cards.get(name, KnobCard(label=name))) for name in columns]


def _cards(run: Run) -> dict[str, KnobCard]:
    manifest = None if run.problem else run.folder.manifest
    if manifest is not None and manifest.method is not None:
        return dict(manifest.method.knobs)
    method = run.folder.config.method if not run.problem else ""
    labels = METHODS[method].knobs.items() if method in METHODS else ()
    return {name: KnobCard(**asdict(label)) for name, label in labels}


def _described(name: str, knobs: pd.DataFrame, card: KnobCard) -> DrawnKnob:
    spread = knobs.groupby("epoch")[name].agg(["min", "max"]).astype(float)
    alike = (spread["max"] - spread["min"]).to_numpy() == 0
    first_other = int(np.argmin(alike)) if not alike.all() else len(alike)
    until = int(spread.index[first_other - 1]) if first_other else 0
    low, high = float(spread["min"].min()), float(spread["max"].max())
    return DrawnKnob(name, card, low != high, until, low if low == high else None)


@looks
def varies(knobs: pd.DataFrame, name: str) -> bool:
    """Tell whether a knob of a run differs between classes or epochs."""
    return name in knobs and knobs[name].dropna().nunique() > 1
