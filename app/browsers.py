"""The machine's Chromium, which prints to PDF and draws pictures: it gets a page and reaches nothing else."""

import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
NO_BROWSER = "it takes a Chromium or Chrome; install one (on Debian: apt-get install chromium) and try again"
SECONDS = 300
ALONE = (
    # Without its sandbox, which containers often do not allow; the page runs scripts of ours only.
    *("--headless", "--no-sandbox", "--disable-gpu"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-extensions", "--disable-domain-reliability", "--no-pings"),
    # No name and no address is found, and no proxy is asked that might find it.
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--no-proxy-server"),
    "--virtual-time-budget=60000",  # scripts have a minute of their own time, which passes as fast as it can
)


def find_browser() -> str | None:
    """Return the path of the first that is on this machine."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def print_page(page: str, file: Path) -> None:
    """Print a page to PDF.

    Args:
        page: Its whole HTML (`app.offline_page`).
        file: Where to.

    Raises:
        ValueError: There is no browser, or it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "page.html", Path(folder) / "page.pdf"
        source.write_text(page, encoding="utf-8")
        _run(source, "--no-pdf-header-footer", f"--print-to-pdf={target}")
        if not target.exists():
            raise ValueError("the browser printed nothing; try again")
        shutil.copyfile(target, file)


def run_page(page: str) -> str:
    """Run the scripts of a page, and return the HTML that has come of it.

    Raises:
        ValueError: There is no browser, or it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(page, encoding="utf-8")
        return _run(source, "--dump-dom")


def _run(source: Path, *options: str) -> str:
    browser = find_browser()
    if browser is None:
        raise ValueError(NO_BROWSER)
    profile = source.with_name("profile")
    command = [browser, *ALONE, f"--user-data-dir={profile}", *options, source.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{browser} was not done after {SECONDS} s; try again") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        raise ValueError(f"{browser} failed: {said or done.returncode}")
    return done.stdout.decode(errors="replace")
