"""The report of the newest lockstep run: every loss, within the tolerance, beside a named commit."""

import json
from pathlib import Path

REPORT = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "lockstep.json"
METHODS = {"pgd-at", "pgd-at-cfa", "trades", "trades-cfa", "fat", "fat-cfa"}


def test_the_report_covers_all_six_losses_within_the_tolerance() -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    assert set(report["largest_difference"]) == METHODS
    assert report["tolerance"] == 1e-9
    assert all(value <= report["tolerance"] for value in report["largest_difference"].values())
    assert report["reference"] == "PKU-ML/CFA"
    assert len(report["reference_commit"]) == 40
    int(report["reference_commit"], 16)  # hexadecimal
