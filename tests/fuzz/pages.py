"""What pages of the dashboard read and what their forms do, without a page."""

from collections.abc import Callable, Mapping

import numpy as np

from app import services
from app.outcomes import pictures
from tests.fuzz.artefacts import DATASET
from tests.fuzz.places import Place

OF_A_RUN: tuple[Callable[[services.Run], object], ...] = (
    *(services.history, services.knobs, services.epochs, services.manifest, services.own_weights),
    *(services.class_groups, services.run_log, services.disk_use, services.is_link),
    *(services.evaluations, services.of_old_weights),
)


def read_list(place: Place) -> None:
    """Read the list of runs."""
    if "beta" not in {run.name for run in services.runs()}:
        place.problems.append("the dashboard does not list the neighbour")


def read_each(place: Place) -> None:
    """Read what pages show of each run: its rows, evaluations and images."""
    for run in services.usable_runs():
        for show in OF_A_RUN:
            place.call(show, run)
        place.call(services.weights_bytes, run, "online", "best")
        for evaluation in place.call(services.evaluations, run) or ():
            _read_images(place, run, evaluation)
    services.swept_runs()


def read_tables(place: Place) -> None:
    """Read what pages show of runs together."""
    usable = services.usable_runs()
    results = services.results(usable)
    services.csv(results.per_class)
    services.findings(usable)
    services.untrusted_code(usable)
    place.call(services.fairness, usable, [run.id for run in usable])
    services.leaderboard()
    services.missing_data(usable)
    services.demo_jobs()
    request = services.EvaluationRequest(attacks=("pgd-2",))
    place.call(services.evaluation_cost, usable, request)
    for run, _ in place.call(services.planned_evaluations, usable, request) or ():
        place.call(services.plan_words, run, request)
    if usable:
        place.call(services.pairs, usable[0], usable[-1])


def _read_images(place: Place, run: services.Run, evaluation: services.Evaluation) -> None:
    services.is_sweep(evaluation)
    services.finds_minimum(evaluation)
    found = place.call(services.outcomes, run, evaluation)
    if found is None:
        return
    services.reproductions(found)
    for show in (services.closed_parts, services.smallest_perturbations):
        place.call(show, found)
    place.call(found.per_image)
    rows = np.arange(min(2, len(found.index.outcomes["image"])))
    for column in found.columns:
        place.call(found.confusion, column)
        place.call(pictures, found.index, column, rows)
    place.call(found.scores, found.columns)
    images = place.call(services.test_images, found, found.index.outcomes["image"][:2].tolist())
    if images is not None:
        place.call(services.probabilities, found, images)


def read_jobs(place: Place) -> None:
    """Read what pages show of the queue."""
    services.forget_snapshots()
    services.progress()
    services.seconds_until_queue_empty()
    services.demo_jobs()
    services.fetch_job(DATASET)
    for job in services.jobs():
        services.job_message(job)
        services.job_log(job)


# What is typed on a page, or stands in its address ----------------------------------------------------


def _label(place: Place, text: str) -> None:
    """Give a run the text as its name, its tag and its notes."""
    for name, tags, notes in ((text, (), ""), ("alpha", (text,), ""), ("alpha", (), text)):
        run = services.find_run(place.artefacts.alpha)
        if run is not None:
            place.call(services.relabel, run, name, tags, notes)


def _ask(place: Place, text: str) -> None:
    """Name a run, a data set, an attack in an address."""
    services.find_run(text)
    for show in (services.dataset_description, services.is_missing, services.waits_for_a_look):
        place.call(show, text)
    place.call(services.fetch_job, text)
    for request in (
        services.EvaluationRequest(attacks=(text,)),
        services.EvaluationRequest(attacks=("pgd-2",), eps=text),
        services.EvaluationRequest(attacks=("pgd-2",), sweep=text),
        services.EvaluationRequest(attacks=("transfer",), transfer_from=text),
        services.EvaluationRequest(attacks=("pgd-2",), weights=(text,)),
    ):
        place.call(services.evaluation_cost, services.usable_runs(), request)


def _configure(place: Place, text: str) -> None:
    """Name a method, a data set, a model and a setting of a training, and say what it would come to."""
    chosen = {"method": "pgd-at", "dataset": DATASET, "model": "small-cnn", "preset": "demo"}
    for name in chosen:
        given = {**chosen, name: text}
        config = place.call(
            lambda given=given: services.configure(
                given["method"], given["dataset"], model=given["model"], preset=given["preset"]
            )
        )
        if config is not None:
            services.never_happens(config)
            services.known_estimate(config)


def _fetch(place: Place, text: str) -> None:
    place.call(services.fetch_dataset, text)


def _open(place: Place, text: str) -> None:
    """Type a folder of images, then the place of a model."""
    place.call(services.look_at, text)
    place.call(services.add_model, text, DATASET, "small-cnn", "none", "")


def _add(place: Place, text: str) -> None:
    """Describe a model by texts."""
    file = str(place.root / "work" / "weights.safetensors")
    for values in ((text, "small-cnn", "none", ""), (DATASET, text, "none", "")):
        place.call(services.add_model, file, *values)
    for values in ((DATASET, "small-cnn", text, ""), (DATASET, "small-cnn", "none", text)):
        place.call(services.add_model, file, *values)


def _upload(place: Place, text: str) -> None:
    upload(place, text, (place.root / "work" / "weights.safetensors").read_bytes(), key=text)
    upload(place, text, (place.root / "work" / "weights.safetensors").read_bytes())


def upload(place: Place, name: str, content: bytes, key: str = "") -> None:
    """Upload a file with weights."""
    place.call(services.add_uploaded_model, name, content, DATASET, "small-cnn", "none", "", key)


FORMS: Mapping[str, Callable[[Place, str], None]] = {
    "label a run": _label,
    "ask in an address": _ask,
    "configure a training": _configure,
    "fetch a data set": _fetch,
    "open a place": _open,
    "describe a model": _add,
    "upload a model": _upload,
}
