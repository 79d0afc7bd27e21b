"""The dashboard dies, and there may be several: jobs live on, with one worker for the device."""

import urllib.error
import urllib.request

import psutil
import pytest

from tests.browser.dashboard import Census, wait_for, workers
from tests.browser.slow import EPOCHS, Workshop, hurry

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser-2")]


@pytest.fixture
def workshop(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return Workshop(tmp_path / "home", tmp_path / "work")


def test_a_queued_job_starts_with_the_server_and_not_with_the_first_visitor(workshop, open_dashboard):
    hurry(workshop.home)
    run, job = workshop.submit("unseen", train__epochs="2")
    dashboard = open_dashboard(workshop.home)
    wait_for(lambda: workshop.state(job) == "done", "the end of a job that nobody looked at")
    assert workshop.epochs(run) == [1, 2]
    assert answer(dashboard, "127.0.0.1") == 200
    assert answer(dashboard, "evil.example") == 403


def answer(dashboard, host):
    """Ask for a page as a browser does to which a foreign name was given for this machine."""
    asked = urllib.request.Request(f"{dashboard.address}/", headers={"Host": host})
    try:
        with urllib.request.urlopen(asked, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_worker_outlives_a_killed_dashboard_and_the_next_one_finds_it(workshop, open_dashboard, open_tab):
    run, job = workshop.submit("survivor")
    _, after = workshop.submit("waiting", train__epochs="2")
    with Census(workshop.home) as census:
        first = open_dashboard(workshop.home)
        witness = open_tab(first)
        witness.visit("monitor")
        workshop.wait_for_epoch(run, 1)
        worker = workshop.pid(job)
        witness.close()
        first.kill()
        reached = max(workshop.epochs(run))
        workshop.wait_for_epoch(run, reached + 2)  # nobody supervises it, and it trains

        tab = open_tab(open_dashboard(workshop.home))
        tab.visit("monitor")
        tab.sees_job(job, "running")
        tab.sees_job(after, "queued")
        tab.check()
        assert [process.pid for process in workers(workshop.home)] == [worker]
        assert psutil.pid_exists(first.process.pid) is False
        hurry(workshop.home)
        tab.sees_no_job(after)  # the next dashboard carries on with the queue
        tab.sees_no_job(job)
        tab.visit(f"monitor?run={run.name}")
        tab.sees("finished")
        tab.check()
    assert [workshop.state(j) for j in (job, after)] == ["done", "done"]
    assert workshop.epochs(run) == list(range(1, EPOCHS + 1))
    assert len(census.pids) == 2  # one worker a job


def test_two_dashboards_share_the_queue_and_the_device(workshop, open_dashboard, open_tab):
    with Census(workshop.home) as census:
        tabs = [open_tab(open_dashboard(workshop.home)) for _ in range(2)]
        for tab in tabs:
            tab.visit("monitor")
        _, first = workshop.submit("one")
        _, second = workshop.submit("two", train__epochs="2")
        for tab in tabs:
            tab.sees_job(first, "running")
            tab.sees_job(second, "queued")
        hurry(workshop.home)
        for tab in tabs:
            tab.sees_no_job(first)
            tab.sees_no_job(second)
            tab.check()
        wait_for(lambda: not workers(workshop.home), "the last worker's end")
    assert [workshop.state(j) for j in (first, second)] == ["done", "done"]
    assert census.most == 1
