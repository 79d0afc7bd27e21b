"""How soon Home's heading is on the screen after `scripts/dashboard`, installation done before.

python benchmarks/home_start.py [--before FOLDER] [--repeats 5]

FOLDER is a checkout of another commit, which is installed and started in turn with this one.
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from machine import describe_machine, write_result
from playwright.sync_api import sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
CHROMIUM_ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]


def main() -> None:
    """Start the dashboard, open a browser at once, wait for the heading; several times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    checkouts = {"now": PROJECT, **({"before": asked.before.resolve()} if asked.before else {})}
    for checkout in checkouts.values():
        subprocess.run([checkout / "scripts" / "install"], check=True)
    machine = describe_machine()
    seconds: dict[str, list[float]] = {name: [] for name in checkouts}
    for repeat in range(asked.repeats + 1):  # the first, which reads from the disk, does not count
        for name, checkout in checkouts.items():
            found = seconds_to_heading(checkout)
            seconds[name] += [round(found, 2)] if repeat else []
    write_result(
        "home_start",
        {
            "what": "seconds from `scripts/dashboard` to Home's heading in headless Chromium, empty CFA_HOME",
            "goal_seconds": 3,
            "seconds": seconds,
            "median_seconds": {name: statistics.median(values) for name, values in seconds.items()},
            "machine": machine,
        },
    )


def seconds_to_heading(checkout: Path) -> float:
    """Start, wait for the heading, stop."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page()
        started = time.perf_counter()
        server = subprocess.Popen(
            [checkout / "scripts" / "dashboard", "--port", str(port)],
            env=os.environ | {"CFA_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while True:
                try:
                    page.goto(f"http://127.0.0.1:{port}")
                    break
                except Exception as error:
                    if "ERR_CONNECTION_REFUSED" not in str(error) or time.perf_counter() - started > 60:
                        raise
                    time.sleep(0.05)
            page.get_by_role("heading", level=1).first.wait_for(timeout=60_000)
            return time.perf_counter() - started
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)
            browser.close()


if __name__ == "__main__":
    main()
