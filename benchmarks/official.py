"""The official CFA code, loaded from a checkout that the user has; nothing of it is copied here."""

import importlib
import sys
from argparse import Namespace
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

MODULES = ("train", "attack", "utils", "model")  # as the checkout calls them: top-level and very common
OPTIONAL = ("tqdm", "matplotlib", "matplotlib.pyplot")  # imported there, needed for nothing that is used here


@dataclass(frozen=True)
class Official:
    """The modules of a checkout of PKU-ML/CFA, made to run on the CPU without a command line."""

    train: ModuleType
    attack: ModuleType
    utils: ModuleType
    model: ModuleType


def load_official(checkout: Path, device: str = "cpu") -> Official:
    """Import the modules of a checkout under the current default dtype, and forget their names again.

    Args:
        checkout: A folder with ``train.py``, ``attack.py``, ``utils.py`` and ``model.py``.
        device: Where its bookkeeping goes.

    Raises:
        FileNotFoundError: One of the files is not there.
    """
    for name in MODULES:
        if not (checkout / f"{name}.py").is_file():
            raise FileNotFoundError(f"{checkout} has no {name}.py; give a checkout of PKU-ML/CFA")
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    stubs = _stub_missing()
    sys.path.insert(0, str(checkout))
    try:
        modules = {name: importlib.import_module(name) for name in reversed(MODULES)}
    finally:
        sys.path.remove(str(checkout))
        for name in (*MODULES, *stubs):
            sys.modules.pop(name, None)
        sys.modules.update({name: module for name, module in before.items() if module is not None})
    # What its `__main__` block would have set.
    train = modules["train"]
    vars(train).update(args=Namespace(debug=False), device=device, tqdm=lambda loader: loader)
    return Official(**modules)


def _stub_missing() -> list[str]:
    """Put empty modules in the place of packages that are not installed."""
    missing = []
    for name in OPTIONAL:
        try:
            importlib.import_module(name)
        except ImportError:
            stub = ModuleType(name)
            spec = ModuleSpec(name, None)  # torch asks for the specification of every package that it finds
            vars(stub).update(tqdm=lambda loader: loader, __path__=[], __spec__=spec)
            sys.modules[name] = stub
            missing.append(name)
    return missing
