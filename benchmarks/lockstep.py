"""Run the lockstep tests beside a checkout of PKU-ML/CFA and keep what they found.

python benchmarks/lockstep.py --reference PATH [--commit SHA, where PATH is no git checkout]
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
from machine import describe_machine, write_result

PROJECT = Path(__file__).resolve().parents[1]


class Collector:
    """Remembers the largest difference of each comparison."""

    def __init__(self) -> None:
        """Start with none."""
        self.differences: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a passed test recorded."""
        found = dict(report.user_properties)
        if report.when == "call" and report.passed and "largest difference" in found:
            method = report.nodeid.partition("[")[2].rstrip("]")
            self.differences[method] = float(str(found["largest difference"]))


def main() -> None:
    """Run the tests; write a result only when all of them passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--commit")
    arguments = parser.parse_args()
    os.environ["CFA_REFERENCE"] = str(arguments.reference.resolve())
    commit = arguments.commit or commit_of(arguments.reference)
    os.chdir(PROJECT)
    collector = Collector()
    code = pytest.main(["-q", "-p", "no:cacheprovider", "tests/reference/test_lockstep.py"], [collector])
    if code != 0:
        sys.exit(int(code))
    write_result(
        "lockstep",
        {
            "what": "five steps of PreActResNet-18 beside PKU-ML/CFA, float64, preset official-code: largest "
            "difference of any weight or buffer",
            "tolerance": 1e-9,
            "largest_difference": collector.differences,
            "reference": "PKU-ML/CFA",
            "reference_commit": commit,
            "machine": describe_machine(),
        },
    )


def commit_of(checkout: Path) -> str:
    """Name the commit of a checkout."""
    found = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    )
    return found.stdout.strip()


if __name__ == "__main__":
    main()
