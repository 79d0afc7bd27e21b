"""What is taken for what: the matrix, its largest confusions, and the cell that is chosen."""

import numpy as np
import pandas as pd
import streamlit as st

from app import cards, charts, elements, fields, table_columns, wording
from app.engine import attacked_images, image_outcomes

CELL = {"true": "True class", "predicted": "Predicted class"}
LARGEST = 12  # confusions that are listed
VIEWS: dict[charts.View, tuple[str, str]] = {
    "share": ("Shares", "colours are shares of them."),
    "confused": ("Without the diagonal", "colours are shares of them; what is right is left out."),
    "logarithm": ("Logarithm", "colours are the logarithm of the number of images."),
    "change": (
        "Attacked minus clean",
        "colours and numbers are the change of their shares, in points, against the same images without an "
        "attack.",
    ),
}


def choose_cell(found: image_outcomes.ImageOutcomes, counts: np.ndarray) -> tuple[int, int]:
    """Let people choose a cell by its classes; a click on the matrix sets the same two boxes."""
    names = list(found.class_names)
    columns = st.columns(2)
    chosen = []
    for place, (key, title), default in zip(columns, CELL.items(), largest_confusion(counts), strict=True):
        chosen.append(
            fields.selectbox(
                title,
                {name: name for name in names},
                name=key,
                default=names[default],
                key=f"classes_{key}",
                place=place,
                on_change=frame_anew,
            )
        )
    return names.index(chosen[0]), names.index(chosen[1])


def frame_anew() -> None:
    """Let the frame follow the choice: it was not made in the matrix."""
    st.session_state.pop("classes_framed", None)


def largest_confusion(counts: np.ndarray) -> tuple[int, int]:
    """Find the cell off the diagonal with most images; the first on it where nothing is confused."""
    confused = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    true, predicted = divmod(int(confused.argmax()), len(counts))
    return (true, predicted) if confused.any() else (0, 0)


def show_matrix(
    found: image_outcomes.ImageOutcomes,
    column: attacked_images.ShownColumn,
    counts: np.ndarray,
    cell: tuple[int, int],
) -> None:
    """Draw the confusion matrix; a click on a cell becomes the choice.

    The figure stays the same while cells are clicked (plotly frames them itself, and keeps its zoom), and
    changes when the choice comes from elsewhere.
    """
    clean = found.columns[0]
    titles: dict[str, str] = {
        view: title for view, (title, _) in VIEWS.items() if column != clean or view != "change"
    }
    chosen = fields.segmented_control(
        "Colours",
        titles,
        name="colours",
        key="classes_colours",
        help="\n\n".join(
            f"**{title}**: {says}" for title, says in VIEWS.values() if title in titles.values()
        ),
    )
    view = next(one for one in VIEWS if one == chosen)
    words = VIEWS[view][1]
    of = (found.evaluation.id, column.name)
    framed = st.session_state.get("classes_framed")
    if framed is None or framed[0] != of:
        st.session_state["classes_framed"] = framed = (of, cell)
    st.session_state["classes_names"] = found.class_names
    card = cards.Card(
        "Confusion",
        "classes_confusion",
        charts.confusion(counts, found.class_names, framed[1], view, found.confusion(clean)),
        f"{found.title(column)}. Rows are true classes; {words} Click on a cell to see its images, or choose "
        "its classes below.",
    )
    cards.show_card(card, on_click=take_click)


def take_click() -> None:
    """Choose the cell that was clicked; a second click on it, which plotly takes as taking back, as well."""
    if point := cards.clicked("classes_confusion"):
        st.session_state["classes_clicked"] = point[1], point[0]
    for key, index in zip(CELL, st.session_state.get("classes_clicked", ()), strict=False):
        fields.choose(key, st.session_state["classes_names"][int(index)], key=f"classes_{key}")


def show_largest(found: image_outcomes.ImageOutcomes, counts: np.ndarray) -> None:
    """List the largest confusions: a hundred classes have cells that are too small to read."""
    confused = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = [int(cell) for cell in np.argsort(-confused, axis=None, kind="stable")[:LARGEST]]
    cells = [divmod(cell, len(counts)) for cell in order if confused.flat[cell]]
    if not cells:
        st.caption("Nothing is taken for anything else.")
        return
    names = found.class_names
    rows = [(names[i], names[j], counts[i, j], 100 * counts[i, j] / counts[i].sum()) for i, j in cells]
    with st.expander(f"The {wording.count(len(rows), 'largest confusion')}", icon=":material/table:"):
        st.dataframe(
            pd.DataFrame(rows, columns=["true", "predicted", "images", "share"]),
            hide_index=True,
            key="classes_largest",
            column_config={
                "true": "True class",
                "predicted": "Predicted class",
                "images": table_columns.count_column("Images"),
                "share": elements.percent_column("Of its class"),
            },
        )
