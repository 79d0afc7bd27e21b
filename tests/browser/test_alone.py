"""PDF and pictures are made without a network and other files; reports that are opened ask for nothing."""

import http.server
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from app import report as reports
from app.browsers import find_browser, print_page, run_page
from app.offline_page import chart_page
from cfa.runs.store import Store
from cfa.tables.written import make_report
from tests.app.hostile_store import HOSTILE, fill_with_hostile_texts
from tests.support.require import require

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-2")]


@pytest.fixture(scope="module", autouse=True)
def _chromium() -> None:
    require("browser", find_browser(), "there is no Chromium")


@pytest.fixture
def asked() -> Iterator[tuple[int, list[str]]]:
    """A server on this machine: its port, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, paths
    server.shutdown()
    thread.join()
    server.server_close()


def reaching_out(port: int) -> str:
    """Write HTML that asks a server on this machine in every way that a page has."""
    at = [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]")]
    images = "".join(f'<img src="{address}/image">' for address in at)
    return (
        f'{images}<iframe src="{at[0]}/frame"></iframe><object data="{at[0]}/object"></object>'
        f'<link rel="stylesheet" href="{at[0]}/style"><link rel="prefetch" href="{at[0]}/prefetch">'
        f'<style>@import "{at[0]}/import"; body {{ background: url({at[0]}/background) }}</style>'
        f'<script src="{at[0]}/script"></script><video src="{at[0]}/video" autoplay></video>'
        f'<script>fetch("{at[0]}/fetch", {{mode: "no-cors"}}); new WebSocket("ws://127.0.0.1:{port}/socket");'
        f'navigator.sendBeacon("{at[0]}/beacon"); new Image().src = "{at[1]}/script-image"</script>'
    )


def test_a_page_that_is_printed_reaches_no_server(asked, tmp_path: Path, monkeypatch) -> None:
    port, paths = asked
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{port}")
    names = '<img src="http://canary.invalid/image"><script src="https://canary.invalid/script"></script>'
    print_page(f"<!doctype html><body>{reaching_out(port)}{names}<p>printed", tmp_path / "page.pdf")
    assert paths == []
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_a_page_whose_scripts_run_reaches_no_server(asked) -> None:
    port, paths = asked
    assert "<p>run" in run_page(f"<!doctype html><body>{reaching_out(port)}<p>run")
    assert paths == []


EMBEDDED = (
    '<img src="{}">',
    '<iframe src="{}"></iframe>',
    '<object data="{}"></object>',
    '<embed src="{}">',
    '<div style="width:300px;height:300px;background:url({})"></div>',
    '<svg><image href="{}"/></svg>',
    '<script>document.write("<img src={}>")</script>',
    '<img src="x" onerror="this.onerror=null;this.src=\'{}\'">',
)


def embedding(tmp_path: Path) -> str:
    """Write HTML that shows a picture of this machine's disk in every way; each is another number wide."""
    parts = []
    for number, part in enumerate(EMBEDDED):
        file = tmp_path / f"secret{number}.png"
        Image.effect_noise((211 + number, 197), 90).save(file)
        parts.append(part.format(file.as_uri()))
    return "".join(parts)


def shown(pdf: Path) -> set[int]:
    """Tell which of those pictures are in a PDF."""
    content = pdf.read_bytes()
    return {n for n in range(len(EMBEDDED)) if re.search(rb"/Width %d\s*/Height 197\b" % (211 + n), content)}


def test_what_came_into_a_page_unescaped_shows_no_file(tmp_path: Path) -> None:
    print_page(chart_page("t", "", embedding(tmp_path), {}), tmp_path / "page.pdf")
    assert shown(tmp_path / "page.pdf") == set()


def test_without_the_policy_such_files_would_be_shown(tmp_path: Path) -> None:
    print_page(f"<!doctype html>{embedding(tmp_path)}", tmp_path / "page.pdf")
    assert {0, 1, 6, 7} <= shown(tmp_path / "page.pdf")


@pytest.mark.parametrize(
    ("program", "says"), [("exit 3", "failed: 3"), ("echo no luck >&2; exit 1", "failed: no luck"), ("", "")]
)
def test_a_browser_that_fails_is_a_sentence(tmp_path: Path, monkeypatch, program: str, says: str) -> None:
    fake = tmp_path / "chromium"
    fake.write_text(f"#!/bin/sh\n{program}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ValueError, match=says or "printed nothing"):
        print_page("<p>", tmp_path / "page.pdf")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="apt-get install chromium"):
        print_page("<p>", tmp_path / "page.pdf")


# Reports of runs whose every text tries to be more than that ----------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("hostile")
    fill_with_hostile_texts(home)
    runs = [run for run in Store.open(home, shipped=None).runs() if run.kept_weights()]
    evaluated = [run for run in runs if any(run.path.glob("evaluations/*/evaluation.json"))]
    return make_report(evaluated[:3], evaluated[0])


def test_an_open_report_shows_texts_and_asks_for_nothing(hostile, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    reports.write_html(hostile, file)
    context = browser.new_context()  # with a network
    page = context.new_page()
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
    assert errors == []
    assert page.locator("a, img:not([src^='data:']), iframe, b > b").count() == 0
    # As a class it stands on an axis, shortened; as a run in tables.
    assert page.locator("svg text", has_text="![p](http://canary").count() > 0
    assert page.locator("td", has_text=HOSTILE).count() > 0
    assert page.evaluate("[...document.querySelectorAll('.js-plotly-plot')].every(c => c.data.length > 0)")
    context.close()


def test_pictures_of_such_a_report_are_drawn_whole(hostile, asked, tmp_path: Path) -> None:
    reports.write_charts(hostile, tmp_path / "charts.zip")
    drawn = reports.figures(hostile)
    with zipfile.ZipFile(tmp_path / "charts.zip") as packed:
        assert set(packed.namelist()) == {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")}
        for name in packed.namelist():
            content = packed.read(name)
            if name.endswith(".png"):
                with Image.open(io.BytesIO(content)) as opened:
                    opened.load()
                    assert opened.size == (2000, 960)
            else:
                assert content.startswith(b"<svg")
                assert b"<a " not in content
                assert b"canary.invalid" in content or "classes" not in name
                assert b'href="http' not in content


def test_the_pdf_of_such_a_report_is_printed(hostile, tmp_path: Path) -> None:
    reports.write_pdf(hostile, tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
