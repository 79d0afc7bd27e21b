"""DataFrame in, plotly figure out: pure, one palette, no trace without points.

Fractions stay fractions and are shown as percent; eps is drawn in n/255. Callers check for empty frames:
an empty chart says nothing that a sentence does not say better.
"""

from app.charts.as_written import harmless
from app.charts.confusion_matrix import View, confusion
from app.charts.figure import BETA, EPS, PERCENT, Unit
from app.charts.forest import forest
from app.charts.over_budgets import accuracy_over_eps, models_over_eps, smallest_perturbations
from app.charts.over_epochs import (
    accuracy_over_epochs,
    class_heatmap,
    class_lines,
    class_ranks,
    eps_range,
    gate,
    mark_kept,
    robust_overfitting,
    speed,
)
from app.charts.palette import (
    CLASS_COLOURS,
    POINT_COLOURS,
    WEIGHTS_COLOURS,
    WEIGHTS_STYLES,
    WEIGHTS_TITLES,
    SeriesStyle,
    series_styles,
)
from app.charts.per_class import class_bars, clean_beside_attacked
from app.charts.run_curves import curves
from app.charts.trained_grids import runs_across, worst_over_settings
from app.charts.whole_models import averaging, mean_against_worst, trade_off

__all__ = [
    "BETA",
    "CLASS_COLOURS",
    "EPS",
    "PERCENT",
    "POINT_COLOURS",
    "WEIGHTS_COLOURS",
    "WEIGHTS_STYLES",
    "WEIGHTS_TITLES",
    "SeriesStyle",
    "Unit",
    "View",
    "accuracy_over_epochs",
    "accuracy_over_eps",
    "averaging",
    "class_bars",
    "class_heatmap",
    "class_lines",
    "class_ranks",
    "clean_beside_attacked",
    "confusion",
    "curves",
    "eps_range",
    "forest",
    "gate",
    "harmless",
    "mark_kept",
    "mean_against_worst",
    "models_over_eps",
    "robust_overfitting",
    "runs_across",
    "series_styles",
    "smallest_perturbations",
    "speed",
    "trade_off",
    "worst_over_settings",
]
