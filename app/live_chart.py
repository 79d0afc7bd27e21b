"""A plotly chart that takes new data in place: zoom, hidden lines and scroll survive, nothing flickers.

Streamlit makes a new chart whenever the data change, and with it the view starts anew. This one hands them to
plotly's `react`. The library is the one inside of the plotly package, served from the dashboard's own
`static/` folder (which is not part of the project): no request leaves the machine.
"""

import os
import shutil
import tempfile
from pathlib import Path

import plotly
import streamlit as st

LIBRARY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
STATIC = Path(__file__).with_name("static")
SCRIPT = Path(__file__).with_name("live_chart.js")

_component = st.components.v2.component(
    "cfa_live_chart",
    html='<div class="cfa-live-chart"></div>',
    js=SCRIPT.read_text(encoding="utf-8"),
    isolate_styles=False,  # plotly writes its styles into the page
)


def live_chart(spec: str, height: int, key: str, says: str, view: str) -> bool:
    """Draw a figure that may change while somebody looks at it.

    Args:
        spec: What to draw, as plotly's JSON.
        height: In pixels.
        key: By which it is the same chart on the next drawing.
        says: Its name for screen readers.
        view: When this changes, zoom and hidden lines start anew: another run, say.

    Returns:
        Whether it was drawn; not where the library cannot be put into ``static/`` (a read-only installation).
    """
    address = library_address()
    if address is None:
        return False
    content = {"figure": spec, "height": height, "view": view, "says": says, "library": address}
    _component(key=key, data=content)
    return True


def library_address() -> str | None:
    """Say where plotly's library is served; ``None`` where it could not be put into ``static/``."""
    served = _served()
    return f"app/static/{served.name}" if served.is_file() else None


def put_library_in_place() -> None:
    """Put plotly's library where Streamlit serves files from, once for each version."""
    served = _served()
    if served.is_file() and served.stat().st_size == LIBRARY.stat().st_size:
        return
    try:
        STATIC.mkdir(exist_ok=True)
        # Another dashboard may do the same at this moment: each writes a file of its own and renames it.
        with tempfile.TemporaryDirectory(dir=STATIC) as scratch:
            os.replace(shutil.copyfile(LIBRARY, Path(scratch) / served.name), served)
    except OSError:  # a read-only installation: charts are drawn anew instead
        return


def _served() -> Path:
    return STATIC / f"plotly-{plotly.__version__}.min.js"
