"""Every number of README's tables and statements, computed again from what is shipped with the project."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import welch
from benchmarks.demo_table import Demo
from cfa.evaluation import default_weights
from cfa.methods import display_name
from cfa.runs.folder import RunFolder
from cfa.runs.store import SHIPPED_RUNS
from cfa.statistics import SeedFigures
from cfa.tables.comparison import in_points
from cfa.tables.documents import table as report_table
from cfa.tables.statements import statements
from cfa.tables.written import make_report

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
RESULTS = PROJECT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def demo() -> Demo:
    return Demo.read()


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def rows_after(text: str, heading: str) -> list[str]:
    """Give the lines of the first table that begins with a heading."""
    lines = text[text.index(heading) :].splitlines()
    return lines[: next(number for number, line in enumerate(lines) if not line.startswith("|"))]


# The demo --------------------------------------------------------------------------------------------------


def test_the_demos_table_is_what_its_script_prints(demo: Demo) -> None:
    assert rows_after(README, "| Weights | Clean, mean | Clean, worst |") == list(demo.table())
    assert len(list(demo.table())) == 2 + 6 * 3


def test_the_statements_are_what_the_script_prints(demo: Demo) -> None:
    readme = one_line(README)
    found = list(demo.statements())
    assert [text for text in found if f"- {text}" not in readme] == []
    assert len(found) == 4


def test_all_of_it_is_computed_from_all_images_of_distinct_seeds(demo: Demo) -> None:
    shown = demo.summary[demo.summary["attack"].isin(["clean", "pgd-20"])]
    assert set(shown["total"]) == {10_000}
    assert len(shown) == 6 * 3 * 3 * 2  # methods, seeds, weights, clean and attacked
    # What is shipped besides, on 1,000 images, stands apart from it.
    few = demo.summary[demo.summary["total"] != 10_000]
    assert set(few["attack"]) == {"autoattack"}


def test_what_the_statements_say_without_a_number() -> None:
    assert round(100 * (0.3 * 0.7 / 1000) ** 0.5, 1) == 1.4  # the standard error of a class at 30 %
    assert "a standard error of 1.4 points" in one_line(README)
    assert "loses 5.5 to 9.3 in the worst class" in one_line(README)


# Compare, page and command, opens the same numbers ----------------------------------------------------------


def shipped(*methods: str) -> list[RunFolder]:
    runs = [RunFolder(path, read_only=True) for path in sorted(SHIPPED_RUNS.iterdir())]
    return [run for run in runs if run.config.method in methods]


@pytest.mark.parametrize("plain", ["pgd-at", "trades", "fat"])
def test_compare_states_the_same_differences(demo: Demo, plain: str) -> None:
    said = statements(shipped(plain), shipped(f"{plain}-cfa"), default_weights)
    kinds = {"online": "online", "ema": "EMA", "fawa": "FAWA"}
    for attack in ("clean", "pgd-20"):
        for kind, title in kinds.items():
            (found,) = [
                s for s in said if (s.heading.attack, s.weights) == (attack, f"{title} weights of both")
            ]
            assert found.basis == "3 and 3 seeds, Welch's t"
            for name, measure in (("mean", "mean"), ("worst class", "worst")):
                value, ends = demo.difference(f"{plain}-cfa", plain, (kind, kind), attack, measure)
                words = re.search(rf"{name} (\S+) \[(\S+), (\S+)\]", found.words.replace("−", "-"))
                assert words is not None
                numbers = [float(text) for text in words.groups()]
                assert numbers == pytest.approx([100 * n for n in (value, *ends)], abs=0.05 + 1e-9)
                assert in_points(value, ends) in found.words


def test_a_report_of_compare_has_the_tables_numbers(demo: Demo) -> None:
    runs = shipped("trades", "trades-cfa")
    rows = dict(report_table(make_report(runs, runs[0])))
    for method in ("trades", "trades-cfa"):
        for kind in ("online", "ema", "fawa"):
            cells = rows[f"{display_name(method, kind)} (3 seeds)"]
            for cell, attack in zip(cells, ("clean", "pgd-20"), strict=True):
                assert cell is not None
                assert cell.images == 10_000
                expected = [demo.figures(method, kind, attack, m).mean() for m in ("mean", "worst")]
                assert [cell.mean, cell.worst] == pytest.approx(expected)


def test_the_command_opens_the_same_numbers(demo: Demo, cfa) -> None:
    runs = shipped("trades", "trades-cfa")
    found = cfa("compare", *(run.name for run in runs), "--json")
    accuracies: dict[tuple[str, str, str], list[list[float]]] = {}
    for row in found["scores"]:
        key = (row["run_name"], row["weights"], row["attack"])
        accuracies.setdefault(key, []).append([row["accuracy"], row["total"]])
    assert {sum(total for _, total in values) for values in accuracies.values()} == {10_000}
    for method in ("trades", "trades-cfa"):
        for kind in ("online", "ema", "fawa"):
            for attack in ("clean", "pgd-20"):
                means, worsts = [], []
                for run in (run for run in runs if run.config.method == method):
                    values = [value for value, _ in accuracies[run.name, kind, attack]]
                    means.append(np.mean(values))
                    worsts.append(min(values))
                for measure, own in (("mean", means), ("worst", worsts)):
                    assert sorted(own) == pytest.approx(sorted(demo.figures(method, kind, attack, measure)))


# Other tables -----------------------------------------------------------------------------------------------


def test_the_table_of_colour_images_is_that_of_the_results() -> None:
    rows = json.loads((RESULTS / "cifar10-small-cpu.json").read_text(encoding="utf-8"))["rows"]
    of = {(row["label"], row["attack"]): row for row in rows if row["checkpoint"] == "best"}
    for line in rows_after(README, "| Weights | Clean, mean | PGD-20, mean |")[2:]:
        label = line.split("|")[1].strip()
        clean, robust = of[label, "clean"], of[label, "pgd-20"]
        assert {clean["runs"], robust["runs"]} == {2}
        low, high = (100 * end for end in robust["worst_interval"])
        worst = f"{100 * robust['worst']:.1f} [{low:.1f}, {high:.1f}]"
        assert line == f"| {label} | {100 * clean['mean']:.1f} | {100 * robust['mean']:.1f} | {worst} |"


# How often Welch's interval holds ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated() -> dict:
    return json.loads((RESULTS / "welch.json").read_text(encoding="utf-8"))


def test_what_is_quoted_of_the_simulation_is_its_result(simulated) -> None:
    ranges = simulated["ranges"]
    assert ranges == welch.ranges(simulated["coverage"])
    low, high = ranges["3 of each"]
    assert f"in {100 * low:.0f} to {100 * high:.0f} % of cases" in one_line(README)
    titles = {
        **{f"{n} of each": f"{n} and {n}" for n in (2, 3, 4, 5)},
        "unequal, the fewer 2": "2 and 3 to 5",
        "unequal, the fewer 3": "3 and 4 or 5",
        "unequal, the fewer 4": "4 and 5",
    }
    text = (PROJECT / "docs" / "statistics.md").read_text(encoding="utf-8")
    lines = rows_after(text, "| Seeds of the two sides |")[2:]
    assert sorted(lines) == sorted(
        f"| {titles[name]} | {ends[0]:.3f} | {ends[1]:.3f} |" for name, ends in ranges.items()
    )


@pytest.mark.parametrize("number", [0, 13, 38, 63])
def test_the_simulation_draws_what_it_says(simulated, number: int) -> None:
    """Fewer draws agree within four standard errors, other random numbers as well."""
    row = simulated["coverage"][number]
    draws, rng = 20_000, np.random.default_rng(number)
    share = welch.coverage(rng, *row["seeds"], row["spreads"], draws)
    assert share == pytest.approx(row["coverage"], abs=4 * (0.1 * 0.9 / draws) ** 0.5)


def test_the_simulated_interval_is_the_one_that_is_stated() -> None:
    rng = np.random.default_rng(0)
    run, baseline = rng.normal(0.3, 0.02, (5, 3)), rng.normal(0.2, 0.05, (5, 4))
    low, high = welch.intervals(run, baseline)
    for k in range(5):
        stated = SeedFigures.of(run[k][:, None], range(3), baseline[k][:, None], range(4))
        assert stated.interval()[0] == pytest.approx((low[k], high[k]))


# Crashes ----------------------------------------------------------------------------------------------------


def test_what_is_quoted_of_the_crash_campaign_is_its_result() -> None:
    found = json.loads((RESULTS / "crashes.json").read_text(encoding="utf-8"))
    assert found["faults"] == []
    assert found["kills"] == sum(found["kills_of"].values()) == sum(found["kills_in"].values())
    quoted = f"after {found['kills']} SIGKILLs of commands, workers and supervisors at random moments"
    assert quoted in one_line(README)
