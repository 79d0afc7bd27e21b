"""Classes: one evaluation class by class, what is taken for what, and the images behind every number."""

import numpy as np
import pandas as pd
import streamlit as st

from app import access, charts, elements, outcomes, pictures, tables, texts, wording
from app.engine import budgets, downloadable, errors, evaluated, image_outcomes, run_folders, snapshots

MOST_CLASSES = 20
PER_PAGE = 8
CELL = {"true": "True class", "predicted": "Predicted class"}
LARGEST = 12  # confusions that are listed
HELD = "No attack of the plan broke it, so there is no adversarial image."


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
    names = [run.name for run in available]
    elements.say_what_is_not_here("run", names)
    name = st.selectbox("Run", names, key="run", bind="query-params")
    return snapshots.find_run(name)


def choose_evaluation(run: snapshots.Run) -> evaluated.Evaluation:
    """Offer a run's evaluations, the one that the address names first; the address follows the choice."""
    found = evaluated.evaluations(run)
    for problem in evaluated.results([run]).problems:
        st.warning(elements.sentence(problem), icon=":material/warning:")
    if not found:
        st.stop()
    ids = [evaluation.id for evaluation in found]
    old = evaluated.of_old_weights(run)
    titles = dict(zip(ids, elements.evaluation_titles(found, old), strict=True))
    asked = st.query_params.get("evaluation")
    key = f"classes_evaluation_{run.id}"
    chosen = st.selectbox(
        "Evaluation",
        ids,
        index=ids.index(asked) if asked in ids else first_choice(found, old),
        format_func=titles.__getitem__,
        key=key,
        on_change=follow,
        args=(key,),
    )
    return found[ids.index(chosen)]


def first_choice(found: list[evaluated.Evaluation], old: frozenset[str]) -> int:
    """Prefer the weights that the run has now, then most images at one budget, the newest of it."""
    ranks = [(e.id not in old, 0 if budgets.is_sweep(e) else e.images) for e in found]
    return ranks.index(max(ranks))


def follow(key: str) -> None:
    st.query_params["evaluation"] = st.session_state[key]


def choose_column(found: image_outcomes.ImageOutcomes) -> outcomes.Column:
    titles = {column.name: column_title(found, column) for column in found.columns}
    names = list(titles)
    asked = st.query_params.get("attack")
    first = outcomes.first_choice(found.columns).name
    key = f"classes_column_{found.evaluation.id}"
    chosen = st.selectbox(
        "Attack",
        names,
        index=names.index(asked if asked in names else first),
        format_func=titles.__getitem__,
        key=key,
        on_change=follow_attack,
        args=(key,),
        help="Worst case: an image counts as broken when any attack of the plan with this budget breaks it.",
    )
    return found.columns[names.index(chosen)]


def follow_attack(key: str) -> None:
    st.query_params["attack"] = st.session_state[key]


def column_title(found: image_outcomes.ImageOutcomes, column: outcomes.Column) -> str:
    if column.name == outcomes.CLEAN:
        return "clean images"
    return wording.condition(column.attack, *found.threat(column))


# --- accuracy and confusion -----------------------------------------------------------------------


def show_accuracy(found: image_outcomes.ImageOutcomes, column: outcomes.Column) -> None:
    st.subheader("Accuracy per class")
    clean = found.columns[0]
    chosen = [clean] if column == clean else [clean, column]
    table = found.scores(chosen)
    table = table.assign(
        group=table["attack"],
        series=table["attack"].map(
            lambda attack: column_title(found, clean if attack == "clean" else column)
        ),
        low=table["ci_low"],
        high=table["ci_high"],
    )
    attacked = table[table["attack"] == column.attack]
    ran = attacked[attacked["total"] > 0]
    hardest = tables.hardest_classes(ran, column.attack, MOST_CLASSES)
    shown = table[table["class_index"].isin(hardest) & (table["total"] > 0)]
    note = f"{in_a_line(ran)} Whiskers: 95 % Wilson intervals."
    if len(hardest) < ran["class_index"].nunique():
        note += f" The {len(hardest)} hardest of {ran['class_index'].nunique()} classes; the table has all."
    colours = {"clean": charts.WEIGHTS_COLOURS["online"], column.attack: charts.CLASS_COLOURS[0]}
    figure = charts.class_bars(shown, colours) if len(shown) else None
    elements.show_card(
        elements.Card(
            column_title(found, column),
            "classes_bars",
            figure,
            note,
            "it was run on no image.",
            own_table=True,
        )
    )
    with st.expander("Table", icon=":material/table:"):
        show_table(with_training_images(found.run, table))


def in_a_line(ran: pd.DataFrame) -> str:
    """Say mean and worst class."""
    if ran.empty:
        return ""
    worst = ran.iloc[int(ran["accuracy"].to_numpy().argmin())]
    return (
        f"Mean of classes {wording.percent(ran['accuracy'].mean())}, worst class {worst['class_name']} with "
        f"{wording.percent(worst['accuracy'])} ({worst['correct']} of {worst['total']} images right)."
    )


def with_training_images(run: snapshots.Run, table: pd.DataFrame) -> pd.DataFrame:
    """Add how many training images each class has, and its group, where classes are not equally large."""
    groups, manifest = run_folders.class_groups(run), run_folders.manifest(run)
    if manifest is None or len(groups) != table["class_index"].nunique():
        return table
    return table.assign(
        trained=table["class_index"].map(pd.Series(manifest.train_counts)),
        part=table["class_index"].map(pd.Series(groups)),
    )


def show_table(table: pd.DataFrame) -> None:
    percent = elements.percent_columns(table, ["accuracy", "low", "high"])
    columns = ["class_name", "series", "correct", "total", "accuracy", "low", "high", "trained", "part"]
    st.dataframe(
        percent[[name for name in columns if name in percent]],
        hide_index=True,
        key="classes_table",
        column_config={
            "class_name": st.column_config.TextColumn("Class", pinned=True),
            "series": "Attack",
            "correct": "Right",
            "total": "Images",
            "accuracy": elements.percent_column("Accuracy"),
            "low": elements.percent_column("95 % from"),
            "high": elements.percent_column("to"),
            "trained": "Training images",
            "part": "Group",
        },
    )


def choose_cell(found: image_outcomes.ImageOutcomes, counts: np.ndarray) -> tuple[int, int]:
    """Let people choose a cell by its classes; a click on the matrix sets the same two boxes."""
    names = list(found.class_names)
    columns = st.columns(2)
    chosen = []
    for place, (key, title), default in zip(columns, CELL.items(), largest_confusion(counts), strict=True):
        asked = st.session_state.get(f"classes_{key}", st.query_params.get(key))
        st.session_state[f"classes_{key}"] = asked if asked in names else names[default]
        chosen.append(place.selectbox(title, names, key=f"classes_{key}", on_change=follow_cell))
    return names.index(chosen[0]), names.index(chosen[1])


def follow_cell() -> None:
    """Let address and frame follow the choice: it was not made in the matrix."""
    for key in CELL:
        st.query_params[key] = st.session_state[f"classes_{key}"]
    st.session_state.pop("classes_framed", None)


def largest_confusion(counts: np.ndarray) -> tuple[int, int]:
    """Find the cell off the diagonal with most images; the first on it where nothing is confused."""
    confused = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    true, predicted = divmod(int(confused.argmax()), len(counts))
    return (true, predicted) if confused.any() else (0, 0)


def show_matrix(
    found: image_outcomes.ImageOutcomes, column: outcomes.Column, counts: np.ndarray, cell: tuple[int, int]
) -> None:
    """Draw the confusion matrix; a click on a cell becomes the choice.

    The figure stays the same while cells are clicked (plotly frames them itself, and keeps its zoom), and
    changes when the choice comes from elsewhere.
    """
    of = (found.evaluation.id, column.name)
    framed = st.session_state.get("classes_framed")
    if framed is None or framed[0] != of:
        st.session_state["classes_framed"] = framed = (of, cell)
    st.session_state["classes_names"] = found.class_names
    card = elements.Card(
        "Confusion",
        "classes_confusion",
        charts.confusion(counts, found.class_names, framed[1]),
        f"{column_title(found, column)}. Rows are true classes; colours are shares of them. Click on a cell "
        "to see its images, or choose its classes below.",
    )
    elements.show_card(card, on_click=take_click)


def take_click() -> None:
    """Choose the cell that was clicked; a second click on it, which plotly takes as taking back, as well."""
    points = st.session_state["classes_confusion"]["selection"]["points"]
    if points:
        st.session_state["classes_clicked"] = points[0]["y"], points[0]["x"]
    for key, index in zip(CELL, st.session_state.get("classes_clicked", ()), strict=False):
        name = st.session_state["classes_names"][int(index)]
        st.session_state[f"classes_{key}"] = st.query_params[key] = name


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
                "images": "Images",
                "share": elements.percent_column("Of its class"),
            },
        )


# --- the images of a cell -------------------------------------------------------------------------


@elements.explained_errors()
def show_cell(
    found: image_outcomes.ImageOutcomes,
    column: outcomes.Column,
    cell: tuple[int, int],
    drawn: tuple[tuple[str, str], ...],
) -> None:
    """Show a cell's images, page by page; live while some are made again."""
    elements.rerun_when_states_change(drawn)
    names, rows = found.class_names, found.cell(column, *cell)
    title = f"{names[cell[0]]} → {names[cell[1]]}: {wording.count(len(rows), 'image')}"
    st.subheader(texts.plain(title))
    if len(rows) == 0:
        st.caption("No image is in this cell.")
        return
    key = f"classes_page_{found.evaluation.id}_{column.name}_{cell[0]}_{cell[1]}"
    pages = -(-len(rows) // PER_PAGE)
    page = st.pagination(pages, key=key) if pages > 1 else 1
    first = (page - 1) * PER_PAGE
    shown = outcomes.pictures(found.index, column, rows[first : first + PER_PAGE])
    st.caption(texts.plain(page_caption(found, column, first, shown, len(rows))))
    offer_again(found, outcomes.pictures(found.index, column, rows), shown)
    if closed := image_outcomes.closed_parts(found):
        offer_to_open(found, closed)
        return
    try:
        originals = image_outcomes.test_images(found, [picture.image for picture in shown])
    except errors.CfaError as error:
        st.warning(
            f"The images cannot be shown: {elements.sentence(error)}", icon=":material/image_not_supported:"
        )
        return
    show_pictures(found, shown, originals)


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
    column: outcomes.Column,
    first: int,
    shown: list[outcomes.Picture],
    count: int,
) -> str:
    words = f"{column_title(found, column)}. "
    if count > len(shown):
        words += f"Images {first + 1} to {first + len(shown)} of {count}. "
    if any(picture.adversarial is not None for picture in shown):
        words += "Change: the perturbation, magnified; grey is 0. "
    if not found.weights_kept:
        words += "The weights were not kept, so the model cannot be asked for its probabilities. "
    if not any(picture.adversarial is not None for picture in shown) and any(
        picture.state == "missing" for picture in shown
    ):
        words += "The adversarial images were not kept; the originals are shown. "
    return words


def offer_again(
    found: image_outcomes.ImageOutcomes, everything: list[outcomes.Picture], shown: list[outcomes.Picture]
) -> None:
    """Offer to make adversarial images again, and show the jobs that do."""
    active = False
    for job in image_outcomes.reproductions(found)[-3:]:
        if job.state not in ("done", "cancelled"):
            elements.job_line(job, job.title)
            active |= job.state in ("queued", "running")
    missing = [[p for p in some if p.state == "missing" and p.can_be_made] for some in (shown, everything)]
    if not missing[1]:
        return
    if not found.repeatable:
        why = "this run ships with CFA Studio" if found.run.read_only else "its weights were not kept"
        st.caption(f"Adversarial images that were not kept cannot be made again: {why}.")
        return
    here, all_of_them = missing
    with st.container(horizontal=True, vertical_alignment="center"):
        again_button(found, here, "these", active)
        if len(all_of_them) > len(here):
            again_button(found, all_of_them, "all of this cell", active)


def again_button(
    found: image_outcomes.ImageOutcomes, wanted: list[outcomes.Picture], which: str, active: bool
) -> None:
    if not wanted:
        return
    batches = wording.count(outcomes.batches_of(found.index, wanted), "batch", "batches")
    st.button(
        f"Make {which} again ({len(wanted)})",
        icon=":material/replay:",
        key=f"again_{which}",
        disabled=active,
        help=f"Not every adversarial image is kept. This repeats the {batches} that they were in, as a job.",
        on_click=elements.attempt,
        args=(image_outcomes.make_again, found, wanted),
    )


def show_pictures(
    found: image_outcomes.ImageOutcomes, shown: list[outcomes.Picture], originals: np.ndarray
) -> None:
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
    if not found.weights_kept:
        return None, None
    try:
        before = image_outcomes.probabilities(found, originals)
        return before, image_outcomes.probabilities(found, np.stack(adversarial)) if adversarial else None
    except errors.CfaError as error:
        st.caption(f"The model cannot be asked for its probabilities: {elements.sentence(error)}")
        return None, None


def picture_title(found: image_outcomes.ImageOutcomes, picture: outcomes.Picture) -> str:
    """Say in Markdown which image it is and what became of it."""
    names = found.class_names
    table = found.index.outcomes
    if picture.state == "clean":
        return f"Image {picture.image}"
    if picture.state == "wrong":
        clean = names[table[outcomes.CLEAN][picture.row]]
        return f"Image {picture.image} · taken for {texts.plain(clean)} without an attack"
    if picture.state == "held":
        return f"Image {picture.image} · {HELD}"
    broken = table[picture.source][picture.row] != table["label"][picture.row]
    title = wording.attack_title(picture.attack) + (
        f" at {at}" if (at := picture.source.partition("@")[2]) else ""
    )
    verdict = "broken by" if broken else "holds against"
    words = f"Image {picture.image} · {verdict} **{texts.plain(title)}**"
    if picture.state == "remade":
        now = texts.plain(names[picture.now or 0])
        differs = f", :orange[came out differently this time: {now}]" if picture.differs else ""
        words += f" · made again{differs}"
    return words


def draw(picture: outcomes.Picture, original: np.ndarray, factor: float) -> None:
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


# --- downloads ------------------------------------------------------------------------------------


def downloads(found: image_outcomes.ImageOutcomes, column: outcomes.Column, counts: np.ndarray) -> None:
    names = list(found.class_names)
    matrix = pd.DataFrame(counts, columns=names)
    matrix.insert(0, "true_class", names)
    columns = found.columns[:1] if column.name == outcomes.CLEAN else [found.columns[0], column]
    files = (
        ("Per-class CSV", "per_class.csv", lambda: downloadable.csv(found.scores(columns))),
        ("Confusion CSV", "confusion.csv", lambda: downloadable.csv(matrix)),
        ("Per-image CSV", "per_image.csv", lambda: downloadable.csv(found.per_image())),
    )
    with st.container(horizontal=True):
        for label, file, make in files:
            elements.csv_button(label, make, file, f"classes_{file}")


def show(found: image_outcomes.ImageOutcomes, column: outcomes.Column) -> None:
    counts = found.confusion(column)
    for finding in found.evaluation.findings:
        st.warning(elements.sentence(finding), icon=":material/info:")
    show_accuracy(found, column)
    downloads(found, column, counts)
    st.subheader("What is taken for what")
    place = st.container()
    show_largest(found, counts)
    cell = choose_cell(found, counts)
    with place:
        show_matrix(found, column, counts, cell)
    busy = any(job.state in ("queued", "running") for job in image_outcomes.reproductions(found))
    live = st.fragment(show_cell, run_every=elements.LIVE_SECONDS if busy else None)
    live(found, column, cell, elements.states_signature())


elements.heading("Classes", "One evaluation class by class, and the images behind every number.")
run = choose_run()
if run is not None:
    with elements.explained_errors():
        found = image_outcomes.outcomes(run, choose_evaluation(run))
        show(found, choose_column(found))
