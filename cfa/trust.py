"""Whose code runs is decided by a person: an import name is resolved where somebody typed it, nowhere else.

``package.module:name`` stands for somebody's own method, data set, model or attack. In a stored
configuration, a job, a suite or an address it is a text. It becomes code only within :func:`allowing`, which
commands and buttons open around what a person typed, and which the store opens for runs that were made in
it (`cfa.runs.trusted`).
"""

import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from cfa.errors import ConfigError, UnknownName, Untrusted
from cfa.home import SHIPPED_RUNS, default_home
from cfa.typed_paths import whole_path

SCHEMES = frozenset({"folder", "timm", "torchattacks"})
"""What stands before a colon and is no module: ``folder:PATH``, ``timm:NAME``, ``torchattacks:NAME``."""

# A long tail (`mine:set-lt`) and a budget (`mine:attack@8/255`) may stand behind the name itself.
_IMPORT_NAME = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*)(?:-lt|@[^@]*)?")
FOLDER = "folder:"
_OF_A_RUN = ("manifest.json", "status.json", "label.json", "history.jsonl")


def import_name(text: object) -> str | None:
    """Return the ``package.module:name`` that a name of anything begins with; ``None`` where it is none."""
    found = _IMPORT_NAME.fullmatch(text) if isinstance(text, str) else None
    return None if found is None or found[1].partition(":")[0] in SCHEMES else found[1]


def is_import_name(text: object) -> bool:
    """Tell whether a text names somebody's code."""
    return import_name(text) is not None


def import_names(texts: Iterable[object]) -> tuple[str, ...]:
    """Return the import names among some texts, each once, in their order."""
    return tuple(dict.fromkeys(name for text in texts if (name := import_name(text)) is not None))


def outside_name(text: object) -> str | None:
    """Return what a name opens that is not ours: code, or a folder of images by its whole path.

    A folder as well: a stored ``folder:/home/me/pictures`` would have somebody's images decoded and kept.
    """
    if isinstance(text, str) and text.startswith(FOLDER):
        return f"{FOLDER}{whole_path(text.removeprefix(FOLDER))}"
    return import_name(text)


def outside_names(texts: Iterable[object]) -> tuple[str, ...]:
    """Return what some names open that is no part of this project, each once, in their order."""
    return tuple(dict.fromkeys(name for text in texts if (name := outside_name(text)) is not None))


@dataclass(frozen=True)
class _Allowed:
    """What may be imported at this moment, and the folders in which modules are looked for last."""

    names: frozenset[str] = frozenset()
    folders: tuple[Path, ...] = ()


# Each thread and each session of the dashboard has its own: what one person typed is nobody else's.
_ALLOWED: ContextVar[_Allowed] = ContextVar("what may be imported", default=_Allowed())  # noqa: B039 (frozen)


@contextmanager
def allowing(texts: Iterable[object], folder: Path | None = None) -> Iterator[None]:
    """Let code be imported and folders be read that a person typed just now, or that the store knows.

    Args:
        texts: What was typed; all that names neither code nor a folder is of no account.
        folder: Where modules are looked for that are found nowhere else; by default the working folder.
    """
    names = outside_names(texts)
    before = _ALLOWED.get()
    folders = (*before.folders, (folder or Path.cwd()).resolve()) if names else before.folders
    token = _ALLOWED.set(_Allowed(before.names | set(names), tuple(dict.fromkeys(folders))))
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def is_allowed(text: object) -> bool:
    """Tell whether a text names neither code nor a folder, or one that may be opened here."""
    name = outside_name(text)
    return name is None or name in _ALLOWED.get().names


def require_allowed(kind: str, text: object) -> None:
    """Refuse code and folders that nobody typed.

    Raises:
        Untrusted: With the way out.
    """
    if not is_allowed(text) and not is_import_name(text):
        raise Untrusted(
            f"the {kind} {text!r} is a folder of this machine that nobody named here; name it in the command "
            "itself, or add --trust-code to read what a run, a job or a suite names"
        )
    if not is_allowed(text):
        raise Untrusted(
            f"the {kind} {text!r} is somebody's code, and nobody named it here; name it in the command "
            "itself, or look at that code and add --trust-code to run what a run, a job or a suite names"
        )


def resolve(kind: str, name: str) -> tuple[str, object]:
    """Import what an import name stands for.

    Args:
        kind: The noun in errors: ``model``, ``data set``, ...
        name: The import name, without anything behind it.

    Returns:
        The module's name, and what it has under that name.

    Raises:
        Untrusted: Nobody typed it; nothing was imported.
        ConfigError: The module is part of Python, or lies where runs are kept; nothing was imported. Or it
            failed while it was imported.
        UnknownName: There is no such module, or nothing of that name in it.
    """
    require_allowed(kind, name)
    module_name, _, attribute = name.partition(":")
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        raise ConfigError(
            f"the {kind} {name!r} is of Python's own library, which has none; name a module of yours"
        )
    importlib.invalidate_caches()  # the file may have been written a moment ago
    _find(kind, name, module_name)
    try:
        return module_name, getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        if isinstance(error, AttributeError) and module_name not in sys.modules:
            raise _fails(kind, name, error) from error  # its own, before it was there
        raise _not_importable(kind, name, _text_of(error)) from error
    # Whatever somebody's module does while it is imported, `sys.exit()` included: it gets a sentence.
    except BaseException as error:
        if type(error) is KeyboardInterrupt:  # a person's; of its own kind it is the module's
            raise
        raise _fails(kind, name, error) from error


def _not_importable(kind: str, name: str, reason: str) -> UnknownName:
    return UnknownName(
        f"cannot import {kind} {name!r} ({reason}); "
        "write package.module:name of something importable from here"
    )


def _fails(kind: str, name: str, error: BaseException) -> ConfigError:
    reason = f"{type(error).__name__}: {_text_of(error)}"[:200]
    return ConfigError(f"the {kind} {name!r} cannot be used, its module fails ({reason}); mend it")


def _text_of(error: BaseException) -> str:
    """Give an error's text in one line; one of somebody's own kind may fail in that as well."""
    try:
        return " ".join(str(error).split())
    except Exception as another:
        return f"its text fails with {type(another).__name__}"


def _find(kind: str, name: str, module_name: str) -> None:
    """Find a module and its packages, refuse some by their place, and extend the path if it takes that."""
    if module_name in sys.modules:
        file = getattr(sys.modules[module_name], "__file__", None)
        _refuse_places(kind, name, [file] if file else [])
        return
    parts = module_name.split(".")
    folder = None
    spec = _top_level(parts[0])
    if spec is None:
        for folder in _ALLOWED.get().folders:
            if (spec := _found_in(parts[0], [str(folder)])) is not None:
                break
    where = _places_of(spec)
    for number in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            spec = None
            break
        # Without importing the package: its `__init__` would run before anybody knows where it lies.
        spec = _found_in(".".join(parts[:number]), spec.submodule_search_locations)
        where += _places_of(spec)
    if spec is None:
        raise _not_importable(kind, name, f"No module named {module_name!r}")
    _refuse_places(kind, name, where)
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))


def _top_level(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ValueError:  # loaded by hand, without a specification
        return None


def _found_in(name: str, places: Iterable[str]) -> ModuleSpec | None:
    """Find a module in some folders without importing the packages that it is in.

    Python's own search wants those imported as soon as one of them has no ``__init__``.
    """
    portions: list[str] = []
    for place in places:
        finder = pkgutil.get_importer(place)
        spec = finder.find_spec(name) if finder is not None else None
        if spec is not None and spec.loader is not None:
            return spec
        portions += [] if spec is None else spec.submodule_search_locations or []
    if not portions:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


def _places_of(spec: ModuleSpec | None) -> list[str]:
    if spec is None:
        return []
    return [
        *([spec.origin] if spec.has_location and spec.origin else []),
        *(spec.submodule_search_locations or ()),
    ]


def _refuse_places(kind: str, name: str, places: Iterable[str]) -> None:
    for place in map(Path, places):
        for at in {place.absolute(), place.resolve()}:
            if _is_where_runs_are(at):
                raise ConfigError(
                    f"the {kind} {name!r} lies in {place}, where runs are kept, which come from others, "
                    "and is not imported from there; move your code to a folder of its own"
                )


def _is_where_runs_are(place: Path) -> bool:
    """Tell whether something lies under ``CFA_HOME``, among the shipped runs, or in any run's folder."""
    kept = (default_home(), SHIPPED_RUNS)
    if any(place.is_relative_to(home) or place.is_relative_to(home.resolve()) for home in kept):
        return True
    return any(
        (folder / "config.json").exists() and any((folder / name).exists() for name in _OF_A_RUN)
        for folder in (place, *place.parents)
    )
