"""Arrays into small PNG files that can be looked at. Pure."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.texts import readable

SIDE = 96  # pixels on the screen: three beside each other fit a phone
SMALL = 72  # in a wall of many; style.css has how large they are drawn
GREY = 0.5


def png(image: np.ndarray, side: int = SIDE) -> bytes:
    """Encode an image, every pixel enlarged to a square so that nothing is smoothed away.

    Args:
        image: Values in [0, 1], shape (channels, height, width); one channel is grey, three are RGB.
        side: About how large it becomes; images that are larger stay as they are.
    """
    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    flat = pixels[0] if len(pixels) == 1 else pixels[:3].transpose(1, 2, 0)
    factor = max(1, round(2 * side / max(flat.shape[:2])))
    height, width = flat.shape[:2]
    large = Image.fromarray(flat).resize((width * factor, height * factor), Image.Resampling.NEAREST)
    file = io.BytesIO()
    large.save(file, "PNG")
    return file.getvalue()


def address(image: np.ndarray, side: int = SIDE) -> str:
    """Write an image as an address that holds it: nothing to fetch, and nothing that can be gone by then."""
    return f"data:image/png;base64,{base64.b64encode(png(image, side)).decode()}"


def magnification(changes: np.ndarray) -> float:
    """Choose one factor for some perturbations, so that the largest change becomes black or white.

    Args:
        changes: Differences of images in [0, 1], any shape.
    """
    largest = float(np.abs(changes).max()) if changes.size else 0.0
    if largest == 0:
        return 1.0
    factor = GREY / largest
    return float(f"{factor:.2g}")


def perturbation(change: np.ndarray, factor: float) -> np.ndarray:
    """Draw a perturbation around grey, which stands for zero."""
    return np.clip(GREY + factor * change, 0, 1)


@dataclass(frozen=True)
class Tile:
    """One of many images: versions of it beside each other, with a line below.

    Attributes:
        panels: Images in [0, 1], each with what it is.
        title: Which image it is.
        note: What is said of it.
    """

    panels: tuple[tuple[np.ndarray, str], ...]
    title: str
    note: str = ""


def wall(tiles: Sequence[Tile]) -> str:
    """Write many images as HTML, as many in a row as fit; a press on one makes it larger (style.css)."""
    return f'<div class="cfa-wall">{"".join(map(_tile, tiles))}</div>'


def _tile(tile: Tile) -> str:
    images = [
        f'<img src="{address(image, SMALL)}" alt="{_text(f"{tile.title}: {what}")}">'
        for image, what in tile.panels
    ]
    note = f"<br>{_text(tile.note)}" if tile.note else ""
    return (
        f'<figure class="cfa-tile"><details><summary>{"".join(images)}</summary>'
        f"{_text(', '.join(what for _, what in tile.panels))}</details>"
        f"<figcaption>{_text(tile.title)}{note}</figcaption></figure>"
    )


def probability_bars(blocks: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> str:
    """Write probabilities as HTML: a block for each image, a bar for each class.

    Args:
        blocks: A title, and the classes with their probabilities in [0, 1].
    """
    return f'<div style="{_GRID}">{"".join(_block(title, rows) for title, rows in blocks)}</div>'


_GRID = "display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.3rem 1rem;font-size:.8rem"
_ROW = "display:flex;justify-content:space-between;gap:.4rem;overflow-wrap:anywhere;line-height:1.3"
_TRACK = "height:4px;border-radius:2px;background:rgba(128,134,150,.25);margin-bottom:3px"
_BAR = "height:4px;border-radius:2px;background:#3C96FF"


def _block(title: str, rows: Sequence[tuple[str, float]]) -> str:
    lines = [
        f'<div style="{_ROW}"><span>{_text(name)}</span><span>{100 * share:.1f}&nbsp;%</span></div>'
        f'<div style="{_TRACK}"><div style="{_BAR};width:{100 * share:.1f}%"></div></div>'
        for name, share in rows
    ]
    return f'<div><div style="opacity:.7">{_text(title)}</div>{"".join(lines)}</div>'


def _text(text: str) -> str:
    return html.escape(readable(text, 80))
