"""Which texts may name a folder or a class: those that every file, table and screen can hold."""

import unicodedata

# They turn the direction of reading, so that a name would look like another one.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_KINDS = {"Cs": "is not UTF-8", "Cc": "has a line break or another control character in it"}
_KINDS |= dict.fromkeys(("Zl", "Zp"), "has a line break in it")


LONGEST = 300
"""Characters of a class's name."""

LONGEST_DATASET = 5_000
"""Characters of a data set's name, in which a folder's path may stand."""


def unstorable(name: object, longest: int = LONGEST) -> str | None:
    """Say why a name cannot be stored and shown, as the end of a sentence; ``None`` where it can.

    Args:
        name: What is meant to be one.
        longest: How many characters it may have.
    """
    if not isinstance(name, str):
        return f"is no text but {type(name).__name__}"
    if len(name) > longest:
        return f"has {len(name):,} characters, and {longest:,} at most are stored"
    for sign in name:
        if (kind := unicodedata.category(sign)) in _KINDS:
            return _KINDS[kind]
        if sign in _TURNING:
            return "has a sign in it that turns the direction of reading"
    return None


def as_seen(name: str) -> str:
    """Return a name as people see it, for whom spaces in a row are one and composed letters single ones."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def shown(name: object) -> str:
    """Write a name as it is, or escaped where it cannot be shown."""
    text = str(name)
    return text if unstorable(text) is None else repr(text)
