"""How soon Home's heading is on the screen after `scripts/dashboard`, installation done before.

python benchmarks/home_start.py [--repeats 5]
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    subprocess.run([PROJECT / "scripts" / "install"], check=True)
    machine = describe_machine()
    seconds = [round(seconds_to_heading(), 2) for _ in range(repeats)]
    write_result(
        "home_start",
        {
            "what": "seconds from `scripts/dashboard` to Home's heading in headless Chromium, empty CFA_HOME",
            "goal_seconds": 10,
            "seconds": seconds,
            "median_seconds": statistics.median(seconds),
            "machine": machine,
        },
    )


def seconds_to_heading() -> float:
    """Start, wait for the heading, stop; the first start after a reboot reads everything from disk."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page()
        started = time.perf_counter()
        server = subprocess.Popen(
            [PROJECT / "scripts" / "dashboard", "--port", str(port)],
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
