"""The main job: one press, watch, compare, export."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cfa.jobs.queue import Job, Queue
from cfa.runs.store import Store
from cfa.tables.frames import per_class_frame
from tests.browser.dashboard import wait_for
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser-2")]

# Short, but on the real images and with all three kinds of weights: the gate opens in the last epoch.
SHORTENED = (
    "train.epochs=3 attack.steps=2 averaging.start_epoch=3 averaging.gate=mean averaging.threshold=0.1"
)

LEADING = [
    *("run_id", "run_name", "method", "dataset", "model", "seed"),
    *("weights", "checkpoint", "epoch", "split", "attack", "norm", "eps"),
]
PER_CLASS = [*LEADING, "class_index", "class_name", "correct", "total", "accuracy", "ci_low", "ci_high"]
SUMMARY = [
    *LEADING,
    *("total", "mean_accuracy", "worst_class", "worst_accuracy"),
    *("mean_ci_low", "mean_ci_high", "worst_ci_low", "worst_ci_high"),
]
METHODS = ["pgd-at", "pgd-at-cfa", "trades", "trades-cfa"]


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path


@pytest.fixture
def tab(open_dashboard, open_tab, home: Path) -> Tab:
    return open_tab(open_dashboard(home, environment={"CFA_DEMO_SETTINGS": SHORTENED}))


def test_one_press_then_watch_compare_and_export(tab: Tab, home: Path):
    press_the_button(tab)
    watch(tab, Queue(home))
    tab.follow("Home", "CFA Studio")
    wait_for_the_end(Queue(home))
    tab.follow("Compare 4 runs", "Compare")
    tab.check()
    check_charts(tab, table_of(home))
    check_per_class(tab, table_of(home))
    check_summary(tab, table_of(home))


def press_the_button(tab: Tab) -> None:
    tab.visit()
    tab.press("Run the demo comparison")
    tab.sees("A demo is under way")
    tab.check()


def watch(tab: Tab, queue: Queue) -> None:
    tab.follow("Watch on Monitor", "Monitor")
    wait_for(lambda: len(epochs_drawn(tab)) >= 2, "points of two epochs")
    running = [job for job in queue.jobs() if job.state == "running"]
    assert [job.kind for job in running] == ["train"]
    assert [job.state for job in queue.jobs()].count("queued") >= 1
    tab.sees_job(running[0], "running")
    tab.check()


def epochs_drawn(tab: Tab) -> set[int]:
    return {epoch for trace in tab.figure("monitor_Robust-accuracy") for epoch in trace["x"]}


def wait_for_the_end(queue: Queue) -> None:
    def ended() -> list[Job] | None:
        jobs = queue.jobs()
        assert [job.message for job in jobs if job.state in ("failed", "interrupted", "cancelled")] == []
        return jobs if all(job.state == "done" for job in jobs) else None

    kinds = [job.kind for job in wait_for(ended, "the end of the demo", 600)]
    assert kinds == ["train"] * 4 + ["compare"]


def table_of(home: Path) -> pd.DataFrame:
    own = [run for run in Store.open(home).runs() if not run.read_only]
    return per_class_frame(sorted(own, key=lambda run: METHODS.index(run.config.method)))


def check_charts(tab: Tab, table: pd.DataFrame) -> None:
    attacked = table[table["attack"] == "pgd-20"]
    for weights, title in (("online", "Online"), ("fawa", "FAWA")):
        tab.choose("Weights", title)
        drawn = {trace["name"]: trace for trace in tab.drawn_figure("compare_bars")}
        assert len(drawn) == 4
        for trace in drawn.values():
            assert len(trace["x"]) == 10
        stored = attacked[(attacked["method"] == "trades-cfa") & (attacked["weights"] == weights)]
        name = "TRADES + CFA" if weights == "fawa" else "TRADES + CCM + CCR"
        assert drawn[name]["x"] == stored["class_name"].tolist()
        np.testing.assert_allclose(drawn[name]["y"], stored["correct"] / stored["total"])
    assert len(tab.drawn_figure("compare_scatter")) == 4 * 3  # methods × online, EMA, FAWA


def check_per_class(tab: Tab, table: pd.DataFrame) -> None:
    name, file = tab.download("Per-class CSV")
    assert name == "per_class.csv"
    assert file.read_text().splitlines()[0] == ",".join(PER_CLASS)
    exported = pd.read_csv(file, keep_default_na=False)
    again = pd.read_csv(io.StringIO(table.to_csv()), index_col=0, keep_default_na=False)
    pd.testing.assert_frame_equal(exported, again)
    assert len(exported) == 4 * 3 * 2 * 10  # methods × kinds of weights × attacks × classes
    assert set(exported["split"]) == {"test"}
    assert exported["total"].eq(1000).all()  # the whole test set
    np.testing.assert_allclose(exported["accuracy"], exported["correct"] / exported["total"])


def check_summary(tab: Tab, table: pd.DataFrame) -> None:
    name, file = tab.download("Summary CSV")
    assert name == "summary.csv"
    assert file.read_text().splitlines()[0] == ",".join(SUMMARY)
    exported = pd.read_csv(file, keep_default_na=False).set_index(["run_id", "weights", "attack"])
    assert len(exported) == 4 * 3 * 2
    for key, block in table.groupby(["run_id", "weights", "attack"]):
        row, accuracy = exported.loc[key], block.set_index("class_name")["accuracy"]
        assert row["total"] == block["total"].sum()
        assert row["mean_accuracy"] == pytest.approx(accuracy.mean())
        assert row["worst_accuracy"] == pytest.approx(accuracy.min())
        assert accuracy[row["worst_class"]] == accuracy.min()
        assert row["mean_ci_low"] < row["mean_accuracy"] < row["mean_ci_high"]
        assert row["worst_ci_low"] <= row["worst_accuracy"] <= row["worst_ci_high"]
