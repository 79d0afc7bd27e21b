"""The stored report of a run of `test_lockstep.py`."""

import json
from pathlib import Path

REPORT = Path(__file__).parents[2] / "benchmarks" / "results" / "lockstep.json"


def test_the_report_names_the_commit_and_all_six_losses() -> None:
    report = json.loads(REPORT.read_text())
    differences = report["largest_difference"]
    assert set(differences) == {"pgd-at", "pgd-at-cfa", "trades", "trades-cfa", "fat", "fat-cfa"}
    assert 0 <= max(differences.values()) <= report["tolerance"] == 1e-9
    assert len(report["reference_commit"]) == 40
