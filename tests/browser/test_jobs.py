"""Monitor and the queue: failed, interrupted, paused and cancelled jobs, seen from several tabs."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from cfa.jobs.kinds.train_run import TrainRun
from cfa.runs.store import Store
from tests.browser.dashboard import Census, wait_for
from tests.browser.slow import EPOCHS, Workshop, hurry
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser-1")]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def dashboard(open_dashboard, home):
    return open_dashboard(home)


@pytest.fixture
def tab(open_tab, dashboard) -> Tab:
    return open_tab(dashboard)


@pytest.fixture
def workshop(home, tmp_path):
    made = Workshop(home, tmp_path)
    yield made
    made.clear()


def test_a_failed_job_says_why_and_the_queue_goes_on(tab: Tab, workshop: Workshop):
    run, failing = workshop.submit("too bold", model="small-cnn", optimizer__lr="1e12")
    _, after = workshop.submit("behind it", model="small-cnn", train__epochs="2")
    tab.visit("monitor")
    tab.sees_job(failing, "failed")
    tab.sees("lower optimizer.lr")
    wait_for(lambda: workshop.state(after) == "done", "the job behind the failed one")
    tab.check()
    tab.visit(f"monitor?run={run.name}")  # a failed run is shown even before its first epoch
    tab.sees("lower optimizer.lr", tab.page.get_by_role("alert"))
    tab.check()
    tab.screenshot("failed-light-1280")
    tab.act("Remove", failing, under="More")
    tab.sees_no_job(failing)
    assert failing.id not in {job.id for job in workshop.queue.jobs()}
    assert run.id in {kept.id for kept in Store.open(workshop.home).runs()}  # the run stays
    tab.check()


def test_a_killed_worker_is_shown_as_interrupted_and_resume_goes_on(tab: Tab, workshop: Workshop):
    run, job = workshop.submit("struck down")
    tab.visit("monitor")
    workshop.wait_for_epoch(run, 2)
    tab.sees_job(job, "running")
    os.kill(workshop.pid(job), signal.SIGKILL)
    tab.sees_job(job, "interrupted")
    tab.sees("Its worker ended unexpectedly")
    tab.check()
    reached = max(workshop.epochs(run))
    hurry(workshop.home)
    tab.act("Resume", job)
    tab.sees_no_job(job)  # done: it has left the queue
    assert workshop.state(job) == "done"
    assert workshop.epochs(run) == list(range(1, EPOCHS + 1))
    assert f"resuming in epoch {reached + 1}" in run.log_file.read_text()
    tab.check()


def test_pause_resume_and_cancel_are_seen_from_every_tab(tab: Tab, open_tab, dashboard, workshop: Workshop):
    other = open_tab(dashboard, "dark", 400)
    with Census(workshop.home) as census:
        run, first = workshop.submit("first")
        _, second = workshop.submit("second")
        tab.visit("monitor")
        other.visit("monitor")
        workshop.wait_for_epoch(run, 1)
        for each in (tab, other):
            each.sees_job(first, "running")
            each.sees_job(second, "queued")
        worker = workshop.pid(first)
        tab.reload()
        another = open_tab(dashboard)
        another.visit("monitor")
        another.sees_job(first, "running")
        another.close()  # three live tabs keep a Chromium without a GPU busy
        for each, name in ((tab, "queue-light-1280"), (other, "queue-dark-400")):
            each.check()
            each.screenshot(name)
        assert (workshop.pid(first), workshop.state(second)) == (worker, "queued")

        tab.act("Pause", first)
        other.sees_job(first, "paused")
        other.sees_job(second, "running")  # the queue goes on
        paused_at = workshop.epochs(run)
        tab.act("Resume", first)
        other.sees_job(first, "queued")
        tab.check()
        other.act("Cancel", second)
        tab.sees_no_job(second)
        assert workshop.state(second) == "cancelled"
        tab.sees_job(first, "running")
        assert workshop.epochs(run)[: len(paused_at)] == paused_at
        hurry(workshop.home)
        tab.sees_no_job(first)
        assert workshop.epochs(run) == list(range(1, EPOCHS + 1))
        tab.check()
        other.check()
    assert census.most == 1
    assert len(census.pids) == 3  # first, second, first again: no session started another


@contextmanager
def busy(home: Path) -> Iterator[None]:
    """Keep everybody from changing the queue, as a busy machine does: whoever wants to waits."""
    with closing(sqlite3.connect(home / "queue.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_press_acts_once_however_long_the_answer_takes(tab: Tab, workshop: Workshop):
    workshop.submit("runs")
    waiting = [workshop.submit(f"waits {k}")[1] for k in range(4)]
    tab.visit("monitor")
    tab.sees_job(waiting[3], "queued")
    acts = tab.page.locator(".st-key-queue_acts")

    def press_twice(label: str, *, under: str = "") -> None:
        tab.tick(waiting[3])
        if under:
            tab.press(under, acts)
        button = (tab.page if under else acts).get_by_role("button", name=label, exact=True)
        with busy(workshop.home):
            button.click()
            expect(button).to_be_disabled(timeout=1000)  # at once, whenever the server may answer
            button.click(force=True)
            button.press("Enter")
        tab.settle()

    press_twice("Up", under="More")
    last = waiting[3].title
    wait_for(lambda: [cells[0] for cells in tab.queue()[3:4]] == [last], "the last job before its neighbour")
    expect(tab.page.get_by_role("button", name="Up", exact=True)).to_be_enabled()
    order = [job.id for job in workshop.queue.jobs() if job.state == "queued"]
    assert order == [waiting[k].id for k in (0, 1, 3, 2)]  # one place, and not two
    for label, state in (("Pause", "paused"), ("Resume", "queued"), ("Cancel", "cancelled")):
        press_twice(label)
        wait_for(lambda state=state: workshop.state(waiting[3]) == state, f"a job that is {state}")
        tab.settle()
        assert tab.page.get_by_role("alert").count() == 0  # nobody complains about what was done
    tab.sees("Cancelled: train waits 3.")
    tab.press("Undo")
    tab.sees_job(waiting[3], "queued")
    tab.check()


def test_a_chain_or_everything_is_cancelled_and_brought_back(tab: Tab, workshop: Workshop):
    run, first = workshop.submit(
        "runs first"
    )  # a name is a run's alone, and other tests of the module have some
    workshop.wait_for_epoch(run, 1)
    _, second = workshop.submit("in the middle")
    third = workshop.queue.submit(TrainRun(), "third", after=[second.id])
    _, other = workshop.submit("on its own")
    tab.visit("monitor")
    tab.sees_job(third, "queued")
    tab.act("Cancel with 1 that waits", second, under="More")
    tab.sees_no_job(third)
    assert [workshop.state(job) for job in (second, third, other)] == ["cancelled", "cancelled", "queued"]
    tab.press("Undo")
    tab.sees_job(third, "queued")
    tab.press("Cancel all")
    tab.press("Cancel 4 jobs")
    tab.sees("Nothing is queued or running.")
    assert workshop.state(first) == "cancelled"
    tab.check()


def test_the_tab_says_when_a_job_has_ended(tab: Tab, workshop: Workshop):
    _, job = workshop.submit("short", model="small-cnn", train__epochs="2")
    tab.visit("monitor")
    wait_for(lambda: tab.page.title().startswith("✓ train short done · "), "the news in the tab's title")
    assert workshop.state(job) == "done"
    tab.page.keyboard.press("Shift")  # somebody is here
    wait_for(lambda: tab.page.title() == "CFA Studio", "the title without news")
    tab.check()
