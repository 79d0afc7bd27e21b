"""The kinds of jobs: one file each, found by being here; each names its type as ``KIND``."""

import importlib
import pkgutil
from collections.abc import Mapping

from cfa.jobs.work import Work


def _found() -> Mapping[str, type[Work]]:
    names = [found.name for found in pkgutil.iter_modules(__path__, f"{__name__}.")]
    kinds: list[type[Work]] = [importlib.import_module(name).KIND for name in names]
    return {kind.kind: kind for kind in kinds}


KINDS: Mapping[str, type[Work]] = _found()
"""By the word that each is stored under."""
