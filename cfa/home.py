"""Where everything that a user made lives, and what ships with the project."""

import os
from pathlib import Path

from cfa.typed_paths import whole_path

PROJECT = Path(__file__).resolve().parents[1]
SHIPPED_RUNS = PROJECT / "checkpoints" / "demo"


def default_home() -> Path:
    """Return ``CFA_HOME``, or the repository's ``checkpoints/`` wherever one starts from."""
    configured = os.environ.get("CFA_HOME")
    return whole_path(configured) if configured else PROJECT / "checkpoints"


def cache_folder() -> Path | None:
    """Return where this machine keeps what can be made anew: ``CFA_CACHE``, else below the user's cache.

    It should lie on a local disk. ``None`` where this user has no folder at all.
    """
    if configured := os.environ.get("CFA_CACHE"):
        return whole_path(configured)
    try:
        below = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(below) / "cfa-studio"
