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
