"""The shape of the code, read from the source: arrows between rooms, no circles, sizes, and names.

Which room may know of which stands in `ALLOWED` and `DASHBOARD`. Every rule is shown to find what breaks it.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from cfa.jobs.kinds import KINDS
from cfa.methods import METHODS

PROJECT = Path(__file__).resolve().parents[1]

# What a room may import of cfa, itself and cfa.errors aside; one that is not here may import anything of cfa.
ALLOWED: dict[str, set[str]] = {
    "cfa.errors": set(),
    "cfa.files": {"cfa.stored"},
    "cfa.stored": set(),
    "cfa.locks": {"cfa.files", "cfa.stored"},
    "cfa.escaping": set(),
    "cfa.later": set(),
    "cfa.typed_paths": set(),
    "cfa.home": {"cfa.typed_paths"},
    "cfa.search_path": set(),
    "cfa.trust": {"cfa.home", "cfa.typed_paths"},
    "cfa.registry": {"cfa.trust"},
    "cfa.notation": set(),
    "cfa.older_settings": set(),
    "cfa.dotted_settings": {"cfa.older_settings"},
    "cfa.config": {"cfa.notation", "cfa.older_settings", "cfa.dotted_settings"},
    "cfa.progress": set(),
    "cfa.weights_identity": set(),
    "cfa.statistics": set(),
    "cfa.data": {"cfa.registry", "cfa.files", "cfa.typed_paths", "cfa.later"},
    "cfa.models": {"cfa.registry", "cfa.files", "cfa.weights_identity", "cfa.typed_paths"},
    "cfa.attacks": {"cfa.registry", "cfa.config", "cfa.notation"},
    "cfa.methods": {
        *("cfa.registry", "cfa.config", "cfa.dotted_settings", "cfa.notation", "cfa.older_settings"),
        *("cfa.attacks", "cfa.later"),
    },
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
        *("cfa.notation", "cfa.later"),
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
    ("app.cards",),  # charts under their titles, with their numbers
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


def kinds_compared(source: str) -> list[int]:
    """Give the lines in which a job's kind is compared by hand with the word for one."""

    def is_word(node: ast.expr) -> bool:
        parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
        return any(isinstance(part, ast.Constant) and part.value in KINDS for part in parts)

    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        for sides in [(node.left, *node.comparators)]
        if any(isinstance(side, ast.Attribute) and side.attr == "kind" for side in sides)
        and any(map(is_word, sides))
    ]


def methods_named(source: str) -> list[tuple[int, str]]:
    """Give the literals of a source with a method's name in them, docstrings and examples in help aside."""
    tree = ast.parse(source)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    documentation |= {
        id(node.args[1])  # `@command(group, "cfa train --method ...")`
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "command"
        and node.args[1:]
    }
    found = [
        (node.lineno, name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
        for name in re.findall(r"[\w-]+", node.value)
        if name in METHODS
    ]
    return sorted(found)


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


@pytest.mark.parametrize("top", ["cfa", "app"])
def test_nothing_asks_for_the_kind_of_a_job_by_its_word(top: str) -> None:
    assert [(module, line) for module, _, source in modules(top) for line in kinds_compared(source)] == []


@pytest.mark.parametrize(
    "planted", ['job.kind == "train"', '"fetch" != job.kind', 'job.kind in ("train", "evaluate")']
)
def test_a_planted_comparison_of_kinds_is_found(planted: str) -> None:
    assert kinds_compared(planted) == [1]
    assert kinds_compared('readable.kind == "safetensors"') == []


@pytest.mark.parametrize("top", ["cfa", "app"])
def test_no_method_is_named_outside_the_methods(top: str) -> None:
    named = {module: methods_named(source) for module, _, source in modules(top)}
    assert {
        module: found for module, found in named.items() if found and room_of(module) != "cfa.methods"
    } == {}
    assert top == "app" or {name for found in named.values() for _, name in found} == set(METHODS)


@pytest.mark.parametrize(
    "planted",
    [
        'if method == "{name}": pass',
        'def f():\n    return {{"a": ("x", "{name}")}}',
        "message = f'{{file}} is none; try --method {name}, say'",
        'names = "first {name} last".split()',
        "class A:\n    kind: str = '{name}'",
    ],
)
@pytest.mark.parametrize("name", METHODS)
def test_a_planted_name_of_a_method_is_found(planted: str, name: str) -> None:
    assert [found for _, found in methods_named(planted.format(name=name))] == [name]


@pytest.mark.parametrize(
    "source",
    [
        '"""A module about trades."""\ndef f():\n    """Return trades."""\n    return 1',
        '@command(group, "cfa train --method trades")\ndef train(): pass',
        'title = "TRADES + CFA"\nname = "trades-cfaa"\nword = "fatal"',
    ],
)
def test_documentation_may_name_methods(source: str) -> None:
    assert methods_named(source) == []


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


# --- no circles -----------------------------------------------------------------------------------

Parsed = Mapping[str, tuple[str, ast.Module]]  # package and tree of modules, by name


def parsed(found: Iterable[tuple[str, str, str]]) -> Parsed:
    return {name: (package, ast.parse(source)) for name, package, source in found}


def imported_modules(name: str, known: Parsed) -> set[str]:
    """Give the modules that one imports; of what a package hands on, the module where it stands."""
    package, tree = known[name]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {_where(_base(node, package), alias.name, known) for alias in node.names}
    return (found & set(known)) - {name}


def _base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    return ".".join(
        [*package.split(".")[: len(package.split(".")) - node.level + 1], *filter(None, [node.module])]
    )


def _where(base: str, item: str, known: Parsed) -> str:
    """Follow a name through the packages that hand it on."""
    if f"{base}.{item}" in known or base not in known:
        return f"{base}.{item}"
    package, tree = known[base]
    for node in ast.walk(tree):  # also where types alone are imported, and the rest later
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if item == (alias.asname or alias.name):
                    return _where(_base(node, package), alias.name, known)
    return base


def circle(known: Parsed) -> list[str]:
    """Give modules that import each other in a circle; none where there is no circle."""
    try:
        TopologicalSorter({name: imported_modules(name, known) for name in known}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("top", ["cfa", "app"])
def test_no_modules_import_each_other_in_a_circle(top: str) -> None:
    assert circle(parsed(modules(top))) == []


@pytest.mark.parametrize(
    "planted",
    [
        {"top.a": "from top.b import f", "top.b": "def g():\n    import top.a"},
        {"top.a": "from top import b", "top.b": "from top.c import f", "top.c": "from .a import g"},
        {"top": "from top.b import f", "top.a": "from top import f", "top.b": "from top.a import g"},
        {"top.a": "if TYPE_CHECKING:\n    from top.b import B", "top.b": "from top.a import make"},
    ],
    ids=["local", "relative", "through a package", "for types"],
)
def test_a_planted_circle_is_found(planted: dict[str, str]) -> None:
    assert circle(parsed((name, "top", source) for name, source in planted.items())) != []


def test_a_package_that_hands_names_on_makes_no_circle() -> None:
    sources = {"top": "from top.a import f\nfrom top.b import g", "top.a": "", "top.b": "from top import f"}
    assert circle(parsed((name, "top", source) for name, source in sources.items())) == []


# --- sizes ----------------------------------------------------------------------------------------

MOST_LINES = {"file": 400, "function": 60}


def too_long(module: str, source: str) -> list[str]:
    """Name a file, and the functions in it, that are too long to be read at once."""
    lengths = {("file", module): len(source.splitlines())}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lengths["function", f"{module}.{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    return [
        f"{name} has {lines} lines" for (kind, name), lines in lengths.items() if lines > MOST_LINES[kind]
    ]


@pytest.mark.parametrize("top", ["cfa", "app"])
def test_no_file_and_no_function_is_too_long(top: str) -> None:
    found = [line for name, _, source in modules(top) for line in too_long(name, source)]
    assert found == []


def test_planted_lengths_are_found() -> None:
    function = "def f():\n" + "    x = 1\n" * 59
    assert too_long("m", function + "\n" * 340) == []
    assert too_long("m", function + "\n" * 341) == ["m has 401 lines"]
    nested = "class C:\n    async def g(self):\n" + "        x = 1\n" * 60
    assert too_long("m", nested) == ["m.g has 61 lines"]


# --- names ----------------------------------------------------------------------------------------


def shared(named: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Give the places that have a name in common, from pairs of name and place."""
    places = defaultdict(list)
    for name, place in named:
        places[name].append(place)
    return [found for found in places.values() if len(found) > 1]


def own_names(top: str) -> Iterator[tuple[str, str]]:
    """Give the last part of every module's name, and the module; packages and commands aside."""
    for file in sorted((PROJECT / top).rglob("*.py")):
        place = file.relative_to(PROJECT)
        if file.stem != "__init__" and "commands" not in place.parts:
            yield file.stem, str(place)


def public_classes(module: str, source: str) -> Iterator[tuple[str, str]]:
    """Give the public classes of a module, and where they stand."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, module


@pytest.mark.parametrize("top", ["cfa", "app"])
def test_no_two_modules_share_a_name(top: str) -> None:
    assert shared(own_names(top)) == []


def test_no_two_public_classes_share_a_name() -> None:
    classes = (
        c for top in ("cfa", "app") for name, _, source in modules(top) for c in public_classes(name, source)
    )
    assert shared(classes) == []


def test_planted_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PROJECT", tmp_path)
    for place in ("cfa/a/plan.py", "cfa/b/plan.py", "cfa/b/__init__.py", "cfa/commands/plan.py"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    (tmp_path / "cfa/a/__init__.py").touch()
    assert shared(own_names("cfa")) == [["cfa/a/plan.py", "cfa/b/plan.py"]]
    sources = {
        "cfa.a": "class Cell: ...",
        "app.b": "def f():\n    class Cell: ...",
        "app.c": "class _Cell: ...",
    }
    found = (c for name, source in sources.items() for c in public_classes(name, source))
    assert shared(found) == [["cfa.a", "app.b"]]


PACKAGES = ("app", "app.engine", "app.process", "app.sections")


def hidden_modules(source: str) -> set[str]:
    """Name the modules of the dashboard that a source imports and hides behind a name of its own."""
    nodes = list(ast.walk(ast.parse(source)))
    of_packages = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module in PACKAGES]
    imported = {alias.asname or alias.name for node in of_packages for alias in node.names}
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return imported & own


def test_pages_hide_no_module_behind_a_variable() -> None:
    assert {name: found for name, _, source in modules("app") if (found := hidden_modules(source))} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "demo = 1",
        "def f(demo): ...",
        "def f():\n    for demo in (): ...",
        "class C:\n    def demo(self): ...",
    ],
)
def test_a_planted_variable_is_found(planted: str) -> None:
    assert hidden_modules(f"from app.engine import demo, snapshots\n{planted}") == {"demo"}
