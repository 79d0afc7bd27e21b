"""How much a command that only lists costs before it says something, beside a checkout of another commit.

python benchmarks/command_start.py --before FOLDER [--repeats 10]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe_machine, write_result

PROJECT = Path(__file__).resolve().parents[1]
COMMANDS = (("--help",), ("runs",), ("train", "--help"))


def main() -> None:
    """Start every command in both checkouts in turn, so that what else runs here disturbs both alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the commit to compare with")
    parser.add_argument("--repeats", type=int, default=10)
    asked = parser.parse_args()
    machine = describe_machine()
    checkouts = {"before": asked.before.resolve(), "now": PROJECT}
    seconds = {name: {" ".join(command): [] for command in COMMANDS} for name in checkouts}
    with tempfile.TemporaryDirectory() as home:
        for repeat in range(asked.repeats + 1):  # the first, which reads from the disk, does not count
            for command in COMMANDS:
                for name in sorted(checkouts, reverse=bool(repeat % 2)):
                    took = cpu_seconds(checkouts[name], command, Path(home))
                    seconds[name][" ".join(command)] += [round(took, 3)] if repeat else []
    write_result(
        "command_start",
        {
            "what": "CPU seconds of `cfa COMMAND` with an empty CFA_HOME and one thread, runs in turn",
            "median_seconds": {
                name: {command: round(statistics.median(values), 3) for command, values in by_command.items()}
                for name, by_command in seconds.items()
            },
            "seconds": seconds,
            "machine": machine,
        },
    )


def cpu_seconds(checkout: Path, command: tuple[str, ...], home: Path) -> float:
    """Run a command of a checkout to its end."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cfa", *command],
        env=os.environ | {"PYTHONPATH": str(checkout), "CFA_HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        cwd=home,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"cfa {' '.join(command)} failed in {checkout}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
