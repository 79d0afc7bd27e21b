"""Published numbers: every file validates, some numbers by hand, and bad files get a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from cfa.attacks import named_attack
from cfa.errors import ConfigError, StoreError
from cfa.methods import METHODS
from cfa.tables.leaderboard import leaderboard
from cfa.tables.papers import (
    PUBLISHED,
    PublishedNumber,
    PublishedTable,
    find_published,
    read_published,
)

FILES = sorted(PUBLISHED.glob("*.json"))


def as_json(table: PublishedTable) -> str:
    """Write a file of published numbers, one number a line, without what is left at its default."""
    fields = table.model_dump(exclude_defaults=True, exclude={"numbers"})
    lines = [json.dumps(number.model_dump(exclude_defaults=True)) for number in table.numbers]
    head = json.dumps(fields, indent=1, ensure_ascii=False).removesuffix("\n}")
    return head + ',\n "numbers": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def find(name: str, **wanted: Any) -> PublishedNumber:
    numbers = read_published(PUBLISHED / f"{name}.json")
    (found,) = [n for n in numbers if all(getattr(n, key) == value for key, value in wanted.items())]
    return found


def test_there_are_the_tables_that_suites_stand_beside() -> None:
    names = {file.stem for file in FILES}
    assert {"cfa-table1", "cfa-table2", "cfa-table3", "dafa", "faal", "benchmark-rows"} <= names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_validates_and_names_what_there_is(file: Path) -> None:
    numbers = read_published(file)
    assert as_json(PublishedTable.model_validate_json(file.read_text())) == file.read_text()
    for number in numbers:
        assert number.paper
        assert number.venue
        assert number.read_from
        assert number.method is None or number.method in METHODS
        assert number.attack == "cw" or number.attack == "clean" or named_attack(number.attack, "linf")


# From the papers, as percent: mean, its spread, worst class, its spread.
AA, CLEAN, TAIL = "autoattack", "clean", "last 80 % of classes"
BY_HAND = [
    ("cfa-table1", {"label": "AT", "checkpoint": "best", "attack": CLEAN}, (82.3, 0.8, 63.9, 1.6)),
    ("cfa-table1", {"label": "TRADES + CFA", "checkpoint": "best", "attack": AA}, (50.1, 0.2, 26.5, 0.4)),
    ("cfa-table1", {"label": "FRL + EMA", "checkpoint": "last", "attack": AA}, (44.9, 0.2, 24.5, 0.3)),
    ("cfa-table1", {"label": "FAT + CFA", "checkpoint": "last", "attack": CLEAN}, (84.3, 0.1, 69.4, 0.3)),
    ("cfa-table2", {"label": "TRADES + CCR"}, (48.9, None, 23.5, None)),
    ("cfa-table3", {"label": "FAT + FAWA"}, (48.5, None, 19.9, None)),
    ("dafa", {"label": "TRADES + CFA", "dataset": "cifar100", "attack": AA}, (23.49, None, 1.67, None)),
    ("dafa", {"label": "FRL", "dataset": "cifar10", "attack": CLEAN}, (82.97, None, 71.94, None)),
    ("faal", {"label": "AWP to FAAL_AT-AWP", "attack": "pgd-20"}, (57.14, None, 43.40, None)),
    ("benchmark-rows", {"table": "CIFAR-100-LT, natural", "label": "CFA"}, (56.26, None, None, None)),
    ("trix", {"label": "TRIX"}, (49.09, 0.24, None, None)),
    ("robust-lt", {"label": "AT-BSL", "attack": CLEAN, "over": ""}, (77.09, None, None, None)),
    ("robust-lt", {"label": "AT-BSL", "attack": CLEAN, "over": TAIL}, (72.48, None, None, None)),
    ("robust-lt", {"label": "RoBal + RobustLT", "attack": "pgd-20", "over": TAIL}, (29.19, None, None, None)),
    ("taet", {"label": "TAET", "attack": AA}, (27.31, None, None, None)),
    ("robustbench", {"label": "LBGAT6", "attack": AA}, (29.33, None, None, None)),
    ("hat", {"dataset": "cifar10", "attack": AA}, (49.08, None, None, None)),
    ("spectral-regularisation", {"table": "fine-tuning", "label": "TRADES"}, (52.51, None, 23.2, None)),
    ("small-models", {"label": "TRADES-AWP"}, (50.31, 0.10, None, None)),
]


@pytest.mark.parametrize(("name", "wanted", "percent"), BY_HAND)
def test_numbers_are_those_of_the_papers(name: str, wanted: dict[str, str], percent: tuple) -> None:
    found = find(name, **wanted)
    for value, expected in zip(
        (found.mean, found.mean_spread, found.worst, found.worst_spread), percent, strict=True
    ):
        assert (value is None) == (expected is None)
        assert value is None or value == pytest.approx(expected / 100, abs=1e-9)


def test_table_1_is_whole() -> None:
    numbers = read_published(PUBLISHED / "cfa-table1.json")
    assert len({number.label for number in numbers}) == 11
    assert len(numbers) == 11 * 2 * 2
    assert all(number.runs == 5 and not number.unverified for number in numbers)


def test_what_was_not_seen_at_its_source_says_so() -> None:
    rows = read_published(PUBLISHED / "benchmark-rows.json")
    assert all(n.unverified for n in rows)  # the page names no source
    assert len(rows) == 12
    assert all(n.note for n in rows)
    assert find(
        "dafa", label="TRADES", dataset="cifar10", attack="autoattack"
    ).unverified  # which AutoAttack?


NUMBER = {
    "table": "1",
    "label": "AT",
    "dataset": "cifar10",
    "model": "m",
    "checkpoint": "best",
    "attack": "clean",
}
TABLE = {"paper": "P", "venue": "V", "read_from": "paper"}


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ([{**NUMBER, "mean": 46.7}], "numbers.0.mean should be less than or equal to 1"),
        ([{**NUMBER, "mean": 0.4, "worst": 0.5}], "the worst class 0.5 exceeds the mean 0.4"),
        ([NUMBER], "neither mean nor worst is given"),
        ([{**NUMBER, "mean": 0.4}] * 2, "AT, best, clean stands there twice"),
        ([{**NUMBER, "mean": 0.4, "method": "trades"}], "method and weights go together"),
        ([{**NUMBER, "men": 0.4}], "numbers.0.men is not known here"),
        ([], "numbers Tuple should have at least 1 item"),
        ([{**NUMBER, "mean": 0.4, "note": "http://a.test/x"}], "numbers.0.note holds a link to http:"),
        ([{**NUMBER, "mean": 0.4, "note": "see HTTP://a.test"}], "holds a link to http:"),
        ([{**NUMBER, "mean": 0.4, "table": "[1](javascript:alert(1))"}], "holds a link to javascript:"),
        ([{**NUMBER, "mean": 0.4, "label": "data:text/html,x"}], "holds a link to data:"),
        ([{**NUMBER, "mean": 0.4, "model": "file:///etc/passwd"}], "holds a link to file:"),
        ([{**NUMBER, "mean": 0.4, "note": "ftp://a.test and https://b.test"}], "holds a link to ftp:"),
        ([{**NUMBER, "mean": 0.4, "note": "a\nb"}], "numbers.0.note should be a line of text"),
        ([{**NUMBER, "mean": 0.4, "note": "a\u202eb"}], "numbers.0.note should be a line of text"),
        ([{**NUMBER, "mean": 0.4, "note": "x" * 5000}], "should have at most 4000 characters"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, numbers: list, sentence: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(json.dumps({**TABLE, "numbers": numbers}))
    with pytest.raises(StoreError) as caught:
        read_published(file)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("published numbers bad.json: ")


def test_a_link_that_is_https_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "good.json"
    notes = ["https://a.test/x?y=1", "Table 3, training data: all", "mean: worst"]
    numbers = [{**NUMBER, "mean": 0.4, "label": f"{i}", "note": note} for i, note in enumerate(notes)]
    file.write_text(json.dumps({**TABLE, "numbers": numbers}))
    assert [number.note for number in read_published(file)] == notes


def test_an_unknown_table_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown table of published numbers 'cfa-tabel1'; did you mean"):
        find_published(["cfa-tabel1"], PUBLISHED)


def test_what_is_said_of_a_whole_file_reaches_its_rows() -> None:
    """CFA's checkpoints were chosen on test images: ours that were so are marked, and so are theirs."""
    whole = [number for file in FILES for number in read_published(file)]
    table = leaderboard([], whole, lambda method, weights: method)
    for name in ("cfa-table1", "cfa-table2", "cfa-table3"):
        for number in read_published(PUBLISHED / f"{name}.json"):
            assert ("checkpoint chosen on test" in number.marks) == (number.checkpoint == "best")
    faal = table[table["source"].str.startswith("FAAL")]
    assert faal["source"].str.contains("two checkpoints").all()
    bench = table[table["source"].str.startswith("RobustBench")]
    assert bench["marks"].str.contains("chosen on mostly test").all()
    weak = table[table["attack"] == "torchattacks:AutoAttack"]
    assert weak["marks"].str.contains("10-step AA, not comparable").all()


def test_a_budget_is_that_of_the_evaluation() -> None:
    rows = {n.label: n.eps for n in read_published(PUBLISHED / "robustbench.json") if n.attack == AA}
    assert (rows["TRADES"], rows["LBGAT0"]) == (0.031, 0.031)
    assert rows["TRADES-AWP"] == pytest.approx(8 / 255)


def test_a_mean_over_some_classes_is_another_number_and_says_so() -> None:
    """RobustLT's tail column is called accuracy of new classes elsewhere: it is no mean over all."""
    whole = PublishedNumber(**NUMBER | {"attack": AA}, mean=0.4, read_from="paper")
    tail = whole.model_copy(update={"mean": 0.3, "over": TAIL})
    table = leaderboard([], [whole, tail], lambda method, weights: method)
    marks = dict(zip(table["mean"], table["marks"], strict=True))
    assert marks == {0.4: "", 0.3: f"mean over the {TAIL} only"}


def test_rows_of_the_benchmark_page_name_their_source_and_how_sure_it_is() -> None:
    for number in read_published(PUBLISHED / "benchmark-rows.json"):
        if number.unverified:
            sources = ("RobustLT's table", "ABSLD", "CFA's table 1")
            assert any(source in number.note for source in sources)
    assert {n.over for n in read_published(PUBLISHED / "benchmark-rows.json")} == {
        "",
        TAIL,
    }
