"""Makes the README's pictures from the runs that ship with the project: python docs/pictures.py [FOLDER]."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.browser.conftest import FLAGS  # noqa: E402
from tests.browser.dashboard import Dashboard  # noqa: E402
from tests.browser.tab import Tab  # noqa: E402

WIDTH = 1280
SHOWN = 1100  # pixels of a picture's width in the README
OURS, BASE = "shipped-trades-cfa-s", "shipped-trades-s"
SEEDS = "&".join(f"runs={name}{seed}" for name in (BASE, OURS) for seed in range(3))


def main() -> None:
    """Open each page as a newcomer would and keep the part that the README speaks of."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "docs"
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        dashboard = Dashboard(Path(scratch), Path(scratch), os.environ)
        tab = Tab.open(browser, dashboard.address, width=WIDTH)
        try:
            for name, (address, first, last) in PICTURES.items():
                tab.visit(address)
                tab.grow()
                take(tab, folder / f"{name}.png", first, last)
        finally:
            dashboard.stop()
            browser.close()


# Name: address, and what the picture begins and ends with.
PICTURES = {
    "home": ("", "h1", "text=Open them in Compare"),
    "train": ("train?from=shipped-trades-cfa-s0", "h1", "text=Advanced"),
    "monitor": (
        f"monitor?run={OURS}0&monitor_weights=fawa",
        "text=One run, class by class",
        ".st-key-monitor_beta",
    ),
    "certain": ("compare", "text=Change per class", ".st-key-compare_bars"),
    "compare": ("compare", "h1", "text=Filled: certain"),
    "classes": (f"classes?run={OURS}0", "h1", ".st-key-classes_confusion"),
    "leaderboard": ("leaderboard?dataset=cifar10", "h1", ".st-key-board_plane"),
}


def take(tab: Tab, file: Path, first: str, last: str) -> None:
    """Keep the page from the top of one part to the bottom of another, a little smaller."""
    top, bottom = box(tab.page.locator(first).first), box(tab.page.locator(last).first)
    begin = max(0.0, top["y"] - 16)
    clip = {"x": 0, "y": begin, "width": WIDTH, "height": bottom["y"] + bottom["height"] + 16 - begin}
    tab.page.screenshot(path=file, clip=clip, animations="disabled")
    tab.page.set_viewport_size({"width": WIDTH, "height": 900})
    picture = Image.open(file).convert("RGB")
    picture = picture.resize((SHOWN, round(picture.height * SHOWN / picture.width)), Image.Resampling.LANCZOS)
    picture.save(file, optimize=True)


def box(part: Locator) -> dict[str, float]:
    """Say where a part of the page is."""
    found = part.bounding_box()
    if found is None:
        raise SystemExit(f"nothing on the page is {part}")
    return dict(found)


if __name__ == "__main__":
    main()
