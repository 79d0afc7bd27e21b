"""Buttons that say at once that they were pressed, and act once, however long the server takes to answer."""

from pathlib import Path

import streamlit as st

SCRIPT = Path(__file__).with_name("pressed.js")

_component = st.components.v2.component(
    "cfa_pressed",
    html="<span></span>",
    js=SCRIPT.read_text(encoding="utf-8"),
    isolate_styles=False,
)


def hear_each_press_once() -> None:
    """Have the browser pass on one press of a button until the page has answered; for all pages."""
    _component(key="pressed")
