"""A login against a local OpenID provider: who is not signed in sees nothing, a viewer starts nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from cfa.errors import StoreError
from cfa.jobs.queue import Queue
from tests.browser.dashboard import Dashboard, wait_for
from tests.browser.openid import Provider, write_secrets
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-1")]

pytest.importorskip("authlib")

OWNER = {"sub": "1", "email": "Ana@lab.example.org", "email_verified": True}
VIEWER = {"sub": "2", "email": "ben@example.org", "email_verified": True}
PRETENDER = {"sub": "3", "email": "ana@lab.example.org", "email_verified": False}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def dashboard(open_dashboard, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Dashboard:
    folder: Path = tmp_path_factory.mktemp("elsewhere")
    write_secrets(folder, provider, may_start="*@lab.example.org")
    return open_dashboard(tmp_path_factory.mktemp("home"), folder)


def signed_in(browser: Browser, dashboard: Dashboard, provider: Provider, user: dict[str, object]) -> Tab:
    provider.next_user = user
    tab = Tab.open(browser, dashboard.address)
    tab.visit()
    tab.press("Sign in")
    tab.sees(re.compile(str(user["email"]).replace("@", "@\u2060?")))  # the sign keeps it from being a link
    tab.settle()
    return tab


def test_without_signing_in_nothing_is_shown(browser: Browser, dashboard: Dashboard):
    tab = Tab.open(browser, dashboard.address)
    for page in ("", "runs", "train"):
        tab.visit(page)
        expect(tab.page.get_by_role("button", name="Sign in")).to_be_visible()
        assert tab.page.get_by_test_id("stDataFrame").count() == 0
        assert "demo comparison" not in tab.page.locator("body").inner_text()
    tab.close()


@pytest.mark.parametrize("user", [VIEWER, PRETENDER], ids=["viewer", "unverified"])
def test_a_viewer_looks_and_starts_nothing(browser: Browser, dashboard: Dashboard, provider: Provider, user):
    tab = signed_in(browser, dashboard, provider, user)
    tab.sees("may look, not start")
    expect(tab.page.get_by_role("button", name="Run the demo comparison")).to_be_disabled()
    tab.follow("Train", "Train")
    expect(tab.page.get_by_role("button", name="Start 1 run")).to_be_disabled()
    tab.sees("How long that takes has not been measured")  # that costs the machine's time as well
    assert Queue(dashboard.home).jobs() == []
    tab.press("Sign out")
    expect(tab.page.get_by_role("button", name="Sign in")).to_be_visible()
    tab.close()


def test_who_is_named_may_start(browser: Browser, dashboard: Dashboard, provider: Provider):
    tab = signed_in(browser, dashboard, provider, OWNER)
    assert "may look" not in tab.page.locator("body").inner_text()
    tab.follow("Train", "Train")
    tab.type("Epochs", "1")
    tab.press("Start 1 run")
    queue = Queue(dashboard.home)
    (job,) = wait_for(queue.jobs, "the job that was started")
    wait_for(lambda: cancelled(queue, job.id), "its end")
    tab.close()


def cancelled(queue: Queue, job_id: str) -> bool:
    """Cancel a job, unless the supervisor takes it at this very moment."""
    try:
        queue.cancel(job_id)
    except StoreError:
        return False
    return True
