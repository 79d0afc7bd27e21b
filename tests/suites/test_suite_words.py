"""Suite files of others: names are words, and none leads out of the place that it is meant for."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from cfa.errors import ConfigError
from cfa.runs.store import Store
from cfa.suites.report import report_suite
from cfa.suites.suite_file import read_suite
from tests.test_escaping import read

BASE = {"title": '"T"', "dataset": '"cifar10"', "methods": '["trades"]'}
MANY = list(range(1, 200))
NOT_WORDS = {
    "a path up": "../../secret",
    "an absolute path": "/etc/passwd",
    "a path down": "below/secret",
    "a home": "~/secret",
    "a Windows path": "..\\\\secret",
    "dots": "..",
    "an address": "https://a.test/x",
    "a line break": "trades\\nx",
    "a zero": "trades\\u0000",
    "an escape": "\\u001b[2J",
    "a mark of direction": "a\\u202eb",
    "nothing": "",
    "a space": "trades cfa",
    "very long": "x" * 10_000,
}
FIELDS = {  # what is in the file, with the name in the place of %s
    "dataset": {"dataset": '"%s"'},
    "method": {"methods": '["trades", "%s"]'},
    "model": {"model": '"%s"'},
    "preset": {"preset": '"%s"'},
    "published": {"published": '["cfa-table1", "%s"]'},
    "attack": {"evaluations": '[{attacks = ["%s"]}]'},
    "method of an evaluation": {"evaluations": '[{attacks = ["pgd-2"], methods = ["%s"]}]'},
}


def suite(tmp_path: Path, **fields: str) -> Path:
    file = tmp_path / "suites" / "s.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{key} = {value}\n" for key, value in (BASE | fields).items()))
    return file


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", NOT_WORDS.values(), ids=NOT_WORDS)
def test_what_is_no_word_is_refused_in_a_short_sentence(tmp_path: Path, field: str, name: str) -> None:
    (key, form), *_ = FIELDS[field].items()
    with pytest.raises(ConfigError) as raised:
        read_suite(suite(tmp_path, **{key: form % name}))
    assert len(str(raised.value)) < 400
    assert str(raised.value).isprintable()
    assert re.search("is no name|should have at most (200|4096) characters", str(raised.value))


def test_published_numbers_are_read_from_their_folder_alone(tmp_path: Path) -> None:
    secret = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "speed.json"
    assert secret.is_file()
    with pytest.raises(ConfigError, match="is no name"):
        read_suite(suite(tmp_path, published='["../results/speed"]'))


@pytest.mark.parametrize(
    "path", ["../outside", "images/../../outside", "/data/../etc", "a\\nb", "a\\u202eb", "x" * 5000]
)
def test_a_folder_of_images_goes_nowhere_but_down(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_suite(suite(tmp_path, dataset=f'"folder:{path}"'))
    assert "without `..`" in str(raised.value) or "at most" in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("path", ["images/birds", "/data/birds", "birds of prey"])
def test_other_folders_of_images_are_taken(tmp_path: Path, path: str) -> None:
    assert read_suite(suite(tmp_path, dataset=f'"folder:{path}"')).datasets == (f"folder:{path}",)


@pytest.mark.parametrize("prefix", ["../x", "-x", "a/b", "", "x" * 41, "a\\nb", "=1"])
def test_a_prefix_that_no_run_may_be_called_by_is_refused_before_anything_is_queued(tmp_path, prefix) -> None:
    with pytest.raises(ConfigError, match="prefix="):
        read_suite(suite(tmp_path, prefix=f'"{prefix}"'))


@pytest.mark.parametrize(
    "fields",
    [
        {"settings": f'{{"train.epochs" = {MANY}, "attack.steps" = {MANY}}}'},
        {"seeds": str(list(range(2000)))},
        {"methods": str(["trades"] * 500).replace("'", '"')},
        {"title": '"%s"' % ("x" * 600)},
        {"published": '["%s"]' % ("x" * 2_000_000)},
        {"seeds": "[" * 5000 + "]" * 5000},
        {"settings": "{a = " * 3000 + "1" + "}" * 3000},
        {"settings." + ".".join("a" * 5_000): "1"},
        {"settings": "{" + ".".join("a" * 5_000) + " = 1}"},
        {"settings": '{"train.epochs" = []}'},
    ],
    ids=[
        *("a grid of many runs", "many seeds", "many methods", "a long title", "a large file"),
        *(
            "lists within lists",
            "tables within tables",
            "a long dotted key",
            "a long dotted key in a table",
            "an empty list",
        ),
    ],
)
def test_a_suite_has_bounds(tmp_path: Path, fields: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as raised:
        read_suite(suite(tmp_path, **fields))
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "attack", ["pgd-20", "pgd-20-best", "autoattack(apgd-ce, square)", "torchattacks:PGD", "autoattack-plus"]
)
def test_attacks_that_are_words_are_taken(tmp_path: Path, attack: str) -> None:
    assert read_suite(suite(tmp_path, evaluations=f'[{{attacks = ["{attack}"]}}]')).evaluations


def test_a_report_of_a_suite_shows_texts_as_they_are(tmp_path: Path, store: Store) -> None:
    title = 'T | <img src="http://a.test/x"> ![x](http://a.test) `c`'
    report = report_suite(store, read_suite(suite(tmp_path, title=f"'{title}'", published='["cfa-table1"]')))
    said, tags = read(MarkdownIt("commonmark").enable("table").render(report.markdown()))
    assert title in said
    assert tags == {"h1", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert report.lines
    formula = replace(report, lines=tuple(replace(line, label="=1+1", method="@x") for line in report.lines))
    rows = list(csv.DictReader(io.StringIO(formula.csv())))
    assert {(row["label"], row["method"]) for row in rows} == {("'=1+1", "'@x")}
