"""What the server starts once, without anybody looking: the threads that take jobs off the queue."""

import functools
import gc
import importlib
import logging
import pkgutil
import sys

from app import engine
from app.plotly_library import put_library_in_place
from app.process import opened
from cfa.errors import CfaError
from cfa.home import default_home
from cfa.jobs.supervisor import Supervisors, start_supervisors

logger = logging.getLogger(__name__)

COMPUTING = ("brought_models", "evaluation_jobs", "training_costs", "training_jobs")
"""Modules of `app.engine` that import torch."""


def start_work() -> Supervisors | None:
    """Open the store, start the supervisors and prepare what all pages need; a sentence where that fails."""
    put_library_in_place()
    _import_what_pages_ask()
    _spare_what_stays()
    try:
        opened.store()
        return start_supervisors(default_home())
    except CfaError as error:  # every page says it too
        logger.error("No job will be started: %s", error)
        return None


def _import_what_pages_ask() -> None:
    """Import the pages' way to the engine: no visitor has to wait for that.

    What trains and attacks is left to who does: it is torch, which takes 0.5 GB of memory.
    """
    for module in pkgutil.iter_modules(engine.__path__):
        if module.name not in COMPUTING:
            importlib.import_module(f"{engine.__name__}.{module.name}")


def spare_torch() -> None:
    """Keep torch out of garbage collections, once a page has loaded it: each would take 0.3 s more."""
    if "torch" in sys.modules:
        _spare_once()


@functools.cache
def _spare_once() -> None:
    _spare_what_stays()


def _spare_what_stays() -> None:
    """Keep what was imported out of garbage collections: Streamlit makes a full one after every run."""
    gc.collect()
    gc.freeze()
