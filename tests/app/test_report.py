"""Tables of reports: every number under what it was measured as, and with the run that it is of."""

import pytest

from app.report import classes, metrics, overview, page
from app.wording import percent
from cfa.methods import display_name
from cfa.tables.documents import build_report
from tests.support.chosen_counts import evaluated, make_run, store

__all__ = ["evaluated", "make_run", "store"]

COUNTS = {
    ("a", "fashion"): {"clean": (90, 80, 70), "pgd-20": (60, 50, 40)},
    ("a", "digits"): {"clean": (30, 20, 10), "pgd-20": (9, 6, 3)},
    ("b", "fashion"): {"clean": (99, 81, 72), "pgd-20": (63, 54, 45)},
    ("b", "digits"): {"clean": (33, 24, 15), "pgd-20": (12, 9, 6)},
}
ATTACKS = {"clean": "clean images", "pgd-20": "PGD-20, 8/255"}


def online(run) -> str:
    return "online"


@pytest.fixture
def of_two_data_sets(make_run, evaluated):
    runs = [make_run("a"), make_run("b", "trades-cfa")]
    for run in runs:
        for dataset in ("fashion", "digits"):
            evaluated(run, COUNTS[run.name, dataset], dataset=dataset)
    return build_report(runs, runs[0], online, display_name, lambda config: "cfa train")


def test_every_class_has_its_own_number_of_every_data_set(of_two_data_sets) -> None:
    found = classes(of_two_data_sets).set_index(["class", "attack"])
    assert len(found) == 3 * 4
    for (run, dataset), attacks in COUNTS.items():
        for attack, correct in attacks.items():
            for name, count in zip(("cat", "dog", "eel"), correct, strict=True):
                shown = found.loc[(name, f"{ATTACKS[attack]} on {dataset}"), f"{run} · online"]
                assert shown == percent(count / 100)


def test_no_table_and_no_sentence_leaves_open_which_data_set_it_is_about(of_two_data_sets) -> None:
    rows = {name: list(table["attack"]) for name, table in (("all", overview(of_two_data_sets)),)}
    rows["metrics"] = list(metrics(of_two_data_sets)["attack"])
    assert len(rows["all"]) == 8
    assert len(rows["metrics"]) == 4
    for row in [*rows["all"], *rows["metrics"]]:
        assert row.endswith((" on fashion", " on digits"))
    sentences = page(of_two_data_sets).split("<li>")[1:]
    assert len(sentences) == 4
    assert all(" on fashion" in one or " on digits" in one for one in sentences)


def test_two_runs_of_one_name_keep_their_own_numbers(make_run, evaluated) -> None:
    runs = [make_run("a"), make_run("b", "trades-cfa")]
    for run, correct in zip(runs, ((10, 20, 30), (40, 50, 60)), strict=True):
        evaluated(run, {"pgd-20": correct})
    (runs[1].path / "label.json").write_text((runs[0].path / "label.json").read_text())
    report = build_report(runs, runs[0], online, display_name, lambda config: "cfa train")
    found = classes(report).set_index("class")
    for run, count in zip(runs, (10, 40), strict=True):
        assert found.loc["cat", f"a ({run.id}) · online"] == percent(count / 100)
    assert sorted(overview(report)["run"]) == sorted(f"a ({run.id})" for run in runs)
