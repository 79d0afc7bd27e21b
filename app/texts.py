"""Texts that somebody else wrote, made harmless where Markdown or a little HTML would be read into them.

Names, notes, tags, classes, findings, titles of jobs, messages and sentences that quote any of them are shown
as they were written, whatever is in them: no link, no picture, no colour, no other sign in their place.
"""

import html
import re
from typing import Any

MOST = 2000  # characters: a screen has no room for more, and a browser no use
MOST_IN_CHART = 200

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_JOINER = "\u2060"  # takes no room, and keeps apart what Streamlit looks for after it has read the Markdown
_ADDRESSES = re.compile(
    r"(?<=:)(?=[\w+-]+:)|(?<=http)(?=s?:)|(?<=www)(?=\.)|(?<=@)(?=[-\w]+\.)", re.IGNORECASE
)  # :smile: becomes a picture, the others a link
_SIGNS = re.compile(r"(?<!\S)([-<>~])(->|[->=])(?!\S)")  # -> and <= become one sign
# Control signs, those that turn the direction of reading, and halves of pairs, which cannot be sent at all.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def readable(text: object, most: int = MOST) -> str:
    """Put a text on one line of at most ``most`` characters, with a mark for what cannot be seen."""
    words = " ".join(str(text)[: 4 * most].split())
    shown = _UNSEEN.sub("\ufffd", words)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def plain(text: object) -> str:
    """Write a text into Markdown so that it is shown as it is."""
    words = _ADDRESSES.sub(_JOINER, readable(text))
    return _PUNCTUATION.sub(r"\\\1", _SIGNS.sub(rf"\1{_JOINER}\2", words))


def in_chart(value: Any) -> Any:
    """Write texts (also in lists) into a figure, where plotly reads a little HTML; line breaks stay."""
    if isinstance(value, str):
        parts = [html.escape(readable(part, MOST_IN_CHART), quote=False) for part in value.split("<br>")]
        return "<br>".join(parts)
    if isinstance(value, list | tuple):
        return [in_chart(part) for part in value]
    return value
