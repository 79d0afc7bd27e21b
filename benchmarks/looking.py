"""What a dashboard that only looks costs: memory, copies of plotly, and the seconds to a page's first result.

python benchmarks/looking.py [--before FOLDER] [--repeats 5]

FOLDER is a checkout of another commit, installed, which is visited in turn with this one. Pages show the runs
that ship. Every visit is by a Chromium of its own that has never been there, as a person's is: no DevTools
listen for errors. Where they do (Playwright has them do so) plotly takes twice as long to start, since the
stack of every error that it catches is then written down.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from machine import describe_machine, write_result
from websockets.sync.client import ClientConnection, connect

PROJECT = Path(__file__).resolve().parents[1]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--no-first-run", "--window-size=1280,900", "--remote-debugging-port=0"),
)
RUN = "shipped-trades-cfa-s0"
CHART, TABLE = ".js-plotly-plot .main-svg", "[data-testid=stDataFrame] canvas"
PAGES = {
    "home": ("", CHART),
    "runs": ("runs", TABLE),
    "compare": ("compare", TABLE),
    "monitor": (f"monitor?run={RUN}", CHART),
    "classes": ("classes", CHART),
    "sweep": ("sweep", CHART),
    "leaderboard": ("leaderboard", CHART),
}
LARGE = 4_000_000  # bytes of a script; nothing but plotly is as large
LOADED = (
    "JSON.stringify(performance.getEntriesByType('resource')"
    f".filter(one => one.decodedBodySize > {LARGE}).map(one => one.name.split('/').pop()))"
)


def main() -> None:
    """Visit every page of each checkout once, then several times in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    checkouts = {"now": PROJECT, **({"before": asked.before.resolve()} if asked.before else {})}
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        servers = {name: Server(checkout, Path(folder) / name) for name, checkout in checkouts.items()}
        try:
            first = {name: {page: server.visit(page) for page in PAGES} for name, server in servers.items()}
            memory = {name: server.megabytes() for name, server in servers.items()}
            seconds: dict[str, dict[str, list[float]]] = {
                name: {page: [] for page in PAGES} for name in servers
            }
            for page in PAGES:
                for _ in range(asked.repeats):
                    for name, server in servers.items():
                        seconds[name][page].append(server.visit(page)[0])
        finally:
            for server in servers.values():
                server.stop()
    copies = {
        name: sorted({one for _, found in pages.values() for one in found}) for name, pages in first.items()
    }
    write_result(
        "looking",
        {
            "what": "after one visit of each page that only looks (runs that ship): memory of the server in "
            "megabytes, and copies of plotly that browsers loaded; then medians of seconds from asking for a "
            "page to its first result, in Chromiums that have never been there, without DevTools",
            "goals": {"megabytes": 400, "copies_of_plotly": 1, "seconds": 1.5},
            "megabytes": memory,
            "copies_of_plotly": copies,
            "median_seconds": {
                name: {page: round(statistics.median(found), 2) for page, found in pages.items()}
                for name, pages in seconds.items()
            },
            "fastest_seconds": {
                name: {page: round(min(found), 2) for page, found in pages.items()}
                for name, pages in seconds.items()
            },
            "machine": machine,
        },
    )


class Server:
    """A checkout's dashboard on an empty home."""

    def __init__(self, checkout: Path, home: Path) -> None:
        """Start it, and wait until its first work is done."""
        home.mkdir()
        port = _free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                *(checkout / ".venv/bin/python", "-P", "-m", "streamlit", "run", "app/main.py"),
                *("--server.port", str(port)),
            ],
            cwd=checkout,
            env=os.environ | {"CFA_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_for(lambda: _answer(f"{self.address}/_stcore/health"))
        time.sleep(5)

    def megabytes(self) -> float:
        """Return its memory."""
        return round(psutil.Process(self.process.pid).memory_info().rss / 2**20, 1)

    def visit(self, page: str) -> tuple[float, list[str]]:
        """Return the seconds until a new browser shows the page's first result, and the large scripts."""
        path, result = PAGES[page]
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            browser = subprocess.Popen(
                [str(chromium), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                port = _wait_for(lambda: _first_line(Path(profile) / "DevToolsActivePort"))
                tabs = json.loads(_wait_for(lambda: _answer(f"http://127.0.0.1:{port}/json")))
                address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
                with connect(address, max_size=None) as tab:
                    started = time.perf_counter()
                    _call(tab, "Page.navigate", url=f"{self.address}/{path}")
                    there = f"!!document.querySelector({json.dumps(result)})?.getClientRects().length"
                    _wait_for(lambda: _value(tab, there))
                    return time.perf_counter() - started, json.loads(_value(tab, LOADED))
            finally:
                browser.terminate()
                browser.wait()

    def stop(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait()


def _call(tab: ClientConnection, method: str, **parameters: Any) -> dict[str, Any]:
    tab.send(json.dumps({"id": 1, "method": method, "params": parameters}))
    while "result" not in (answer := json.loads(tab.recv())):
        if "error" in answer:
            raise SystemExit(f"{method}: {answer['error']}")
    result: dict[str, Any] = answer["result"]
    return result


def _value(tab: ClientConnection, expression: str) -> Any:
    return _call(tab, "Runtime.evaluate", expression=expression)["result"].get("value")


def _wait_for(look: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.perf_counter() + seconds
    while not (found := look()):
        if time.perf_counter() > end:
            raise SystemExit(f"waited {seconds:.0f} s in vain")
        time.sleep(0.02)
    return found


def _answer(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _first_line(file: Path) -> str:
    return file.read_text().partition("\n")[0] if file.is_file() else ""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    main()
