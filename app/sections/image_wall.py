"""A wall of images: original, change and adversarial of many at once, by number or by confidence.

What an address shows is the same for everybody: by number nothing is asked of the model, and by confidence
the wall says where that is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import streamlit as st

from app import elements, fields, pictures, texts, wording
from app.engine import attacked_images, errors, image_outcomes

MOST_ASKED = 500  # attacked images of a cell about which the model is asked
ORDERS = {"number": "Image number", "confidence": "Confidence"}
ASKED = "classes_wall_asked"

Kind = Literal["sure", "attacked", "clean", "wrong", "missing", "held"]
Sure = Mapping[int, float]
"""By image the probability that a model gives to what it takes it for."""

LINES: dict[Kind, str] = {
    "wrong": "taken for another class without an attack already; what is shown is the clean image",
    "missing": "attacked as well, but the adversarial images were not kept, so that nobody knows how sure "
    "the model was of them; what is shown is the clean image",
    "held": "broken by no attack of the plan, so that there is no adversarial image",
}


@dataclass(frozen=True)
class Wall:
    """The images of a cell in the order in which they are shown.

    Attributes:
        images: All of them.
        order: By what.
        sure: How sure the model is of those by which they are sorted; ``None`` where it was not asked.
    """

    images: list[attacked_images.Picture]
    order: str
    sure: Sure | None


def choose_order() -> str:
    """Ask for the order; choosing confidence is asking the model."""
    return fields.segmented_control(
        "Order",
        ORDERS,
        name="order",
        key="classes_order",
        on_change=_ask,
        help="Confidence asks the model how sure it is of each image as the attack left it, the surest "
        "first. The first question after the dashboard was started loads PyTorch, which takes some "
        "seconds and 0.5 GB of memory.",
    )


def _ask() -> None:
    st.session_state[ASKED] = True


def in_order(
    found: image_outcomes.ImageOutcomes,
    everything: list[attacked_images.Picture],
    order: str,
    *,
    closed: bool,
) -> Wall:
    """Sort a cell's images: by number, or those whose confidence under attack is known by that."""
    sure = _asked(found, everything) if order == "confidence" and not closed else None

    def place(picture: attacked_images.Picture) -> tuple[int, float, int]:
        kind = kind_of(picture, sure)
        return KINDS.index(kind), -(sure or {}).get(picture.image, 0.0), picture.image

    return Wall(sorted(everything, key=place), order, sure)


KINDS: tuple[Kind, ...] = ("sure", "attacked", "clean", "missing", "wrong", "held")


def kind_of(picture: attacked_images.Picture, sure: Sure | None) -> Kind:
    """Say with which others an image stands."""
    if picture.image in (sure or {}):
        return "sure"
    if picture.adversarial is not None:
        return "attacked"
    return _WITHOUT.get(picture.state, "missing")


_WITHOUT: dict[str, Kind] = {"clean": "clean", "wrong": "wrong", "held": "held"}


def _asked(found: image_outcomes.ImageOutcomes, everything: list[attacked_images.Picture]) -> Sure | None:
    """Ask the model how sure it is of what the attack left; say what is missing where it cannot be asked."""
    if not found.weights_kept:
        st.caption("By image number: the weights were not kept, so the model cannot say how sure it is.")
        return None
    if not (image_outcomes.answers_at_once() or st.session_state.get(ASKED) or _wanted()):
        return None
    known = [picture for picture in everything if picture.adversarial is not None or picture.state == "clean"]
    return _how_sure(found, known[:MOST_ASKED])


def _wanted() -> bool:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "By image number: the model has not been asked yet how sure it is, which this order needs.",
            width="content",
        )
        return st.button("Ask the model", icon=":material/neurology:", key="ask_wall")


def _how_sure(found: image_outcomes.ImageOutcomes, asked: Sequence[attacked_images.Picture]) -> Sure | None:
    """Ask about images as the attack left them, or as they are where there is no adversarial one."""
    if not asked:
        return {}
    try:
        images = image_outcomes.test_images(found, [picture.image for picture in asked])
        for place, picture in enumerate(asked):
            if picture.adversarial is not None:
                images[place] = picture.adversarial
        said = image_outcomes.probabilities(found, images)
    except errors.CfaError as error:
        st.caption(f"The model cannot be asked how sure it is: {elements.sentence(error)}")
        return None
    return {picture.image: float(row.max()) for picture, row in zip(asked, said, strict=True)}


def show_wall(
    found: image_outcomes.ImageOutcomes,
    column: attacked_images.ShownColumn,
    wall: Wall,
    shown: Sequence[attacked_images.Picture],
    originals: np.ndarray,
) -> None:
    """Show a page of the wall, images of one kind together under a line that says why they stand there."""
    factor = change_factor(shown, originals)
    predicted = found.predicted(column)
    made = any(picture.adversarial is not None for picture in shown)
    what = f"original, change × {factor:g}, adversarial" if made else "original"
    below = " and how sure it is of what the attack left" if wall.sure else ""
    st.caption(
        f"From left to right: {what}. Below: what the model takes the clean and the attacked image "
        f"for{below}. A click makes an image larger."
    )
    for kind in KINDS:
        places = [i for i, picture in enumerate(shown) if kind_of(picture, wall.sure) == kind]
        if not places:
            continue
        if kind in LINES or (kind == "attacked" and wall.sure):
            count = sum(kind_of(picture, wall.sure) == kind for picture in wall.images)
            line = LINES.get(kind, f"the model is asked about {MOST_ASKED} images of a cell")
            st.markdown(texts.plain(f"{wording.count(count, 'image')}: {line}."))
        tiles = []
        for i in places:
            note = _note(found, shown[i], int(predicted[shown[i].row]), wall.sure)
            panels = panels_of(shown[i], originals[i], factor)
            tiles.append(pictures.Tile(panels, f"Image {shown[i].image}", note))
        st.html(pictures.wall(tiles))


def _note(
    found: image_outcomes.ImageOutcomes, picture: attacked_images.Picture, predicted: int, sure: Sure | None
) -> str:
    """Say what the model takes an image for, clean and attacked; what is sure is said of what it is of."""
    names = found.class_names
    before = int(found.index.outcomes[attacked_images.CLEAN][picture.row])
    clean = f"clean: {names[before]}"
    of_it = f" {wording.percent(sure[picture.image])}" if sure and picture.image in sure else ""
    if picture.state == "clean" or (picture.state == "wrong" and predicted == before):
        return f"{clean}{of_it}"
    if picture.now is not None:
        predicted = picture.now
    attacked = f"attacked: {names[predicted]}{of_it}" if predicted >= 0 else ""
    return "; ".join(filter(None, (clean, attacked)))


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
