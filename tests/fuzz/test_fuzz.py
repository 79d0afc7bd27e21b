"""Changed files and hostile texts at every door: no traceback, nothing runs, nothing is written elsewhere.

A few changes a door here, and the holes that a few find; ``pytest tests/fuzz -m slow`` tries 2,000 at each
door, and opens every hole. All are the same every time.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.doors import DOORS
from tests.fuzz.holes import HOLES
from tests.support import unmeasured

pytestmark = pytest.mark.xdist_group("fuzz")
PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = 2
FEW_FIND = (
    "import a whole folder",
    "believe every field",
    "take paths for ids",
)
UNTIL_FEW_FIND = 40
UNTIL_FOUND = 1000
MANY = 2000


def campaign(scratch: Path, *words: str) -> list[dict]:
    """Knock at doors in another process: an audit hook cannot be taken out again."""
    environment = unmeasured.environment() | {"TMPDIR": str(scratch)}
    command = [sys.executable, "-m", "tests.fuzz.campaign", *words]
    ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    found = campaign(tmp_path_factory.mktemp("fuzz"), "--examples", str(EXAMPLES), "--until", "end")
    return {outcome["door"]: outcome for outcome in found}


def opened(scratch: Path, examples: int, *holes: str) -> dict[str, str]:
    """Open holes; return what was said at each."""
    words = [word for name in holes for word in ("--open", name)]
    found = campaign(scratch, "--examples", str(examples), "--until", "first", *words)
    return {outcome["hole"]: "; ".join(outcome["found"]) for outcome in found}


@pytest.mark.parametrize("door", [door.name for door in DOORS])
def test_a_few_changes_do_no_harm(short: dict[str, dict], door: str) -> None:
    assert short[door]["found"] == {}
    assert short[door]["tried"] >= EXAMPLES


def test_some_guards_that_are_away_are_missed(tmp_path: Path) -> None:
    for name, said in opened(tmp_path, UNTIL_FEW_FIND, *FEW_FIND).items():
        assert said, name
        assert HOLES[name].says in said


@pytest.mark.slow
@pytest.mark.on_request
@pytest.mark.parametrize("hole", HOLES)
def test_a_guard_that_is_away_is_missed(tmp_path: Path, hole: str) -> None:
    said = opened(tmp_path, UNTIL_FOUND, hole)[hole]
    assert said
    assert HOLES[hole].says in said


@pytest.mark.slow
@pytest.mark.on_request
@pytest.mark.parametrize("door", [door.name for door in DOORS])
def test_many_changes_do_no_harm(tmp_path: Path, door: str) -> None:
    (outcome,) = campaign(tmp_path, "--examples", str(MANY), "--until", "end", "--door", door)
    assert outcome["found"] == {}
    assert outcome["tried"] >= MANY
