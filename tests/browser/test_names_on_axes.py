"""Names that look like dates or numbers, as plotly draws them."""

import itertools
import re
from urllib.parse import unquote

import pytest

from app.browsers import find_browser, run_page
from app.offline_page import picture_page
from tests.app.charts.example_frames import ACROSS, LOOKS
from tests.support.require import require

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-2")]


def test_every_name_stands_on_its_axis_as_it_is_written() -> None:
    require("browser", find_browser(), "there is no Chromium")
    figures = {
        f"f{number}": (build(names), names)
        for number, (build, names) in enumerate(itertools.product(ACROSS.values(), LOOKS.values()))
    }
    drawn = run_page(picture_page({name: figure.to_json() for name, (figure, _) in figures.items()}))
    for name, (figure, names) in figures.items():
        (address,) = re.findall(rf'<pre id="{name}\.svg">([^<]*)</pre>', drawn)
        ticks = re.findall(r'<g class="xtick"><text[^>]*>([^<]*)</text>', unquote(address))
        assert ticks == list(names[: len({x for trace in figure.data for x in trace.x})])
