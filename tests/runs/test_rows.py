"""Rows: one line each, appended whole, read while they are written."""

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from cfa.errors import StoreError
from cfa.runs.rows import (
    Epoch,
    KnobValues,
    Row,
    Scores,
    append_rows,
    decode_row,
    drop_rows_after,
    encode,
    read_rows,
)


def scores(epoch: int) -> Scores:
    return Scores(
        epoch=epoch,
        split="val",
        weights="fawa",
        attack="pgd-10",
        norm="linf",
        eps=8 / 255,
        correct=(1, 2, epoch),
        total=(10, 20, 30),
    )


def knobs(epoch: int) -> KnobValues:
    return KnobValues(
        epoch=epoch, values={"eps": (0.1, 1 / 3), "clean_weight": (0.25, 0.0), "robust_weight": (0.75, 1.0)}
    )


def whole(epoch: int, accepted: bool | None = None) -> Epoch:
    return Epoch(
        epoch=epoch,
        learning_rate=0.1,
        loss=1 / 7,
        seconds=2.5,
        images_per_second=400.0,
        gate_worst=0.2,
        gate_threshold=None,
        gate_accepted=accepted,
    )


ROWS: list[Row] = [scores(1), knobs(1), whole(1), scores(2), knobs(2), whole(2, True), whole(3, False)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.row}-{row.epoch}")
def test_a_row_survives_its_line(row: Row) -> None:
    line = encode(row)
    assert "\n" not in line
    assert decode_row(line) == row
    assert json.loads(line)["row"] == row.row


def test_beta_is_the_ratio_of_the_weights() -> None:
    assert knobs(1).beta == (3.0, None)


def test_rows_are_read_in_the_order_in_which_they_were_appended(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    assert list(read_rows(file)) == []
    append_rows(file, ROWS[:3])
    append_rows(file, [])
    append_rows(file, ROWS[3:])
    assert list(read_rows(file)) == ROWS


@pytest.mark.parametrize("keep", [1, 10, 40])
def test_a_line_cut_short_by_a_crash_spoils_no_later_row(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "history.jsonl"
    append_rows(file, ROWS[:2])
    with file.open("a") as stream:
        stream.write(encode(ROWS[2])[:keep])
    assert list(read_rows(file)) == ROWS[:2]
    append_rows(file, ROWS[3:])
    assert list(read_rows(file)) == ROWS[:2] + ROWS[3:]


def test_a_whole_line_without_its_end_is_not_read_yet(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(encode(ROWS[0]) + "\n" + encode(ROWS[1]))
    assert list(read_rows(file)) == ROWS[:1]


@pytest.mark.parametrize("garbage", ["\x00" * 20, "not json", '{"row": "unknown"}', '{"epoch": 1}'])
def test_lines_that_are_no_rows_are_skipped(tmp_path: Path, garbage: str) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(f"{encode(ROWS[0])}\n{garbage}\n{encode(ROWS[1])}\n")
    assert list(read_rows(file)) == ROWS[:2]


@pytest.mark.parametrize(("epoch", "kept"), [(0, 0), (1, 3), (2, 6), (9, 7)])
def test_rows_after_an_epoch_are_dropped(tmp_path: Path, epoch: int, kept: int) -> None:
    file = tmp_path / "history.jsonl"
    append_rows(file, ROWS)
    with file.open("a") as stream:
        stream.write('{"row":"sco')  # the crash
    drop_rows_after(file, epoch)
    assert list(read_rows(file)) == ROWS[:kept]
    assert file.read_text() == "".join(encode(row) + "\n" for row in ROWS[:kept])
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_reader_never_sees_half_a_row_while_rows_are_appended(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    wide = Scores(**{**vars(scores(1)), "correct": tuple(range(2000)), "total": (9999,) * 2000})

    def write() -> None:
        for _ in range(20):
            append_rows(file, [wide, wide])

    writer = threading.Thread(target=write)
    writer.start()
    lengths = []
    while writer.is_alive():
        found = list(read_rows(file))
        assert all(row == wide for row in found)
        lengths.append(len(found))
    writer.join()
    assert lengths == sorted(lengths)
    assert len(list(read_rows(file))) == 40


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_while_dropping_rows_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "history.jsonl"
    append_rows(file, ROWS)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(StoreError, match=r"history\.jsonl \(No space left.*free disk space"):
            drop_rows_after(file, 0)
    assert list(read_rows(file)) == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_full_disk_while_appending_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "history.jsonl"
    append_rows(file, ROWS[:2])
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StoreError, match=r"history\.jsonl.*free disk space, then retry or resume"):
        append_rows(file, ROWS[2:])
    assert list(read_rows(file))[:2] == ROWS[:2]
