"""A plotly chart that takes new data in place: zoom, hidden lines and scroll survive, nothing flickers.

Streamlit makes a new chart whenever the data change, and with it the view starts anew. This one hands them to
plotly's `react`. All charts are drawn so: no browser loads Streamlit's own copy of plotly, 5 MB, as well.
"""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from app.plotly_library import library_address

SCRIPT = Path(__file__).with_name("live_chart.js")

_component = st.components.v2.component(
    "cfa_live_chart",
    html='<div class="cfa-live-chart"></div>',
    js=SCRIPT.read_text(encoding="utf-8"),
    isolate_styles=False,  # plotly writes its styles into the page
)


def live_chart(
    spec: str, height: int, key: str, says: str, view: str, on_click: Callable[[], None] | None = None
) -> bool:
    """Draw a figure that may change while somebody looks at it.

    Args:
        spec: What to draw, as plotly's JSON.
        height: In pixels.
        key: By which it is the same chart on the next drawing.
        says: Its name for screen readers.
        view: When this changes, zoom and hidden lines start anew: another run, say.
        on_click: What a click on a point does; :func:`clicked_point` says which it was.

    Returns:
        Whether it was drawn; not where the library cannot be put into ``static/`` (a read-only installation).
    """
    address = library_address()
    if address is None:
        return False
    content = {"figure": spec, "height": height, "view": view, "says": says, "library": address}
    if on_click is None:
        _component(key=key, data=content)
    else:
        _component(key=key, data=content, on_clicked_change=on_click)
    return True


def clicked_point(key: str) -> tuple[float, float] | None:
    """Return x and y of the point of a chart that was clicked, where somebody clicked on one."""
    point = st.session_state[key].get("clicked")
    return None if point is None else (point["x"], point["y"])
