"""Classes: one evaluation class by class, what is taken for what, and the images behind every number."""

import numpy as np
import pandas as pd
import streamlit as st

from app import elements, fields
from app.engine import attacked_images, budgets, downloadable, evaluated, image_outcomes, snapshots
from app.sections import cell_images, class_accuracy, confusion_cells, image_wall, two_runs

# --- which evaluation -----------------------------------------------------------------------------


def choose_run() -> snapshots.Run | None:
    available = evaluated.evaluated_runs()
    if not available:
        st.info(
            "No run has been evaluated yet. A training ends with an evaluation, and Evaluate makes others.",
            icon=":material/inbox:",
        )
        st.page_link("views/evaluate.py", label="Evaluate", icon=":material/shield:")
        return None
    names = elements.run_names(image_outcomes.with_pictures_first(available))
    return snapshots.find_run(fields.selectbox("Run", names, name="run"))


def choose_evaluation(run: snapshots.Run) -> evaluated.Evaluation:
    """Offer a run's evaluations."""
    found = evaluated.evaluations(run)
    for problem in evaluated.results([run]).problems:
        st.warning(elements.sentence(problem), icon=":material/warning:")
    if not found:
        st.stop()
    ids = [evaluation.id for evaluation in found]
    old = evaluated.of_old_weights(run)
    titles = dict(zip(ids, elements.evaluation_titles(found, old), strict=True))
    usual = ids[first_choice(found, old, evaluated.own_weights(run))]
    chosen = fields.selectbox(
        "Evaluation",
        titles,
        name="evaluation",
        default=usual,
        subject=run.id,
        help="When, with which attack, on how many test images and of which weights the run was measured. At "
        "first that of the weights which the run is reported with, on most images.",
    )
    return found[ids.index(chosen)]


def first_choice(found: list[evaluated.Evaluation], old: frozenset[str], own: str) -> int:
    """Prefer weights that it has now, those it is reported with, most images at one budget, the newest."""
    ranks = [(e.id not in old, e.weights == own, 0 if budgets.is_sweep(e) else e.images) for e in found]
    return ranks.index(max(ranks))


def choose_column(found: image_outcomes.ImageOutcomes) -> attacked_images.ShownColumn:
    titles = {column.name: found.title(column) for column in found.columns}
    chosen = fields.selectbox(
        "Attack",
        titles,
        name="attack",
        default=attacked_images.first_to_show(found.columns).name,
        subject=found.evaluation.id,
        help="Worst case: an image counts as broken when any attack of the plan with this budget breaks it.",
    )
    return found.columns[list(titles).index(chosen)]


# --- downloads ------------------------------------------------------------------------------------


def downloads(
    found: image_outcomes.ImageOutcomes, column: attacked_images.ShownColumn, counts: np.ndarray
) -> None:
    names = list(found.class_names)
    matrix = pd.DataFrame(counts, columns=names)
    matrix.insert(0, "true_class", names)
    columns = found.columns[:1] if column.name == attacked_images.CLEAN else [found.columns[0], column]
    files = (
        ("Per-class CSV", "per_class.csv", lambda: downloadable.csv(found.scores(columns))),
        ("Confusion CSV", "confusion.csv", lambda: downloadable.csv(matrix)),
        ("Per-image CSV", "per_image.csv", lambda: downloadable.csv(found.per_image())),
    )
    with st.container(horizontal=True):
        for label, file, make in files:
            elements.csv_button(label, make, file, f"classes_{file}")


def show(found: image_outcomes.ImageOutcomes, column: attacked_images.ShownColumn) -> None:
    counts = found.confusion(column)
    for finding in found.evaluation.findings:
        st.warning(elements.sentence(finding), icon=":material/info:")
    class_accuracy.show_accuracy(found, column)
    downloads(found, column, counts)
    st.subheader("What is taken for what")
    place = st.container()
    confusion_cells.show_largest(found, counts)
    cell = confusion_cells.choose_cell(found, counts)
    with place:
        confusion_cells.show_matrix(found, column, counts, cell)
    busy = any(job.state in ("queued", "running") for job in image_outcomes.reproductions(found))
    live = st.fragment(cell_images.show_cell, run_every=elements.LIVE_SECONDS if busy else None)
    view = cell_images.choose_view()
    order = image_wall.choose_order() if view == "wall" else "number"
    live(found, column, cell, view, order, elements.states_signature())
    two_runs.beside_another(found, column)


elements.heading("Classes", "One evaluation class by class, and the images behind every number.")
run = choose_run()
if run is not None:
    with elements.explained_errors():
        found = image_outcomes.outcomes(run, choose_evaluation(run))
        show(found, choose_column(found))
