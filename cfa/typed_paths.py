"""Paths that a person typed, or that a text claims to be: asking about one never raises, whatever it is.

``pathlib`` raises for names that are too long, lie where one may not look, hold a NUL or begin with the home
of nobody. To whoever typed such a name there is simply nothing there, and the next sentence says so.
"""

import os
from pathlib import Path


def typed_path(text: str | Path) -> Path:
    """Return the path that a text means, with ``~`` as a home; where that is nobody's, the text as it is."""
    return Path(os.path.expanduser(text))


def whole_path(text: str | Path) -> Path:
    """Return the path that a text means, absolute and with links followed as far as that is possible."""
    path = typed_path(text)
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a NUL, or half a character
        return Path(os.path.abspath(path))


def leads_to_file(path: Path) -> bool:
    """Tell whether a file is there, or a link to one; false also where nobody can tell."""
    return os.path.isfile(path)


def leads_to_folder(path: Path) -> bool:
    """Tell whether a folder is there, or a link to one; false also where nobody can tell."""
    return os.path.isdir(path)


def exists(path: Path) -> bool:
    """Tell whether anything is there; false also where nobody can tell."""
    return os.path.exists(path)
