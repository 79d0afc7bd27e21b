"""Reports from the dashboard and a terminal: they open from disk, without a network, with their charts."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.app.example_store import fill
from tests.browser.dashboard import Dashboard
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-2")]

RUNS = ("trades-fashion-mnist-mini-s0", "pgd-at-cfa-fashion-mnist-mini-s0")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    fill(home, epochs=6, hundred=False)
    return home


def asked_for(browser: Browser, file: Path) -> tuple[list[str], int, list[str]]:
    """Open a file without a network; give what it asked for, how many charts it drew, and errors."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    charts = page.locator(".js-plotly-plot").count()
    drawn = page.evaluate("[...document.querySelectorAll('.js-plotly-plot')].every(c => c.data.length > 0)")
    assert drawn
    context.close()
    return asked, charts, errors


def test_every_format_downloads_from_compare(browser: Browser, open_dashboard, home: Path, tmp_path: Path):
    dashboard: Dashboard = open_dashboard(home)
    tab = Tab.open(browser, dashboard.address)
    tab.visit("compare?" + "&".join(f"runs={name}" for name in RUNS))
    tab.check()
    files = {}
    for label, ending in (
        ("HTML", "html"),
        ("PDF", "pdf"),
        ("LaTeX", "tex"),
        ("Markdown", "md"),
        ("PNG and SVG", "zip"),
    ):
        name, path = tab.download(label)
        assert name == f"comparison.{ending}"
        files[ending] = Path(path).rename(tmp_path / name)
    tab.close()
    asked, charts, errors = asked_for(browser, files["html"])
    assert asked == [files["html"].as_uri()]
    assert charts >= 8
    assert errors == []
    assert files["pdf"].read_bytes().startswith(b"%PDF")
    assert r"\toprule" in files["tex"].read_text()
    assert files["md"].read_text().startswith("# ")
    with zipfile.ZipFile(files["zip"]) as packed:
        names = packed.namelist()
        assert {name.rpartition(".")[2] for name in names} == {"png", "svg"}
        assert packed.read(names[0]).startswith(b"\x89PNG")


def test_the_command_writes_the_same_page(browser: Browser, home: Path, tmp_path: Path):
    file = tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, "-m", "cfa", "compare", *RUNS, "--out", str(file)],
        env=os.environ | {"CFA_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    asked, charts, errors = asked_for(browser, file)
    assert (asked, errors) == ([file.as_uri()], [])
    assert charts >= 8
    assert "worst class" in done.stdout + file.read_text(encoding="utf-8")
