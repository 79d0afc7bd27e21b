"""What pages of the dashboard read and what their forms do, without a page."""

from collections.abc import Callable, Mapping

import numpy as np

from app.engine import (
    attacked_images,
    brought_models,
    budgets,
    dataset_downloads,
    demo,
    downloadable,
    evaluated,
    evaluation_jobs,
    histories,
    image_outcomes,
    job_queue,
    outside,
    run_folders,
    snapshots,
    training_jobs,
    training_settings,
)
from tests.fuzz.artefacts import DATASET
from tests.fuzz.places import Place

OF_A_RUN: tuple[Callable[[snapshots.Run], object], ...] = (
    *(
        histories.history,
        histories.knobs,
        histories.epochs,
        run_folders.manifest,
        evaluation_jobs.own_weights,
    ),
    *(run_folders.class_groups, run_folders.run_log, run_folders.disk_use, downloadable.is_link),
    *(evaluated.evaluations, evaluated.of_old_weights),
)


def read_list(place: Place) -> None:
    """Read the list of runs."""
    if "beta" not in {run.shared_name or run.name for run in snapshots.runs()}:
        place.problems.append("the dashboard does not list the neighbour")


def read_each(place: Place) -> None:
    """Read what pages show of each run: its rows, evaluations and images."""
    for run in snapshots.usable_runs():
        for show in OF_A_RUN:
            place.call(show, run)
        place.call(downloadable.weights_bytes, run, "online", "best")
        for evaluation in place.call(evaluated.evaluations, run) or ():
            _read_images(place, run, evaluation)
    budgets.swept_runs()


def read_tables(place: Place) -> None:
    """Read what pages show of runs together."""
    usable = snapshots.usable_runs()
    results = evaluated.results(usable)
    downloadable.csv(results.per_class)
    evaluated.findings(usable)
    outside.untrusted_code(usable)
    place.call(evaluated.fairness, usable, [run.id for run in usable])
    evaluated.leaderboard()
    evaluation_jobs.missing_data(usable)
    demo.demo_jobs()
    request = evaluation_jobs.EvaluationRequest(attacks=("pgd-2",))
    place.call(evaluation_jobs.evaluation_cost, usable, request)
    for run, _ in place.call(evaluation_jobs.planned_evaluations, usable, request) or ():
        place.call(evaluation_jobs.plan_words, run, request)
    if usable:
        place.call(evaluated.pairs, usable[0], usable[-1])


def _read_images(place: Place, run: snapshots.Run, evaluation: evaluated.Evaluation) -> None:
    budgets.is_sweep(evaluation)
    budgets.finds_minimum(run, evaluation)
    found = place.call(image_outcomes.outcomes, run, evaluation)
    if found is None:
        return
    image_outcomes.reproductions(found)
    for show in (image_outcomes.closed_parts, budgets.smallest_perturbations):
        place.call(show, found)
    place.call(found.per_image)
    rows = np.arange(min(2, len(found.index.outcomes["image"])))
    for column in found.columns:
        place.call(found.confusion, column)
        place.call(attacked_images.pictures_of, found.index, column, rows)
    place.call(found.scores, found.columns)
    images = place.call(image_outcomes.test_images, found, found.index.outcomes["image"][:2].tolist())
    if images is not None:
        place.call(image_outcomes.probabilities, found, images)


def read_jobs(place: Place) -> None:
    """Read what pages show of the queue."""
    snapshots.forget_snapshots()
    snapshots.progress()
    job_queue.end_of()
    job_queue.chain_of([job.id for job in snapshots.jobs()])
    demo.demo_jobs()
    dataset_downloads.fetch_job(DATASET)
    for job in snapshots.jobs():
        job_queue.job_message(job)
        job_queue.job_log(job)


# What is typed on a page, or stands in its address ----------------------------------------------------


def _label(place: Place, text: str) -> None:
    """Give a run the text as its name, its tag and its notes."""
    for name, tags, notes in ((text, (), ""), ("alpha", (text,), ""), ("alpha", (), text)):
        run = snapshots.find_run(place.artefacts.alpha)
        if run is not None:
            place.call(run_folders.relabel, run, name, tags, notes)


def _ask(place: Place, text: str) -> None:
    """Name a run, a data set, an attack in an address."""
    snapshots.find_run(text)
    for show in (outside.dataset_description, outside.is_missing, outside.waits_for_a_look):
        place.call(show, text)
    place.call(dataset_downloads.fetch_job, text)
    for request in (
        evaluation_jobs.EvaluationRequest(attacks=(text,)),
        evaluation_jobs.EvaluationRequest(attacks=("pgd-2",), eps=text),
        evaluation_jobs.EvaluationRequest(attacks=("pgd-2",), sweep=text),
        evaluation_jobs.EvaluationRequest(attacks=("transfer",), transfer_from=text),
        evaluation_jobs.EvaluationRequest(attacks=("pgd-2",), weights=(text,)),
    ):
        place.call(evaluation_jobs.evaluation_cost, snapshots.usable_runs(), request)


def _configure(place: Place, text: str) -> None:
    """Name a method, a data set, a model and a setting of a training, and say what it would come to."""
    chosen = {"method": "pgd-at", "dataset": DATASET, "model": "small-cnn", "preset": "demo"}
    for name in chosen:
        given = {**chosen, name: text}
        config = place.call(
            lambda given=given: training_settings.configure(
                given["method"], given["dataset"], model=given["model"], preset=given["preset"]
            )
        )
        if config is not None:
            training_jobs.never_happens(config)
            training_jobs.known_estimate(config)


def _fetch(place: Place, text: str) -> None:
    place.call(dataset_downloads.fetch_dataset, text)


def _open(place: Place, text: str) -> None:
    """Type a folder of images, then the place of a model."""
    place.call(outside.look_at, text)
    place.call(brought_models.add_model, text, DATASET, "small-cnn", "none", "")


def _add(place: Place, text: str) -> None:
    """Describe a model by texts."""
    file = str(place.root / "work" / "weights.safetensors")
    for values in ((text, "small-cnn", "none", ""), (DATASET, text, "none", "")):
        place.call(brought_models.add_model, file, *values)
    for values in ((DATASET, "small-cnn", text, ""), (DATASET, "small-cnn", "none", text)):
        place.call(brought_models.add_model, file, *values)


def _upload(place: Place, text: str) -> None:
    upload(place, text, (place.root / "work" / "weights.safetensors").read_bytes(), key=text)
    upload(place, text, (place.root / "work" / "weights.safetensors").read_bytes())


def upload(place: Place, name: str, content: bytes, key: str = "") -> None:
    """Upload a file with weights."""
    place.call(brought_models.add_uploaded_model, name, content, DATASET, "small-cnn", "none", "", key)


FORMS: Mapping[str, Callable[[Place, str], None]] = {
    "label a run": _label,
    "ask in an address": _ask,
    "configure a training": _configure,
    "fetch a data set": _fetch,
    "open a place": _open,
    "describe a model": _add,
    "upload a model": _upload,
}
