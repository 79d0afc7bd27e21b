"""Monitor and the queue: failed, interrupted, paused and cancelled jobs, seen from several tabs."""

import os
import signal

import pytest

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
    tab.sees_job(failing.id, "failed")
    tab.sees("lower optimizer.lr", tab.job(failing.id))
    wait_for(lambda: workshop.state(after) == "done", "the job behind the failed one")
    tab.check()
    tab.visit(f"monitor?run={run.name}")  # a failed run is shown even before its first epoch
    tab.sees("lower optimizer.lr", tab.page.get_by_role("alert"))
    tab.check()
    tab.screenshot("failed-light-1280")
    tab.press("Remove", tab.job(failing.id))
    tab.job(failing.id).wait_for(state="detached")
    assert failing.id not in {job.id for job in workshop.queue.jobs()}
    assert run.id in {kept.id for kept in Store.open(workshop.home).runs()}  # the run stays
    tab.check()


def test_a_killed_worker_is_shown_as_interrupted_and_resume_goes_on(tab: Tab, workshop: Workshop):
    run, job = workshop.submit("struck down")
    tab.visit("monitor")
    workshop.wait_for_epoch(run, 2)
    tab.sees_job(job.id, "running")
    os.kill(workshop.pid(job), signal.SIGKILL)
    tab.sees_job(job.id, "interrupted")
    tab.sees("its worker ended unexpectedly".capitalize(), tab.job(job.id))
    tab.check()
    reached = max(workshop.epochs(run))
    hurry(workshop.home)
    tab.press("Resume", tab.job(job.id))
    tab.job(job.id).wait_for(state="detached")  # done: it has left the queue
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
            each.sees_job(first.id, "running")
            each.sees_job(second.id, "queued")
        worker = workshop.pid(first)
        tab.reload()
        another = open_tab(dashboard)
        another.visit("monitor")
        another.sees_job(first.id, "running")
        another.close()  # three live tabs keep a Chromium without a GPU busy
        for each, name in ((tab, "queue-light-1280"), (other, "queue-dark-400")):
            each.check()
            each.screenshot(name)
        assert (workshop.pid(first), workshop.state(second)) == (worker, "queued")

        tab.press("Pause", tab.job(first.id))
        other.sees_job(first.id, "paused")
        other.sees_job(second.id, "running")  # the queue goes on
        paused_at = workshop.epochs(run)
        tab.press("Resume", tab.job(first.id))
        other.sees_job(first.id, "queued")
        tab.check()
        other.press("Cancel", other.job(second.id))
        tab.job(second.id).wait_for(state="detached")
        assert workshop.state(second) == "cancelled"
        tab.sees_job(first.id, "running")
        assert workshop.epochs(run)[: len(paused_at)] == paused_at
        hurry(workshop.home)
        tab.job(first.id).wait_for(state="detached")
        assert workshop.epochs(run) == list(range(1, EPOCHS + 1))
        tab.check()
        other.check()
    assert census.most == 1
    assert len(census.pids) == 3  # first, second, first again: no session started another
