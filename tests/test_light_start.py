"""What only looks loads no torch: it takes seconds, and 0.5 GB of memory for as long as a dashboard runs.

Each row runs in a process of its own, which says afterwards what it has loaded.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# What draws or computes much, with what is built on it; a dashboard that looks has use for none of them.
HEAVY = ("torch", "torchvision", "torchattacks", "pyautoattack", "matplotlib", "sklearn", "statsmodels")
RUNS = ("shipped-trades-s0", "shipped-trades-cfa-s0")


def loaded(code: str, home: Path) -> dict[str, str]:
    """Run a code here, and say which heavy packages it loaded, each with the line that did."""
    whole = (
        f"import json, sys\nfrom tests.support.heavy_imports import FirstImports\n"
        f"first = FirstImports({HEAVY!r})\n{code}\nprint(json.dumps(first.found))"
    )
    environment = {**os.environ, "CFA_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        (sys.executable, "-c", whole), cwd=home, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def commanded(words: str) -> str:
    return (
        f"from cfa.commands import main\nsys.argv = {['cfa', *words.split()]!r}\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert ended.code in (0, None), ended.code"
    )


def visited(*pages: tuple[str, dict[str, object]]) -> str:
    opened = "\n".join(f"open_page({page!r}, **{query!r})" for page, query in pages)
    return f"from tests.app.pages import open_page\n{opened}"


LOOKING = {
    "import": "import cfa",
    "the server": "import app.server\nfrom app import supervision\nsupervision.start_work().stop()",
    "--help": commanded("--help"),
    "runs": commanded("runs"),
    "jobs": commanded("jobs"),
    "methods": commanded("methods"),
    "one method": commanded("methods trades-cfa"),
    "compare": commanded(f"compare {RUNS[1]} --baseline {RUNS[0]}"),
    "export": commanded(f"export {RUNS[0]} --out exported"),
    "Home": visited(("home", {})),
    "Runs": visited(("runs", {}), ("runs", {"run": RUNS[0]})),
    "Monitor": visited(("monitor", {}), ("monitor", {"run": RUNS[1]})),
    "Compare": visited(("compare", {}), ("compare", {"runs": list(RUNS)})),
    "Classes": visited(("classes", {}), ("classes", {"run": RUNS[0]})),
    "Sweep": visited(("sweep", {}), ("sweep", {"runs": [RUNS[0]]})),
    "Leaderboard": visited(("leaderboard", {})),
}


@pytest.mark.parametrize("what", LOOKING)
def test_what_only_looks_loads_nothing_that_computes(what: str, tmp_path: Path) -> None:
    assert loaded(LOOKING[what], tmp_path) == {}


def test_what_computes_is_named(tmp_path: Path) -> None:
    assert loaded("from cfa import api", tmp_path)["torch"].startswith("cfa/")
