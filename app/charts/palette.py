"""One palette for all charts: colours, symbols and titles of weights, and how a class's line looks."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import plotly.colors

# Ten colours at least 20 (CIE76) apart under normal, protan, deutan and tritan vision (Machado et al. 2009),
# each with a contrast of 3:1 or more on white and on the dark theme's background (checked in tests/app).
CLASS_COLOURS = (
    *("#005AD2", "#C3875A", "#C30F78", "#5A6900", "#3C96FF"),
    *("#964B4B", "#A59600", "#784BA5", "#E16987", "#8787B4"),
)
# A hue for every family of methods, in the catalogue's order, in three shades for its members; 3:1 on both
# themes' ground, the hues told apart as the classes' colours are.
FAMILY_COLOURS = (
    ("#3388FF", "#2266CC", "#4A92DC"),
    ("#FF5500", "#CC4400", "#EE6633"),
    ("#AA4422", "#C06040", "#CC7050"),
    ("#6633FF", "#8866FF", "#9977FF"),
    ("#CC7788", "#B05A70", "#A04A62"),
    ("#885588", "#A070A0", "#AE7EAE"),
)
RANK_COLOURS = ("#D9730D", "#8F8F9C", "#2C6FDB")  # worst … best, where there are too many classes for names
WEIGHTS_COLOURS = {"online": "#8787B4", "ema": "#C3875A", "fawa": "#005AD2", "file": "#784BA5"}
WEIGHTS_SYMBOLS = {"online": "circle", "ema": "square", "fawa": "diamond", "file": "cross"}
WEIGHTS_TITLES = {
    "online": "Online",
    "ema": "EMA",
    "fawa": "FAWA",
    "file": "File",
    "own": "Each method's own",
}
HEAT = "Viridis"
POINT_COLOURS = ("#D9730D", "#B04A8B", "#2C6FDB")  # low … high, for points: seen on both themes' ground
UP, DOWN = "#2C6FDB", "#C1580C"  # of changes; white on either is readable
FRAME = "#FF2D95"  # frames the chosen cell; seen on every colour of HEAT
GRID = "rgba(128,134,150,0.25)"
QUIET = "#808696"  # series that are not in colour; 3:1 on both themes' ground
NEUTRAL = "rgba(128,134,150,0.9)"  # what has no colour of its own; seen in both themes
BRIGHT = 0.45  # from this part of HEAT on, black is easier to read than white


@dataclass(frozen=True)
class SeriesStyle:
    """How a series of a comparison looks: the hue says which family of methods, filling which of it.

    Attributes:
        colour: Of its lines, frames and filling.
        plain: The family's plain method: outlined bars, open symbols, dashed lines.
        quiet: One of many that are not in colour: thinner lines, smaller points.
    """

    colour: str
    plain: bool = False
    quiet: bool = False

    @property
    def dash(self) -> str:
        """The dash of its lines."""
        return "dash" if self.plain else "solid"

    @property
    def bar(self) -> dict[str, object]:
        """The marker of its bars."""
        fill = f"rgba({', '.join(map(str, plotly.colors.hex_to_rgb(self.colour)))}, 0.15)"
        return {"color": fill if self.plain else self.colour, "line": {"color": self.colour, "width": 2}}

    @property
    def width(self) -> float:
        """The width of its lines."""
        return 1.0 if self.quiet else 2.0

    def symbol(self, shape: str) -> str:
        """The symbol of its points, of a shape."""
        return f"{shape}-open" if self.plain else shape


WEIGHTS_STYLES = {kind: SeriesStyle(colour) for kind, colour in WEIGHTS_COLOURS.items()}


def series_styles(
    series: Sequence[tuple[str, str]],
    family: Callable[[str], tuple[int, bool]],
    loud: Collection[str] | None = None,
) -> dict[str, SeriesStyle]:
    """Style the series of a comparison, by key: one hue for what a method is made of, on every page.

    Args:
        series: Key and method of each.
        family: The number of a method's family, and whether it is the plain method of it.
        loud: Keys of those that are in colour; ``None`` for all.
    """
    styles: dict[str, SeriesStyle] = {}
    treated: dict[int, int] = {}  # how many of a family there are already: each in another lightness
    for key, method in series:
        number, plain = family(method)
        if loud is not None and key not in loud:
            styles[key] = SeriesStyle(QUIET, plain, quiet=True)
            continue
        shades = FAMILY_COLOURS[number % len(FAMILY_COLOURS)]
        place = treated.setdefault(number, 0)
        styles[key] = SeriesStyle(shades[0 if plain else place % len(shades)], plain)
        treated[number] += not plain
    return styles


@dataclass(frozen=True)
class LineStyle:
    """How one class's line looks."""

    colour: str
    dash: str = "solid"
    width: float = 2.0
    opacity: float = 1.0
    in_legend: bool = True
    note: str = ""


def class_styles(last: Mapping[int, float]) -> dict[int, LineStyle]:
    """Style up to ten classes by name (colour and dash), more by the rank of their last value.

    The class that ends lowest, alone, is drawn strongest: it is what a fair method is about.
    """
    if len(last) <= len(CLASS_COLOURS):
        lowest = _alone_at_the_bottom(last)
        return {
            index: LineStyle(
                CLASS_COLOURS[index % len(CLASS_COLOURS)],
                "solid" if index % 10 < 5 else "dash",
                width=3.5 if index == lowest else 1.25,
                note=" (lowest)" if index == lowest else "",
            )
            for index in last
        }
    ranked = sorted(last, key=lambda index: last[index])
    shades = plotly.colors.sample_colorscale(list(RANK_COLOURS), len(ranked))
    styles = {
        index: LineStyle(shade, width=1.0, opacity=0.7, in_legend=False)
        for index, shade in zip(ranked, shades, strict=True)
    }
    styles[ranked[0]] = LineStyle(RANK_COLOURS[0], width=2.5, note=" (lowest)")
    styles[ranked[-1]] = LineStyle(RANK_COLOURS[-1], width=2.5, note=" (highest)")
    return styles


def _alone_at_the_bottom(last: Mapping[int, float]) -> int | None:
    """Return the class that ends below all others; none where some are equal, as all are in a warm-up."""
    ranked = sorted(last, key=lambda index: last[index])[:2]
    return ranked[0] if len(ranked) == 2 and last[ranked[0]] < last[ranked[1]] else None
