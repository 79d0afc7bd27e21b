"""The browser that prints to PDF and draws pictures."""

import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_browser() -> str | None:
    """Return the path of the first that is on this machine."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
