"""Small frames of every shape that charts draw, and a figure of every kind."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from app import charts

EPOCHS = 6


def history(classes, epochs=EPOCHS, column="accuracy"):
    rng = np.random.default_rng(classes)
    rows = [
        {"epoch": epoch, "class_index": k, "class_name": f"name {k}", column: rng.uniform(0.1, 0.9)}
        for epoch in range(1, epochs + 1)
        for k in range(classes)
    ]
    return pd.DataFrame(rows)


def epoch_summary():
    rows = [
        {"weights": weights, "epoch": epoch, "mean": 0.5 + epoch / 100, "worst": 0.2, "worst_class": "Shirt"}
        for weights in ("online", "ema", "fawa")
        for epoch in range(1, EPOCHS + 1)
    ]
    return pd.DataFrame(rows)


def gate_frame(accepted=(None, False, True, True)):
    none = [state is None for state in accepted]
    return pd.DataFrame(
        {
            "epoch": range(1, len(accepted) + 1),
            "gate_worst": pd.array([None if n else 0.1 * i for i, n in enumerate(none)], dtype="Float64"),
            "gate_threshold": pd.array([None if n else 0.15 for n in none], dtype="Float64"),
            "gate_accepted": pd.array(list(accepted), dtype="boolean"),
            "images_per_second": [1000.0] * len(accepted),
            "seconds": [5.0] * len(accepted),
        }
    )


def scores(groups=2, classes=3):
    rows = [
        {
            "group": f"g{g}",
            "series": f"series {g}",
            "class_index": k,
            "class_name": f"name {k}",
            "accuracy": 0.2 + 0.1 * k + 0.05 * g,
            "low": 0.15 + 0.1 * k,
            "high": 0.4 + 0.1 * k,
            "difference": 0.05 * g - 0.02 * k,
            "clear": k == 0,
        }
        for g in range(groups)
        for k in range(classes)
    ]
    return pd.DataFrame(rows)


def models():
    rows = [
        {
            "group": group,
            "title": f"run {group}",
            "series": f"{group} {weights}",
            "weights": weights,
            "mean": 0.6,
            "mean_low": 0.58,
            "mean_high": 0.62,
            "worst": 0.3,
            "worst_low": 0.2,
            "worst_high": 0.4,
            "worst_class": "Shirt",
        }
        for group in ("a", "b")
        for weights in ("online", "ema", "fawa")
    ]
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Changed:
    """How a class changed, as the forest takes it."""

    name: str
    difference: float
    interval: tuple[float, float] | None
    certain: bool


def changes(names=("Shirt", "Coat", "Bag", "Boot")):
    return [
        Changed(name, 0.05 - 0.04 * k, None if k == 1 else (0.01 - 0.04 * k, 0.09 - 0.04 * k), k in (0, 3))
        for k, name in enumerate(names)
    ]


def boxes(names):
    rows = [
        {"class_index": k, "class_name": name, "length": 0.1 * n}
        for k, name in enumerate(names)
        for n in (1, 2)
    ]
    return pd.DataFrame(rows)


def named(frame, names, column="class_name"):
    return frame.assign(
        **{column: frame[column].map(dict(zip(dict.fromkeys(frame[column]), names, strict=False)))}
    )


STYLES = charts.series_styles([(key, key) for key in ("g0", "g1", "a", "b")], lambda key: (0, key == "g0"))
FIGURES = {
    "accuracy over epochs": (lambda: charts.accuracy_over_epochs(epoch_summary()), 6),
    "ten classes": (lambda: charts.class_lines(history(10), "accuracy", charts.PERCENT), 10),
    "a hundred classes": (lambda: charts.class_lines(history(100, 20), "accuracy", charts.PERCENT), 100),
    "one epoch": (lambda: charts.class_lines(history(10, 1), "accuracy", charts.PERCENT), 10),
    "heatmap": (lambda: charts.class_heatmap(history(10), "accuracy"), 1),
    "heatmap of a hundred": (lambda: charts.class_heatmap(history(100), "accuracy"), 1),
    "gate": (lambda: charts.gate(gate_frame(), "worst"), 4),
    "gate that always opened": (lambda: charts.gate(gate_frame((True, True)), "worst"), 3),
    "gate that never opened": (lambda: charts.gate(gate_frame((False,)), "worst"), 3),
    "speed": (lambda: charts.speed(gate_frame()), 1),
    "class bars": (lambda: charts.class_bars(scores(), STYLES), 2),
    "forest": (lambda: charts.forest(changes(), by_change=True), 1),
    "mean against worst": (lambda: charts.mean_against_worst(models(), STYLES), 6),
    "averaging": (lambda: charts.averaging(models(), "worst"), 3),
}
# Names that plotly could take for numbers or dates, and the figures that have names on an axis.
LOOKS = {
    "numbers": ("007", "7", "7.0", "1e5", "100000", "-0.5"),
    "dates": ("2024-01-01", "2024-01", "2024", "2023-12-31", "10:30", "2024-01-01 00:00"),
    "words": ("NaN", "true", "Infinity", "None", "null", "1,000"),
}
ACROSS = {
    "class bars": lambda names: charts.class_bars(named(scores(classes=6), names), STYLES),
    "averaging": lambda names: charts.averaging(named(models(), names, "title"), "worst"),
    "smallest perturbations": lambda names: charts.smallest_perturbations(boxes(names), charts.EPS),
}
