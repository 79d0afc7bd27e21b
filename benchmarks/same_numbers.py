"""Do all methods still train to the same numbers, bit for bit, as in another checkout of this project?

    git worktree add ../before COMMIT
    python benchmarks/same_numbers.py ../before

Trains every method for two short epochs with the code of both, on the CPU with one thread, through the
command line, and compares weights, rows of the history and knobs. Exits with 1 where anything differs.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

PROJECT = Path(__file__).resolve().parents[1]
METHODS = (
    *("pgd-at", "pgd-at-cfa", "trades", "trades-ccm", "trades-ccr", "trades-cfa", "fat", "fat-cfa", "frl"),
)
# Names that both sides know; each epoch calibrates, averages and passes the gate.
SETTINGS = ("train.epochs=2", "attack.steps=3", "averaging.start_epoch=1", "averaging.threshold=0.01")
CALIBRATES = ("rule.warmup_epochs=1",)
PLAIN = ("pgd-at", "trades", "fat", "frl")
OF_THE_CLOCK = ("seconds", "images_per_second")


def main() -> None:
    """Compare two checkouts, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--methods", nargs="*", default=METHODS, help="which methods (default: all nine)")
    parser.add_argument("--out", type=Path, help="write the outcome here as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = compare(arguments.before.resolve(), arguments.methods, Path(folder))
    for method, differences in outcome.items():
        print(f"{method:12} {'equal' if not differences else '; '.join(differences)}")
    if arguments.out is not None:
        record = {"before": commit(arguments.before), "now": commit(PROJECT), "differences": outcome}
        arguments.out.write_text(json.dumps(record, indent=2) + "\n")
    sys.exit(1 if any(outcome.values()) else 0)


def compare(before: Path, methods: list[str], folder: Path) -> dict[str, list[str]]:
    """Train every method twice and list what differs, by method."""
    found = {}
    start: Path | None = None
    for method in methods:
        runs = [
            trained(code, method, folder / side / method, start)
            for side, code in (("before", before), ("now", PROJECT))
        ]
        found[method] = list(differences(*runs))
        start = start or runs[0] / "weights" / "last-online.safetensors"
    return found


def trained(code: Path, method: str, home: Path, start: Path | None) -> Path:
    """Train a method with one checkout's code; return the run's folder, its tables exported beside it."""
    settings = [*SETTINGS, *(() if method in PLAIN else CALIBRATES)]
    command = ["train", "--method", method, "--dataset", "fashion-mnist-mini", "--no-test", "--json"]
    command += [part for setting in settings for part in ("--set", setting)]
    if method == "frl" and start is not None:
        command += ["--init", str(start)]
    run = json.loads(cfa(code, home, command))
    cfa(code, home, ["export", run["run_id"], "--out", str(home / "tables")])
    return home / "runs" / str(run["run_id"])


def cfa(code: Path, home: Path, words: list[str]) -> str:
    """Run a command with one checkout's code."""
    home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(code), "CFA_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cfa", *words]
    done = subprocess.run(command, cwd=code, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def differences(before: Path, now: Path) -> Iterator[str]:
    """Say what differs between two runs."""
    names = [{path.name for path in (run / "weights").glob("*.safetensors")} for run in (before, now)]
    if names[0] != names[1]:
        yield f"other weights are kept: {sorted(names[0] ^ names[1])}"
    for name in sorted(names[0] & names[1]):
        one, other = (load_file(run / "weights" / name) for run in (before, now))
        if one.keys() != other.keys() or not all(torch.equal(one[key], other[key]) for key in one):
            yield f"{name} differs"
    one_rows, other_rows = rows(before), rows(now)
    if one_rows != other_rows:
        at = next(
            (i for i, pair in enumerate(zip(one_rows, other_rows, strict=False)) if pair[0] != pair[1]), -1
        )
        yield f"history differs in row {at}"
    one_knobs, other_knobs = table(before), table(now)
    if one_knobs != other_knobs:
        yield "knobs.csv differs"


def rows(run: Path) -> list[dict[str, Any]]:
    """Read the rows of a history that are no knobs, without what the clock says."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in OF_THE_CLOCK}
        for line in lines
        if line["row"] != "knobs"
    ]


def table(run: Path) -> list[dict[str, str]]:
    """Read the knobs that a run was exported with, without its id."""
    with (run.parents[1] / "tables" / "knobs.csv").open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name != "run_id"} for row in csv.DictReader(file)
        ]


def commit(code: Path) -> str:
    """Name the commit of a checkout."""
    words = ["git", "-C", str(code), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
