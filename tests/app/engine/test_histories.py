"""Histories follow their files."""

from app.engine import histories
from tests.app.engine.example_runs import run_called


def test_an_added_epoch_is_seen(own_home):
    run = run_called("trades-ccm")
    before = len(histories.epochs(run))
    lines = run.folder.history_file.read_text(encoding="utf-8").splitlines(keepends=True)
    again = [line.replace('"epoch":5', '"epoch":6') for line in lines if '"epoch":5,' in line]
    with run.folder.history_file.open("a", encoding="utf-8") as file:
        file.writelines(again)
    assert len(histories.epochs(run)) == before + 1
