"""Who was the first to import what takes seconds and much memory, in this process."""

import sys
import traceback
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).parents[2]


class FirstImports(MetaPathFinder):
    """Finds nothing; notes which line of the project asks for one of some packages for the first time."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages
        self.found: dict[str, str] = {}
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        if name in self.packages and name not in self.found:
            lines = [line for line in traceback.extract_stack() if line.filename.startswith(f"{PROJECT}/")]
            of_project = [line for line in lines[:-1] if "/.venv" not in line.filename]
            last = of_project[-1] if of_project else lines[-1]
            self.found[name] = f"{Path(last.filename).relative_to(PROJECT)}:{last.lineno}"
