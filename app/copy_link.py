"""A button that copies the address of the page, with all that is chosen on it."""

from pathlib import Path

import streamlit as st

_component = st.components.v2.component(
    "cfa_copy_link",
    html=(
        '<button type="button" class="cfa-copy-link">'
        '<svg viewBox="0 -960 960 960" aria-hidden="true"><path/></svg>'
        '<span aria-live="polite">Copy link</span></button>'
    ),
    css=Path(__file__).with_name("copy_link.css").read_text(encoding="utf-8"),
    js=Path(__file__).with_name("copy_link.js").read_text(encoding="utf-8"),
)


def copy_link() -> None:
    """Draw the button; on each page, since it also keeps the browser's steps back (see its script)."""
    _component(key="copy_link", width="content", height="content")
