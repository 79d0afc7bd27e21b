"""The arrows between the rooms, read from the import statements (design: which room may know of which)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

# What a room may import of cfa, itself and cfa.errors aside; one that is not here may import anything of cfa.
ALLOWED: dict[str, set[str]] = {
    "cfa.errors": set(),
    "cfa.files": {"cfa.stored"},
    "cfa.stored": set(),
    "cfa.locks": {"cfa.files", "cfa.stored"},
    "cfa.escaping": set(),
    "cfa.typed_paths": set(),
    "cfa.home": {"cfa.typed_paths"},
    "cfa.search_path": set(),
    "cfa.trust": {"cfa.home", "cfa.typed_paths"},
    "cfa.registry": {"cfa.trust"},
    "cfa.notation": set(),
    "cfa.older_settings": set(),
    "cfa.config": {"cfa.notation", "cfa.older_settings"},
    "cfa.progress": set(),
    "cfa.weights_identity": set(),
    "cfa.statistics": set(),
    "cfa.data": {"cfa.registry", "cfa.files", "cfa.typed_paths"},
    "cfa.models": {"cfa.registry", "cfa.files", "cfa.weights_identity", "cfa.typed_paths"},
    "cfa.attacks": {"cfa.registry", "cfa.config", "cfa.notation"},
    "cfa.methods": {"cfa.registry", "cfa.config", "cfa.notation", "cfa.older_settings", "cfa.attacks"},
    "cfa.runs": {
        *("cfa.registry", "cfa.config", "cfa.escaping", "cfa.files", "cfa.locks", "cfa.stored"),
        *("cfa.notation", "cfa.older_settings"),
        *("cfa.statistics", "cfa.weights_identity", "cfa.home", "cfa.trust", "cfa.typed_paths"),
    },
    "cfa.training": {
        *("cfa.registry", "cfa.config", "cfa.files", "cfa.stored", "cfa.progress", "cfa.attacks"),
        "cfa.notation",
        *("cfa.methods", "cfa.data", "cfa.models", "cfa.runs", "cfa.statistics", "cfa.typed_paths"),
    },
    "cfa.evaluation": {
        *("cfa.registry", "cfa.config", "cfa.files", "cfa.stored", "cfa.progress", "cfa.attacks"),
        "cfa.notation",
        *("cfa.methods", "cfa.data", "cfa.models", "cfa.runs", "cfa.statistics", "cfa.weights_identity"),
    },
}
BELOW_JOBS = set(ALLOWED)
ALLOWED |= {
    "cfa.tables": BELOW_JOBS,
    "cfa.jobs": {*BELOW_JOBS, "cfa.tables"},
    "cfa.foreign": {*BELOW_JOBS, "cfa.jobs", "cfa.tables"},
    "cfa.suites": {*BELOW_JOBS, "cfa.jobs", "cfa.tables"},
}
# The dashboard from the bottom up: a room imports those before it. What is not named here stands below them
# all: texts, tables and charts know nothing of the engine.
DASHBOARD = (
    ("app.process",),
    ("app.engine",),  # the only way from pages to the engine
    ("app.elements", "app.drafts"),
    ("app.sections",),
    ("app.views",),
    ("app.pages", "app.supervision", "app.server", "app.main"),
)
KNOW_THE_ENGINE = {"app.process", "app.engine", "app.supervision", "app.server", "app.main"}
TOP = "cfa.commands"  # which only `python -m cfa` imports; pages and commands stand beside each other
NEVER_IN_CFA = {"streamlit", "plotly", "matplotlib", "app", "benchmarks", "tests"}
# Beside the standard library: torch, and the two packages whose attacks are offered.
ONLY_TORCH = {"cfa.attacks": {"torch", "cfa", "pyautoattack", "torchattacks"}}
# A fence has to know what it fences: attacks of torchattacks draw from numpy's global generator.
BESIDES = {"cfa.attacks.torchattacks_plugin": {"numpy"}}


def imports(source: str, package: str) -> Iterator[str]:
    """Give every module that a source imports, relative and local imports included, by full name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)  # `from cfa import training`


def room_of(module: str) -> str:
    """Give the room: `cfa.training.fit` is in `cfa.training`."""
    return ".".join(module.split(".")[:2])


def violations(module: str, package: str, source: str) -> list[str]:
    """Say which arrows the source of ``module`` (in ``package``) breaks."""
    found = []
    room, names = room_of(module), set(imports(source, package))
    roots = {name.partition(".")[0] for name in names}
    if module.startswith("cfa"):
        found += [f"{module} imports {root}" for root in sorted(roots & NEVER_IN_CFA)]
        if "pandas" in roots and room != "cfa.tables":
            found.append(f"{module} imports pandas")
    if room in ONLY_TORCH:
        import sys

        foreign = roots - ONLY_TORCH[room] - BESIDES.get(module, set()) - set(sys.stdlib_module_names)
        found += [f"{module} imports {root}" for root in sorted(foreign)]
    rooms = {room_of(name) for name in names if name.startswith("cfa.")} & ROOMS
    if TOP in rooms and room != TOP and not _starts_the_commands(module):
        found.append(f"{module} imports {TOP}")
    if room in ALLOWED:
        allowed = ALLOWED[room] | {room, "cfa.errors"}
        found += [f"{module} imports {other}" for other in sorted(rooms - allowed - {TOP})]
    if module.startswith("app"):
        found += [f"{module} imports cfa"] * ("cfa" in roots and room not in KNOW_THE_ENGINE)
        above = {room_of(name) for name in names if _level(name) > _level(module)}
        found += [f"{module} imports {other}" for other in sorted(above)]
        if "app.process" in {room_of(name) for name in names} and room not in KNOW_THE_ENGINE:
            found.append(f"{module} imports app.process")
    return found


def _level(module: str) -> int:
    """Tell how high in the dashboard a module stands; 0 for what stands below all its rooms."""
    room = room_of(module)
    return next((level for level, rooms in enumerate(DASHBOARD, 1) if room in rooms), 0)


def _starts_the_commands(module: str) -> bool:
    """Tell whether a module is `python -m cfa`."""
    return module == "cfa.__main__"


def modules(top: str) -> Iterator[tuple[str, str, str]]:
    """Give name, package and source of every module below a folder of the project."""
    for file in sorted((PROJECT / top).rglob("*.py")):
        parts = file.relative_to(PROJECT).with_suffix("").parts
        package = parts[:-1]
        yield ".".join(package if parts[-1] == "__init__" else parts), ".".join(package), file.read_text()


ROOMS = {room_of(name) for name, _, _ in modules("cfa")} - {"cfa"}


@pytest.mark.parametrize("top", ["cfa", "app"])
def test_no_arrow_is_broken(top: str) -> None:
    broken = [line for module in modules(top) for line in violations(*module)]
    assert broken == []


def test_the_rooms_of_the_tables_exist() -> None:
    assert set(ALLOWED) <= ROOMS
    assert {room for rooms in DASHBOARD for room in rooms} <= {room_of(name) for name, _, _ in modules("app")}
    assert len(ROOMS) > len(ALLOWED)  # Python's door, the command line


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("cfa.models.networks", "import streamlit as st"),
        ("cfa.jobs.worker", "from app import charts"),
        ("cfa.jobs.worker", "def f():\n    import plotly.express"),
        ("cfa.training.fit", "import pandas"),
        ("cfa.training.fit", "from cfa import evaluation"),
        ("cfa.training.fit", "from cfa.jobs.queue import Queue"),
        ("cfa.training.fit", "from .. import jobs"),
        ("cfa.evaluation.plan", "from ..training.fit import fit"),
        ("cfa.methods.rules", "from cfa.training import fit"),
        ("cfa.methods.rules", "from cfa.data import Images"),
        ("cfa.attacks.pgd", "from cfa.data import Images"),
        ("cfa.attacks.pgd", "import numpy"),
        ("cfa.attacks.torchattacks_plugin", "import scipy"),
        ("cfa.statistics.intervals", "from cfa.config import RunConfig"),
        ("cfa.data.splits", "import cfa.models.networks"),
        ("cfa.config", "if True:\n    from cfa.registry import unknown"),
        ("cfa.runs.rows", "import cfa.training"),
        ("cfa.jobs.submit", "def f():\n    from cfa.foreign.registration import register"),
        ("cfa.jobs.worker", "from cfa.suites.submission import submit_suite"),
        ("cfa.foreign.references", "from cfa.suites.suite import Suite"),
        ("cfa.suites.planned", "from cfa import foreign"),
        ("cfa.jobs.worker", "import cfa.api"),
        ("cfa.training.fit", "from cfa import foreign"),
        ("cfa.jobs.worker", "from cfa.commands.printing import note"),
        ("cfa.runs.rows", "def f():\n    from cfa import commands"),
        ("cfa.api", "import cfa.commands"),
        ("app.engine.demo", "from cfa.commands.printing import duration"),
        ("app.charts.palette", "from cfa.config import format_eps"),
        ("app.views.home", "import cfa"),
        ("app.elements", "def f():\n    from cfa.errors import CfaError"),
        ("app.views.home", "from app.process import opened"),
        ("app.charts.palette", "from app.engine import snapshots"),
        ("app.process.opened", "from app.engine.snapshots import runs"),
        ("app.engine.demo", "from app import elements"),
        ("app.sections.one_run", "from app.views import runs"),
        ("app.views.home", "from app import supervision"),
    ],
)
def test_a_planted_import_is_found(module: str, planted: str) -> None:
    package = module.rpartition(".")[0]
    assert len(violations(module, package, planted)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cfa.tables.frames", "import pandas as pd\nfrom cfa.statistics import wilson"),
        ("cfa.training.fit", "from cfa.methods import METHODS\nfrom cfa.errors import Diverged"),
        ("cfa.attacks.pgd", "import re\nimport torch\nfrom cfa.config import Norm\nfrom . import losses"),
        ("cfa.attacks.torchattacks_plugin", "def f():\n    import numpy, torchattacks"),
        ("cfa.suites.submission", "from cfa.jobs.submit import submit_training"),
        ("cfa.foreign.official_log", "from cfa.training.telling import knobs_row"),
        ("cfa.__main__", "from cfa.commands import main"),
        ("cfa.commands.training", "from cfa.commands.shared import DONE\nfrom cfa.jobs.queue import Queue"),
        (
            "app.engine.training_settings",
            "from cfa.config import A\nfrom app.process.rights import looks",
        ),
        ("app.process.opened", "from cfa.runs.store import Store"),
        ("app.views.home", "from app import charts, elements\nfrom app.engine import snapshots"),
    ],
)
def test_an_honest_import_is_not(module: str, source: str) -> None:
    assert violations(module, module.rpartition(".")[0], source) == []
