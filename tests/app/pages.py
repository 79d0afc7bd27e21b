"""The dashboard's pages without a browser: open one, press, and read what is on it."""

import json
import re
from functools import cache
from pathlib import Path
from unittest.mock import patch

from streamlit.components.v2 import manifest_scanner
from streamlit.components.v2.manifest_scanner import scan_component_manifests
from streamlit.navigation.page import StreamlitPage
from streamlit.testing.v1 import AppTest

MAIN = str(Path(__file__).parents[2] / "app" / "pages.py")
PAGES = ("home", "train", "monitor", "runs", "evaluate", "classes", "sweep", "compare", "leaderboard")


@cache
def installed_components():
    return scan_component_manifests()


def start():
    """Open the dashboard before any page is drawn; ``switch_page`` and ``run`` draw one."""
    app = AppTest.from_file(MAIN, default_timeout=60)
    # Each of them would look through all installed packages, which takes longer than most pages.
    scanned = patch.object(manifest_scanner, "scan_component_manifests", installed_components)
    with scanned, patch.object(StreamlitPage, "run"):
        app.run()
    return app


def visit(name, typed=(), **query):
    """Open a page with an address, whatever it then says; ``typed`` is what fields hold, by key."""
    app = start()
    if name != "home":
        app.switch_page(f"views/{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    for key, value in dict(typed).items():
        app.session_state[key] = value
    return app.run()


def open_page(name, **query):
    """Open a page on which nothing is wrong."""
    app = visit(name, **query)
    assert_sound(app)
    return app


def assert_sound(app):
    """No exception box, no error box, and no chart without points."""
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    for figure in figures(app):
        assert figure["data"]
        assert all("x" in trace and "y" in trace for trace in figure["data"])


def figures(app):
    live = [json.loads(json.loads(chart.proto.json)["figure"]) for chart in live_charts(app)]
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")] + live


def live_charts(app):
    return [part for part in app.get("bidi_component") if part.proto.component_name == "cfa_live_chart"]


def as_read(markdown):
    """Read a text in Markdown as it stands on the screen: no escapes, emphasis or unusual spaces."""
    shown = re.sub(r"\\([!-/:-@\[-`{-~])|[*\u2060]", r"\1", markdown)
    return shown.replace("\u00a0", " ")


def words(app):
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "success")
    return " ".join(as_read(str(item.value)) for kind in kinds for item in app.get(kind))


def errors(app):
    return [as_read(item.value) for item in app.error]


def button(app, label):
    return next(item for item in app.button if item.label == label)
