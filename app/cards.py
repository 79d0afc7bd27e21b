"""Charts as pages show them: a title, a line on what they show, their numbers as a table."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import plotly.graph_objects as go
import streamlit as st

from app import chart_tables, charts, elements, glossary, texts
from app.engine import downloadable
from app.live_chart import clicked_point, live_chart

CHART_CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]}

FITTING = 6  # columns of a table that half a page has room for


@dataclass(frozen=True)
class Card:
    """A chart, its title and a line on what it shows; texts, in which nothing is read as Markdown.

    Attributes:
        title: Above it.
        key: Of the chart on its page.
        figure: The chart, if there is one.
        says: What it shows.
        empty: Why there is none.
        own_table: The page shows these numbers, and more, in a table of its own.
    """

    title: str
    key: str
    figure: go.Figure | None
    says: str
    empty: str = ""
    own_table: bool = False

    @cached_property
    def spec(self) -> str:
        """The figure as plotly's JSON; a card may be shown to many."""
        return charts.harmless(self.figure).to_json() if self.figure is not None else ""

    @property
    def fingerprint(self) -> str:
        """Tell the figure from another one."""
        return f"{zlib.crc32(self.spec.encode()):08x}"

    @property
    def description(self) -> str:
        """Name the chart for screen readers."""
        return texts.readable(f"{self.title}. {self.says}")


def show_card(card: Card, view: str | None = None, on_click: Callable[[], None] | None = None) -> None:
    """Show a chart under its title, with its numbers as a table; or say why there is none.

    Args:
        card: The chart.
        view: What zoom and hidden lines are kept for while data arrive; by default for the data as they are.
        on_click: What a click on a point does; :func:`clicked` says which it was.
    """
    if card.figure is None:
        missing = f"**{texts.plain(card.title)}**: {texts.plain(card.empty or 'nothing to show yet.')}"
        st.caption(missing, help=glossary.explained(card.title, card.empty))
        return
    st.markdown(f"**{texts.plain(card.title)}**", help=glossary.explained(card.title, card.says))
    st.caption(texts.plain(card.says))
    height = card.figure.layout.height
    if not live_chart(card.spec, height, card.key, card.description, view or card.fingerprint, on_click):
        st.plotly_chart(
            charts.harmless(card.figure),
            key=card.key,
            config=CHART_CONFIG,
            theme="streamlit",
            alt=card.description,
            on_select=on_click or "ignore",
            selection_mode="points",
        )
    if not card.own_table:
        show_numbers(card)


def clicked(key: str) -> tuple[float, float] | None:
    """Return x and y of the point that was just clicked; ``None`` where the choice was taken back."""
    if "selection" not in st.session_state[key]:
        return clicked_point(key)
    points = st.session_state[key]["selection"]["points"]
    return (points[0]["x"], points[0]["y"]) if points else None


def show_numbers(card: Card) -> None:
    """Offer what a chart shows as a table and as a CSV file; nothing is computed while it is closed."""
    opened = st.expander(
        "Numbers", key=f"{card.key}_numbers", icon=":material/table:", type="compact", on_change="rerun"
    )
    if not opened.open or card.figure is None:
        return
    numbers = chart_tables.numbers_of(card.figure)
    read = chart_tables.for_reading(numbers)
    first = str(read.columns[0])
    with opened:
        if name := chart_tables.alone(numbers):
            st.caption(f"All of {texts.plain(name)}.")
        if len(read.columns) > FITTING:
            st.caption(f"{len(read.columns)} columns: where they do not fit, the table scrolls sideways.")
        st.dataframe(
            read,
            hide_index=True,
            column_config={first: st.column_config.Column(pinned=True)},
            placeholder="–",
            key=f"{card.key}_table",
            alt=f"The numbers of: {card.description}",
        )
        elements.csv_button("CSV", downloadable.csv(numbers), f"{card.key}.csv", f"{card.key}_csv")


def show_cards(cards: Sequence[Card], view: str | None = None) -> None:
    """Show charts two in a row, or in the place of one why it is missing; ``view`` as for one."""
    for start in range(0, len(cards), 2):
        for column, card in zip(st.columns(2), cards[start : start + 2], strict=False):
            with column:
                show_card(card, view)
