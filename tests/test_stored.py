"""Small stored files are read within bounds: a value of the right type, or at once the reason as a phrase."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cfa.errors import StoreError
from cfa.stored import (
    STRICT,
    Count,
    Counts,
    Moment,
    Name,
    checked_id,
    distance,
    is_file,
    open_file,
    read_stored,
)
from tests.support.damage import OF_ANY_FILE, Damage, content


@dataclass(frozen=True)
class Thing:
    __pydantic_config__ = STRICT

    name: Name
    count: Count = 0
    counts: Counts = ()
    share: float = 0.0
    made: Moment = ""


def write(file: Path, **fields: object) -> Path:
    file.write_text(json.dumps({"name": "a", **fields}))
    return file


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", count=3, counts=[1, 2], share=1, made="2026-01-01T00:00:00+00:00")
    assert read_stored(file, Thing) == Thing("a", 3, (1, 2), 1.0, "2026-01-01T00:00:00+00:00")
    assert read_stored(tmp_path / "none.json", Thing) is None
    assert read_stored(file / "below a file", Thing) is None


@pytest.mark.parametrize("damage", OF_ANY_FILE.values(), ids=OF_ANY_FILE)
def test_whatever_stands_there_ends_in_a_phrase(tmp_path: Path, damage: Damage) -> None:
    file = write(tmp_path / "a.json")
    damage(file)
    with pytest.raises(StoreError) as caught:
        read_stored(file, Thing, limit=10**6)
    assert 10 < len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("fields", "phrase"),
    [
        ({"name": 3}, "name should be a valid string"),
        ({"name": ["a"]}, "name should be a valid string"),
        ({"name": "x" * 301}, "name String should have at most 300 characters"),
        ({"count": -1}, "count should be greater than or equal to 0"),
        ({"count": True}, "count should be a valid integer"),
        ({"count": "3"}, "count should be a valid integer"),
        ({"count": 3.0}, "count should be a valid integer"),
        ({"count": 10**30}, "count"),
        ({"counts": 3}, "counts should be a valid array"),
        ({"counts": [1, -1]}, "counts.1 should be greater than or equal to 0"),
        ({"counts": [1, None]}, "counts.1 should be a valid integer"),
        ({"share": float("nan")}, "share should be a finite number"),
        ({"share": float("inf")}, "share should be a finite number"),
        ({"share": "0.5"}, "share should be a valid number"),
        ({"made": "yesterday"}, "made "),
        ({"made": "2026-01-01T00:00:00"}, "made has no time zone"),
        ({"newer": 1}, "newer is not known here; another version"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_field_that_does_not_fit_is_named(tmp_path: Path, fields: dict[str, object], phrase: str) -> None:
    file = write(tmp_path / "a.json", **fields)
    with pytest.raises(StoreError) as caught:
        read_stored(file, Thing)
    assert str(caught.value).startswith(phrase)


def test_a_file_without_its_field_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    content(b"{}")(file)
    with pytest.raises(StoreError, match="name is missing"):
        read_stored(file, Thing)


def test_size_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with file.open("wb") as sparse:
        sparse.truncate(10**13)  # ten terabytes that take no room
    with pytest.raises(StoreError, match="10,000,000,000,000 bytes are more than the 1,000 that"):
        read_stored(file, Thing, limit=1000)


def test_a_device_is_no_file() -> None:
    with pytest.raises(StoreError, match="it is a device"):
        open_file(Path(os.devnull))
    assert not is_file(Path(os.devnull))


@pytest.mark.parametrize("text", ["r12ab34cd", "20261125T041722-7eb7", "e-1_2.3", "a" * 80])
def test_an_id_is_one_plain_name(text: str) -> None:
    assert checked_id(text, "run") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../other",
        "/etc",
        "a/b",
        "a\\b",
        "~",
        ".hidden",
        "a\n",
        "a b",
        "\u202e",
        "a\0b",
        "a" * 81,
        3,
    ],
)
def test_anything_that_could_lead_elsewhere_is_no_id(text: object) -> None:
    with pytest.raises(StoreError, match="is no id of a run, which has letters, digits"):
        checked_id(text, "run")


@pytest.mark.parametrize(("kind", "said"), [("evaluation", "an evaluation"), ("job", "a job")])
def test_what_is_no_id_says_of_what_in_good_english(kind: str, said: str) -> None:
    with pytest.raises(StoreError, match=f"^'../x' is no id of {said}, which has"):
        checked_id("../x", kind)


@pytest.mark.parametrize("seconds", [0, 100, -100], ids=["now", "past", "ahead"])
def test_the_distance_of_a_time_knows_no_direction(seconds: int) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    assert distance(moment.isoformat()) == pytest.approx(abs(seconds), abs=5)


@pytest.mark.parametrize("moment", [None, "", "yesterday", "2026-01-01T00:00:00"])
def test_no_time_is_infinitely_far(moment: str | None) -> None:
    assert distance(moment) == float("inf")
