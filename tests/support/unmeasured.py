"""Tests that are left out when the coverage of ``cfa`` is measured: with it they would take twice as long.

Most of their time goes into Streamlit, every line of which is heard of where coverage is measured; what they
call of ``cfa`` has tests of its own.
"""

import os

ROOMS = {"app", "browser", "fuzz"}


def environment() -> dict[str, str]:
    """Return the environment for a process whose coverage is not measured."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}
