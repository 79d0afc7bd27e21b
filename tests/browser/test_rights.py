"""Every function of the dashboard's door is called in a real session: by a viewer, then by who may start.

A viewer's calls change nothing in store and queue, import, start and write nothing, look into no folder
outside of the store, and tell nothing of what is there.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from cfa.jobs.queue import Queue
from tests.app.guarded_store import SECRET, fill_guarded, write_canary
from tests.browser.dashboard import Dashboard
from tests.browser.openid import Provider, write_secrets
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-1")]

pytest.importorskip("authlib")

PAGE = Path(__file__).with_name("every_function_page.py")
Answers = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def dashboard(open_dashboard, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Dashboard:
    folder = tmp_path_factory.mktemp("elsewhere")
    write_canary(folder)
    write_secrets(folder, provider, may_start="*@lab.example.org")
    home = tmp_path_factory.mktemp("guarded") / "home"
    fill_guarded(home)
    return open_dashboard(home, folder, main=PAGE)


@pytest.fixture(scope="module")
def before(dashboard: Dashboard) -> tuple[object, object]:
    return contents(dashboard.home)


@pytest.fixture(scope="module")
def of_viewer(browser: Browser, dashboard: Dashboard, provider: Provider, before: object) -> Answers:
    return answers(browser, dashboard, provider, "ben@example.org")


@pytest.fixture(scope="module")
def after(dashboard: Dashboard, of_viewer: Answers) -> tuple[object, object]:
    return contents(dashboard.home)


@pytest.fixture(scope="module")
def of_owner(browser: Browser, dashboard: Dashboard, provider: Provider, after: object) -> Answers:
    return answers(browser, dashboard, provider, "ana@lab.example.org")


def answers(browser: Browser, dashboard: Dashboard, provider: Provider, email: str) -> Answers:
    """Sign in and read what came of every call."""
    provider.next_user = {"sub": email, "email": email, "email_verified": True}
    tab = Tab.open(browser, dashboard.address)
    tab.visit()
    tab.press("Sign in")
    tab.page.get_by_role("heading", level=1, name="Every function").wait_for()
    shown: str = tab.page.get_by_test_id("stCode").inner_text()
    tab.close()
    found: Answers = json.loads(shown)
    return found


def contents(home: Path) -> tuple[object, object]:
    """Summarise a store, and its queue."""
    files = {
        str(file.relative_to(home)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(home.rglob("*"))
        if file.is_file() and ".sqlite" not in file.name
    }
    return files, Queue(home).jobs()


def named(found: Answers, right: str) -> Answers:
    return {name: told for name, told in found.items() if told["right"] == right}


def test_a_viewer_is_refused_by_every_function_that_acts(of_viewer: Answers):
    acting = named(of_viewer, "acts")
    assert len(acting) > 20
    assert [name for name, told in acting.items() if not told["answers"]] == []
    let_in = {name for name, told in acting.items() for answer in told["answers"] if not answer["refused"]}
    assert let_in == set()
    assert {answer["said"] for told in acting.values() for answer in told["answers"]} == {
        "ben@example.org may look, and change nothing; ask whoever runs this dashboard to be named under "
        "[access] may_start"
    }


def test_nothing_happens_whatever_a_viewer_calls(of_viewer: Answers, before: object, after: object):
    done = [(name, a["events"]) for name, told in of_viewer.items() for a in told["answers"] if a["events"]]
    assert done == []
    assert after == before


@pytest.mark.parametrize("who", ["of_viewer", "of_owner"])
def test_no_call_fails_without_a_sentence(who: str, request: pytest.FixtureRequest):
    found: Answers = request.getfixturevalue(who)
    told = [(name, a["said"]) for name, of_name in found.items() for a in of_name["answers"]]
    assert [(name, said) for name, said in told if said.startswith("FAULT")] == []


def test_a_viewer_may_look(of_viewer: Answers):
    looking = named(of_viewer, "looks")
    assert len(looking) > 60
    assert [name for name, told in looking.items() for answer in told["answers"] if answer["refused"]] == []
    assert set(of_viewer) == set(named(of_viewer, "acts")) | set(looking)


def test_a_viewer_is_told_the_same_whether_something_is_there_or_not(
    of_viewer: Answers, dashboard: Dashboard
):
    place = f"folder:{dashboard.home.parent / SECRET}"
    different = []
    for name, told in named(of_viewer, "looks").items():
        said = [answer["said"] for answer in told["answers"]]
        for there, absent in ((f"{place}", f"{place}/absent"), ("canary:run", "canary:absent")):
            plain = {text: text.replace(absent, "NAME").replace(there, "NAME") for text in said}
            of_there = {plain[text] for text in said if there in text and absent not in text}
            of_absent = {plain[text] for text in said if absent in text}
            if not of_absent <= of_there:
                different.append((name, of_there, of_absent))
    assert different == []


def test_those_who_may_start_are_let_in_and_things_happen(
    of_owner: Answers, after: object, dashboard: Dashboard
):
    assert [name for name, told in of_owner.items() for answer in told["answers"] if answer["refused"]] == []
    assert contents(dashboard.home) != after
    # What the hook is there to see: it sees it where it is allowed.
    imported = {name for name, t in of_owner.items() for a in t["answers"] if "import canary" in a["events"]}
    looked = {name for name, t in of_owner.items() for a in t["answers"] if SECRET in str(a["events"])}
    assert imported <= set(named(of_owner, "acts"))
    assert looked <= set(named(of_owner, "acts"))
    assert imported
    assert looked
