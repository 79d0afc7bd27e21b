"""The images of a cell: before and after an attack, as a wall or one by one with what the model says."""

import numpy as np
import streamlit as st

from app import access, elements, fields, pictures, texts, wording
from app.engine import attacked_images, errors, image_outcomes
from app.sections import image_wall

PER_PAGE = {"wall": 48, "cards": 8}
VIEWS = {"wall": "Wall", "cards": "One by one"}
HELD = "No attack of the plan broke it, so there is no adversarial image."


@elements.explained_errors()
def show_cell(
    found: image_outcomes.ImageOutcomes,
    column: attacked_images.ShownColumn,
    cell: tuple[int, int],
    view: str,
    order: str,
    drawn: tuple[tuple[str, str], ...],
) -> None:
    """Show a cell's images, page by page; live while some are made again."""
    elements.rerun_when_states_change(drawn)
    names, rows = found.class_names, found.cell(column, *cell)
    title = f"{names[cell[0]]} → {names[cell[1]]}: {len(rows):,} {'image' if len(rows) == 1 else 'images'}"
    st.subheader(texts.plain(title))
    if len(rows) == 0:
        st.caption("No image is in this cell.")
        return
    everything = attacked_images.pictures_of(found.index, column, rows)
    if cell[0] != cell[1] and (said := turned_words(found, column, rows)):
        st.markdown(said)
    closed = image_outcomes.closed_parts(found)
    wall = image_wall.in_order(found, everything, order, closed=bool(closed))
    if view == "wall":
        everything = wall.images
    per_page = PER_PAGE[view]
    key = f"classes_page_{found.evaluation.id}_{column.name}_{cell[0]}_{cell[1]}_{view}_{order}"
    pages = -(-len(rows) // per_page)
    page = st.pagination(pages, key=key) if pages > 1 else 1
    first = (page - 1) * per_page
    shown = everything[first : first + per_page]
    st.caption(texts.plain(page_caption(found, column, first, shown, len(rows))))
    offer_again(found, everything, shown)
    if closed:
        offer_to_open(found, closed)
        return
    try:
        originals = image_outcomes.test_images(found, [picture.image for picture in shown])
    except errors.CfaError as error:
        st.warning(
            f"The images cannot be shown: {elements.sentence(error)}", icon=":material/image_not_supported:"
        )
        return
    if view == "wall":
        image_wall.show_wall(found, column, wall, shown, originals)
    else:
        show_pictures(found, shown, originals)


def turned_words(
    found: image_outcomes.ImageOutcomes, column: attacked_images.ShownColumn, rows: np.ndarray
) -> str:
    """Tell images that an attack turned from those that were wrong without it; empty where all are alike."""
    table = found.index.outcomes
    before = int((table[attacked_images.CLEAN][rows] != table["label"][rows]).sum())
    if column.name == attacked_images.CLEAN or not 0 < before < len(rows):
        return ""
    turned = len(rows) - before
    return f"The attack turned {turned:,}; {before:,} were taken for another class without it already."


def choose_view() -> str:
    """Ask how images are shown."""
    return fields.segmented_control(
        "Images as",
        VIEWS,
        name="view",
        key="classes_view",
        help="The wall has many at once; one by one they have the model's probabilities.",
    )


def offer_to_open(found: image_outcomes.ImageOutcomes, closed: tuple[str, ...]) -> None:
    """Name the folder and the code that images and model are, and open them for whoever may start."""
    st.info(
        f"Images and model are a folder or somebody's code ({texts.plain(', '.join(closed))}), opened once "
        "somebody who may start asks for it.",
        icon=":material/folder_eye:",
    )
    if access.may_start():
        st.button(
            "Open them",
            icon=":material/visibility:",
            key="open_parts",
            on_click=elements.attempt,
            args=(image_outcomes.open_parts, found),
            help="Reads the folder, or imports that module and runs it.",
        )


def page_caption(
    found: image_outcomes.ImageOutcomes,
    column: attacked_images.ShownColumn,
    first: int,
    shown: list[attacked_images.Picture],
    count: int,
) -> str:
    """Say which images are shown, and what is not there."""
    words = f"{found.title(column)}. "
    if count > len(shown):
        words += f"Images {first + 1:,} to {first + len(shown):,} of {count:,}. "
    if any(picture.adversarial is not None for picture in shown):
        words += "Change: the perturbation, magnified; grey is 0. "
    if any(picture.state == "remade" for picture in shown):
        words += (
            "Made again: the evaluation had not kept that image, and somebody had it computed anew from the "
            "same weights, attack and batch; a few come out differently. "
        )
    if not found.weights_kept:
        words += "The weights were not kept, so the model cannot be asked for its probabilities. "
    if not any(picture.adversarial is not None for picture in shown) and any(
        picture.state == "missing" for picture in shown
    ):
        words += "The adversarial images were not kept; the originals are shown. "
    return words


def offer_again(
    found: image_outcomes.ImageOutcomes,
    everything: list[attacked_images.Picture],
    shown: list[attacked_images.Picture],
) -> None:
    """Offer to make adversarial images again, and show the jobs that do."""
    active = False
    for job in image_outcomes.reproductions(found)[-3:]:
        if job.state not in ("done", "cancelled"):
            elements.job_line(job, job.title)
            active |= job.state in ("queued", "running")
    missing = [[p for p in some if p.state == "missing"] for some in (shown, everything)]
    if not missing[1]:
        return
    if why := why_not_again(found, missing[1]):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Adversarial images that were not kept cannot be made again here: {why}.")
            if found.weights_kept:
                st.page_link(
                    "views/evaluate.py",
                    label="Evaluate again",
                    icon=":material/shield:",
                    query_params={"runs": found.run.id},
                )
        return
    here, all_of_them = missing
    with st.container(horizontal=True, vertical_alignment="center"):
        again_button(found, here, "these", active)
        if len(all_of_them) > len(here):
            again_button(found, all_of_them, "all of this cell", active)


def why_not_again(found: image_outcomes.ImageOutcomes, missing: list[attacked_images.Picture]) -> str:
    """Say why images cannot be made again, and what helps; nothing where they can."""
    if not found.weights_kept:
        return "the weights were not kept"
    anew = "an evaluation of your own keeps some and can make all others again"
    if not any(picture.can_be_made for picture in missing):
        return f"this evaluation did not record in which batches they were attacked; {anew}"
    if not found.repeatable:
        return f"this evaluation ships with CFA Studio and nothing is added to it; {anew}"
    return ""


def again_button(
    found: image_outcomes.ImageOutcomes, wanted: list[attacked_images.Picture], which: str, active: bool
) -> None:
    """Offer to make some images again, with what that takes."""
    wanted = [picture for picture in wanted if picture.can_be_made]
    if not wanted:
        return
    batches = wording.count(attacked_images.batches_to_repeat(found.index, wanted), "batch", "batches")
    st.button(
        f"Make {which} again ({len(wanted)})",
        icon=":material/replay:",
        key=f"again_{which}",
        disabled=active or not access.may_start(),
        help=f"Not every adversarial image is kept. This repeats the {batches} that they were in, as a job.",
        on_click=elements.attempt,
        args=(image_outcomes.make_again, found, wanted),
    )


def show_pictures(
    found: image_outcomes.ImageOutcomes, shown: list[attacked_images.Picture], originals: np.ndarray
) -> None:
    """Show images two in a row, each with its change and with what the model says."""
    adversarial = [p.adversarial for p in shown if p.adversarial is not None]
    made = [i for i, picture in enumerate(shown) if picture.adversarial is not None]
    changes = np.stack(adversarial) - originals[made] if made else np.zeros(0)
    factor = pictures.magnification(changes)
    before, after = ask_model(found, originals, adversarial)
    cells = [card for start in range(0, len(shown), 2) for card in st.columns(2)][: len(shown)]
    for i, picture in enumerate(shown):
        with cells[i], st.container(border=True, key=f"picture_{picture.image}"):
            st.markdown(picture_title(found, picture))
            draw(picture, originals[i], factor)
            if before is not None:
                asked = after[made.index(i)] if after is not None and i in made else None
                st.html(probability_table(found.class_names, before[i], asked))


def ask_model(
    found: image_outcomes.ImageOutcomes, originals: np.ndarray, adversarial: list[np.ndarray]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the model's probabilities before and after; ``None`` where it cannot be asked."""
    if not found.weights_kept or not (image_outcomes.answers_at_once() or asked_to()):
        return None, None
    try:
        before = image_outcomes.probabilities(found, originals)
        return before, image_outcomes.probabilities(found, np.stack(adversarial)) if adversarial else None
    except errors.CfaError as error:
        st.caption(f"The model cannot be asked for its probabilities: {elements.sentence(error)}")
        return None, None


def asked_to() -> bool:
    """Offer to ask the model; tell whether somebody wants it."""
    st.caption("What the model takes each image for is not shown yet: it has not been asked.")
    return st.button(
        "Ask the model",
        icon=":material/neurology:",
        key="ask_model",
        help="What it takes each image for, before and after the attack. The first question after the "
        "dashboard was started loads PyTorch, which takes some seconds and 0.5 GB of memory; all further "
        "ones are answered at once.",
    )


def picture_title(found: image_outcomes.ImageOutcomes, picture: attacked_images.Picture) -> str:
    """Say in Markdown which image it is and what became of it."""
    names = found.class_names
    table = found.index.outcomes
    if picture.state == "clean":
        return f"Image {picture.image}"
    if picture.state == "wrong":
        clean = names[table[attacked_images.CLEAN][picture.row]]
        return f"Image {picture.image} · taken for {texts.plain(clean)} without an attack"
    if picture.state == "held":
        return f"Image {picture.image} · {HELD}"
    broken = table[picture.source][picture.row] != table["label"][picture.row]
    title = wording.attack_title(picture.attack) + (f" at {picture.budget}" if picture.budget else "")
    verdict = "broken by" if broken else "holds against"
    words = f"Image {picture.image} · {verdict} **{texts.plain(title)}**"
    if picture.state == "remade":
        now = texts.plain(names[picture.now or 0])
        differs = f", :orange[came out differently this time: {now}]" if picture.differs else ""
        words += f" · made again{differs}"
    return words


def draw(picture: attacked_images.Picture, original: np.ndarray, factor: float) -> None:
    """Draw an image, its change and its adversarial version beside each other."""
    panels = [(original, "original")]
    if picture.adversarial is not None:
        change = picture.adversarial - original
        panels += [
            (pictures.perturbation(change, factor), f"change × {factor:g}"),
            (picture.adversarial, "adversarial"),
        ]
    with st.container(horizontal=True, gap="small"):
        for panel, caption in panels:
            st.image(
                pictures.address(panel),
                caption=caption,
                width=pictures.SIDE,
                alt=f"image {picture.image}: {caption}",
            )
    if picture.state == "missing":
        st.caption("Its adversarial image was not kept.")


def probability_table(names: tuple[str, ...], before: np.ndarray, after: np.ndarray | None) -> str:
    """Draw the three likeliest classes, before and after, as small bars."""
    return pictures.probability_bars(
        [
            (title, [(names[k], float(values[k])) for k in np.argsort(-values)[:3]])
            for title, values in (("original", before), ("adversarial", after))
            if values is not None
        ]
    )
