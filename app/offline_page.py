"""Pages of HTML that hold everything they need: they ask for nothing, and run no script but ours.

The policy in the page's head names our scripts by their hashes. What else came into the page, by a text that
was not escaped for example, would neither run nor be loaded: no address, and no file of whoever opens it.
"""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence

import plotly.offline

CHARTS = """
for (const [id, figure] of Object.entries(JSON.parse(document.getElementById("figures").textContent)))
  Plotly.newPlot(id, figure.data, figure.layout, {displaylogo: false})
"""
PICTURES = """
(async () => {
  const figures = JSON.parse(document.getElementById("figures").textContent)
  for (const [id, figure] of Object.entries(figures))
    for (const format of ["png", "svg"]) {
      const picture = document.createElement("pre")
      picture.id = `${id}.${format}`
      picture.textContent = await Plotly.toImage(figure, {format, width: 1000, height: 480, scale: 2})
      document.body.append(picture)
    }
})()
"""


def chart_page(title: str, style: str, body: str, figures: Mapping[str, str]) -> str:
    """Write a page with charts.

    Args:
        title: Of the page, a text.
        style: Its CSS.
        body: Its HTML, texts in it escaped, with an element for every figure.
        figures: Plotly's JSON of each, by the id of its element.
    """
    return _page(title, style, body + _data(figures), (plotly.offline.get_plotlyjs(),), (CHARTS,))


def picture_page(figures: Mapping[str, str]) -> str:
    """Write a page that draws figures as pictures: ``<pre id="ID.png">`` and ``.svg``, as `data:` addresses.

    Args:
        figures: Plotly's JSON of each by its id.
    """
    return _page("", "", _data(figures), (plotly.offline.get_plotlyjs(),), (PICTURES,))


def _page(title: str, style: str, body: str, before: Sequence[str], after: Sequence[str]) -> str:
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, (*before, *after)))}; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    first, last = ("".join(f"<script>{script}</script>" for script in scripts) for scripts in (before, after))
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<meta name='viewport' content='width=device-width'><title>{html.escape(title)}</title>"
        f"<style>{style}</style>{first}</head><body>{body}{last}</body></html>"
    )


def _data(figures: Mapping[str, str]) -> str:
    """Put figures into the page as data; a ``<`` in a text would end the element."""
    entries = ",".join(f'"{name}":{figure}' for name, figure in figures.items())
    escaped = f"{{{entries}}}".replace("<", "\\u003c")
    return f'<script type="application/json" id="figures">{escaped}</script>'


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
