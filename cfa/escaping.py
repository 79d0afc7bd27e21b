"""Texts of others in formats that give some characters a meaning: there they are to mean themselves.

Names, tags, notes, messages and findings may come from anybody, with anything in them.
"""

import re
import unicodedata


def printable(text: str) -> str:
    """Write a text in one line without what moves a terminal's cursor or turns its direction.

    Line breaks become spaces; other control characters, marks of direction and halves of characters go.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if c in _BREAKS else c for c in text if c in _BREAKS or not _is_control(c))


_BREAKS = "\n\r\t\v\f\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}"
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or _DIRECTION.match(character) is not None
