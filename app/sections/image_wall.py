"""A wall of images: original, change and adversarial of many at once, the surest first."""

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from app import elements, pictures, wording
from app.engine import attacked_images, errors, image_outcomes

MOST_ASKED = 500  # images of a cell about which the model is asked

Sure = Mapping[int, tuple[int, float]]
"""By image the class that a model takes it for, and the probability that it gives it."""


def confidences(
    found: image_outcomes.ImageOutcomes, everything: Sequence[attacked_images.Picture]
) -> Sure | None:
    """Ask the model how sure it is of each image as the attack left it; ``None`` where it cannot be asked."""
    if not found.weights_kept or not (image_outcomes.answers_at_once() or _wanted()):
        return None
    asked = sorted(everything, key=lambda picture: picture.adversarial is None)[:MOST_ASKED]
    try:
        images = image_outcomes.test_images(found, [picture.image for picture in asked])
        for place, picture in enumerate(asked):
            if picture.adversarial is not None:
                images[place] = picture.adversarial
        said = image_outcomes.probabilities(found, images)
    except errors.CfaError as error:
        st.caption(f"The model cannot be asked how sure it is: {elements.sentence(error)}")
        return None
    return {
        picture.image: (int(row.argmax()), float(row.max())) for picture, row in zip(asked, said, strict=True)
    }


def _wanted() -> bool:
    return st.button(
        "Sort by confidence",
        icon=":material/sort:",
        key="ask_wall",
        help="Asks the model how sure it is of each image. The first question after the dashboard was "
        "started loads PyTorch, which takes some seconds and 0.5 GB of memory.",
    )


def surest_first(everything: Sequence[attacked_images.Picture], sure: Sure) -> list[attacked_images.Picture]:
    """Sort images by confidence, those whose adversarial image is there first: it is what the attack left."""

    def place(picture: attacked_images.Picture) -> tuple[bool, float]:
        return picture.adversarial is None, -sure.get(picture.image, (0, -1.0))[1]

    return sorted(everything, key=place)


def show_wall(
    found: image_outcomes.ImageOutcomes,
    shown: Sequence[attacked_images.Picture],
    originals: np.ndarray,
    sure: Sure | None,
) -> None:
    """Show a page of the wall."""
    factor = change_factor(shown, originals)
    tiles = []
    for picture, original in zip(shown, originals, strict=True):
        note = ""
        if sure is not None and picture.image in sure:
            index, probability = sure[picture.image]
            note = f"{found.class_names[index]} {wording.percent(probability)}"
        tiles.append(pictures.Tile(panels_of(picture, original, factor), f"Image {picture.image}", note))
    made = any(picture.adversarial is not None for picture in shown)
    what = f"original, change × {factor:g}, adversarial" if made else "original"
    below = "; below: what the model takes the last one for, and how sure it is" if sure is not None else ""
    st.caption(f"From left to right: {what}{below}.")
    st.html(pictures.wall(tiles))


def change_factor(shown: Sequence[attacked_images.Picture], originals: np.ndarray) -> float:
    """Choose one magnification for the changes of some images."""
    pairs = zip(shown, originals, strict=True)
    changes = [
        picture.adversarial - original for picture, original in pairs if picture.adversarial is not None
    ]
    return pictures.magnification(np.stack(changes)) if changes else 1.0


def panels_of(
    picture: attacked_images.Picture, original: np.ndarray, factor: float
) -> tuple[tuple[np.ndarray, str], ...]:
    """Return an image's versions: the original, and where there is one its change and what came of it."""
    if picture.adversarial is None:
        return ((original, "original"),)
    change = pictures.perturbation(picture.adversarial - original, factor)
    return ((original, "original"), (change, f"change × {factor:g}"), (picture.adversarial, "adversarial"))
