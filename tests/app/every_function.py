"""Calls every function of the dashboard's door with what would do harm, and watches what comes of it.

The calls are made within whatever session this runs in: a real one of somebody who has signed in
(`tests/browser/test_rights.py`).
"""

import importlib
import inspect
import os
import pkgutil
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from app import engine
from app.engine import (
    attacked_images,
    brought_models,
    budgets,
    calibration,
    comparison_reports,
    downloadable,
    errors,
    evaluated,
    evaluation_jobs,
    histories,
    image_outcomes,
    job_queue,
    run_folders,
    sample_sizes,
    saved_views,
    snapshots,
    sweep_jobs,
    training_jobs,
    training_settings,
    verdicts,
)
from app.process import opened
from app.process.rights import MayOnlyLook, right_of
from app.tables import Condition
from cfa.home import cache_folder
from tests.app.guarded_store import CANARY, SECRET

WATCHED = ("os.", "shutil.", "subprocess.", "socket.connect", "ctypes.", "pty.")

SCRATCH = f"{tempfile.gettempdir()}/tmp"  # where a download is put together, and taken away again

_watching = threading.local()


# --- which functions there are --------------------------------------------------------------------


def door() -> dict[str, Callable[..., Any]]:
    """Return all functions of `app.engine` by name: whatever a page could call there."""
    found: dict[str, Callable[..., Any]] = {}
    for part in pkgutil.walk_packages(engine.__path__, f"{engine.__name__}."):
        for name, function in functions_of(importlib.import_module(part.name)).items():
            if found.setdefault(name, function) is not function:
                raise ValueError(f"two functions of the engine's parts are called {name!r}")
    return found


def functions_of(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Return a module's own public functions, and those that it took from elsewhere and gave a right."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (right_of(value) is not None or _is_defined_in(module, value))
        and not isinstance(value, type)
    }


def _is_defined_in(module: ModuleType, value: object) -> bool:
    inner = inspect.unwrap(value) if callable(value) else value
    return callable(value) and getattr(inner, "__module__", "") == module.__name__


# --- what happens meanwhile -----------------------------------------------------------------------


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    events: list[str] | None = getattr(_watching, "events", None)
    if events is None:
        return
    place = _place(arguments)
    if event == "exec" and "canary" in getattr(arguments[0], "co_filename", ""):
        events.append("import canary")  # `importlib` raises no event of that name
    elif place.startswith((SCRATCH, str(cache_folder()))):  # the index there may be filled by a look
        return
    elif event == "open" and (_writes(arguments) or f"/{SECRET}" in place):
        events.append(f"open {place} {arguments[1]}")
    elif event in ("os.listdir", "os.scandir", "os.walk", "os.fwalk"):
        events += [f"{event} {place}"] if f"/{SECRET}" in place else []
    elif event.startswith(WATCHED) and event != "os.putenv":
        events.append(f"{event} {arguments!r:.200}")


def _place(arguments: tuple[Any, ...]) -> str:
    """Return the path of an event about a file, whole where it is told beside an open folder."""
    name, folder = (*arguments, None, None)[:2]
    if isinstance(name, str) and isinstance(folder, int) and folder >= 0 and not name.startswith("/"):
        with suppress(OSError):
            return f"{os.readlink(f'/proc/self/fd/{folder}')}/{name}"
    return str(name)


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return any(sign in (mode or "") for sign in "wax+") or bool(isinstance(flags, int) and flags & 0b11)


@dataclass(frozen=True)
class Answer:
    """What one call came to: the kind of its error or "", its words, and what was done meanwhile."""

    refused: bool
    said: str
    events: list[str]


def ask(call: Callable[[], object]) -> Answer:
    """Make a call and watch it."""
    _watching.events = []
    try:
        said, refused = f"{call()!r:.20000}", False
    except MayOnlyLook as error:
        said, refused = str(error), True
    except errors.CfaError as error:
        said, refused = f"{type(error).__name__}: {error}", False
    except Exception as error:
        said, refused = f"FAULT {error!r}", False
    finally:
        events, _watching.events = _watching.events, None
    return Answer(refused, said, events)


def ask_everything() -> dict[str, dict[str, Any]]:
    """Call every function of the door, one after the other; right and answers by name."""
    if "tests.app.every_function.hook" not in sys.modules:  # once a process: hooks cannot be taken off
        sys.modules["tests.app.every_function.hook"] = sys.modules[__name__]
        sys.addaudithook(_hook)
    functions, made = door(), calls()
    return {
        name: {
            "right": right_of(function) or "",
            "answers": [vars(ask(call)) for call in made[name]],
        }
        for name, function in sorted(functions.items(), key=lambda pair: pair[0] in LAST)
    }


# --- with what they are called --------------------------------------------------------------------

LAST = ("delete_runs", "act_on")  # for those who may, so that there is something to ask the others about


def calls() -> dict[str, list[Callable[[], object]]]:
    """Return, for every function of the door, calls that do harm where they can."""
    of_runs = {**_of_runs(), **_of_comparisons()}
    return {**_of_names(), **of_runs, **_of_jobs(), **_of_evaluations(), **_of_nothing()}


def outside_names() -> list[str]:
    """Return names of code and folders: pairs of one that is there and one that is not."""
    secret = opened.store().home.parent / SECRET
    return [CANARY, "canary:absent", f"folder:{secret}", f"folder:{secret}/absent", "shutil:rmtree"]


def _each(function: Callable[..., object]) -> list[Callable[[], object]]:
    return [lambda name=name: function(name) for name in outside_names()]


def _config(name: str, **changes: Any) -> training_settings.RunConfig:
    made = training_settings.configure("trades", "fashion-mnist-mini")
    return made.model_copy(update={"dataset": name, **changes})


def _of_names() -> dict[str, list[Callable[[], object]]]:
    called = door()
    kinds = ("is_outside", "waits_for_a_look", "dataset_description", "look_at", "describe_now", "is_missing")
    kinds += ("fetch_job", "fetch_dataset", "default_model", "default_preset", "find_run")
    kinds += ("without_places",)
    found = {kind: _each(called[kind]) for kind in kinds}
    found["display_name"] = _each(lambda name: training_settings.display_name(name, "online"))
    found["configure"] = [
        lambda name=name, key=key: training_settings.configure(
            **{"method": "trades", "dataset": "d", key: name}
        )
        for name in outside_names()
        for key in ("method", "dataset", "model", "init")
    ]
    found |= {
        kind: _each(lambda name, kind=kind: called[kind](_config(name, init=name)))
        for kind in (
            *("config_differences", "code_of", "never_happens", "known_estimate"),
            *("refused", "names_no_code"),
        )
    }
    found |= {
        kind: _each(lambda name, kind=kind: called[kind]([_config(name, init=name)], None))
        for kind in ("training_cost", "to_be_timed", "time_batches")
    }
    found["refused_name"] = _each(lambda name: training_jobs.refused_name(name, 1))
    found["own_datasets"] = _each(lambda name: evaluated.own_datasets([name]))
    found["start_training"] = _each(lambda name: training_jobs.start_training([_config(name)], "mine", None))
    found["add_model"] = [
        lambda source=source, name=name: brought_models.add_model(source, name, CANARY, "none", "")
        for source in (CANARY, str(opened.store().home.parent / SECRET / "weights.pt"), "/absent.pt")
        for name in outside_names()
    ]
    found["add_uploaded_model"] = [
        lambda: brought_models.add_uploaded_model("../w.pt", b"x", CANARY, CANARY, "none", "")
    ]
    return found


def _own_runs() -> list[snapshots.Run]:
    return [run for run in snapshots.runs() if not run.read_only]


def _of_runs() -> dict[str, list[Callable[[], object]]]:
    called = door()
    every = _own_runs()
    own = next(run for run in every if run.name == "own")
    foreign = [run for run in every if run.name.startswith("foreign")]
    each = ("manifest", "class_groups", "run_log", "disk_use", "history", "knobs", "epochs", "history_stamp")
    each += ("evaluations", "own_weights", "of_old_weights")
    found = {kind: [lambda r=r, k=kind: called[k](r) for r in every] for kind in each}
    found["reported_title"] = [lambda r=r: called["reported_title"]([r.member]) for r in every]
    found["reported_kind"] = [lambda r=r: called["reported_kind"](r.folder) for r in every]
    groups = ("results", "findings", "untrusted_code", "report_problem", "missing_data")
    found |= {kind: [lambda k=kind: called[k](every)] for kind in groups}
    found["export_zip"] = [lambda: len(downloadable.export_zip([own]))]
    found["fairness"] = [lambda: evaluated.fairness(every, {own.id: [own.id]})]
    found["usual_budgets"] = [lambda: sweep_jobs.usual_budgets(every)]
    found["start_sweeps"] = [
        lambda name=name: sweep_jobs.start_sweeps(every, name, "2/255", 10, None)
        for name in ("pgd-20", *outside_names())
    ]
    found["with_pictures_first"] = [lambda: image_outcomes.with_pictures_first(every)]
    found["relabel"] = [lambda: run_folders.relabel(own, "other", ["tag"], "note")]
    found["tag_runs"] = [lambda: run_folders.tag_runs([own], ["tag"], ["other"])]
    found["delete_runs"] = [lambda: run_folders.delete_runs([foreign[0]])]
    found["weights_bytes"] = [lambda: len(downloadable.weights_bytes(own, "online", "best"))]
    found["is_link"] = [lambda: downloadable.is_link(own, "online", "best")]
    report = (every[:2], every[0].id)
    found["report"] = [
        lambda e=e: comparison_reports.report(*report, e) for e in (".pdf", ".zip", ".md", "/../x.md")
    ]
    found["print_report"] = [lambda: comparison_reports.print_report(*report, ".pdf")]
    measured = evaluated.results([own]).per_class.iloc[0]
    condition = Condition(*(measured[name] for name in ("dataset", "checkpoint", "attack", "norm", "eps")))
    found["statements"] = [lambda: evaluated.statements([own], [own], condition)]
    found["pairs"] = [lambda r=r: evaluated.pairs(own, r) for r in every]
    found["on_common_images"] = [
        lambda e=e: evaluated.on_common_images(e)
        for r in every
        if r is not own
        for e in evaluated.pairs(own, r)
    ]
    summary = evaluated.results([own]).summary
    found["averaged"] = [lambda: evaluated.averaged(summary, {own.id: own.experiment})]
    found["distinct_seeds"] = [lambda: training_settings.distinct_seeds([0, 1])]
    return found


def _of_comparisons() -> dict[str, list[Callable[[], object]]]:
    called = door()
    every, of_two = _own_runs(), ("refusal", "unlike", "unlike_settings")
    found = {kind: _each(called[kind]) for kind in ("compared_with", "family_of", "kind_of")}
    found |= {k: [lambda k=k: called[k](every)] for k in ("newest_together", "common_own_weights")}
    found |= {k: [lambda k=k: called[k](every[:1], every[1:2])] for k in of_two}
    measured = evaluated.results(every).per_class.iloc[0]
    condition = Condition(*(measured[name] for name in ("dataset", "checkpoint", "attack", "norm", "eps")))
    weights = ("online", "online")
    found["verdict"] = [
        lambda r=r: called["verdict"](every, every[:1], [r], condition, weights) for r in every
    ]
    change = verdicts.Change(baseline=0.5, run=0.6, interval=None)
    pair = verdicts.PairVerdict(
        basis="seeds",
        seeds=(3, 3),
        images=(10, 10),
        weights=weights,
        mean=change,
        worst=change,
        worst_classes=("cat", "dog"),
        classes=(),
    )
    found |= {k: [lambda k=k: called[k](pair)] for k in ("first_line", "figures", "power", "basis")}
    found["change"] = [lambda: verdicts.change(change)]
    return found


def _of_jobs() -> dict[str, list[Callable[[], object]]]:
    called = door()
    every = snapshots.jobs()
    job = next(job for job in every if job.title == "waits")
    ended = next(job for job in every if job.title == "ended")
    found = {kind: [lambda k=kind: called[k](job)] for kind in ("job_message", "job_log")}
    found["chain_of"] = [lambda: job_queue.chain_of([job.id])]
    found["end_of"] = [job_queue.end_of, lambda: job_queue.end_of([job.id])]
    acts: tuple[job_queue.Act, ...] = ("cancel", "resume", "pause", "down")
    found["act_on"] = [lambda a=act: job_queue.act_on(a, [job.id]) for act in acts]
    found["act_on"] += [lambda: job_queue.act_on("remove", [ended.id])]
    found["undo"] = [lambda: job_queue.undo(job_queue.Acted(undo=(job_queue.Cancelled(job.id, "queued"),)))]
    found["set_device"] = [lambda: job_queue.set_device([job.id], "cpu")]
    return found


def _of_evaluations() -> dict[str, list[Callable[[], object]]]:
    called = door()
    every = _own_runs()
    pairs = [(run, evaluation) for run in every for evaluation in evaluated.evaluations(run)]
    found = [image_outcomes.outcomes(run, evaluation) for run, evaluation in pairs]
    pictures = [attacked_images.Picture(int(found[0].index.outcomes["image"][0]), 0, "missing", "pgd-20")]
    shape = (1, 1, 28, 28)
    requests = [
        evaluation_jobs.EvaluationRequest(weights=("online",), attacks=(attack,), transfer_from=every[0].id)
        for attack in ("pgd-20", CANARY, f"{CANARY}@8/255", "shutil:rmtree", "transfer")
    ]
    asked = ("planned_evaluations", "evaluation_cost", "measure_evaluations")
    made = {kind: [lambda k=kind, r=r: called[k](every, r) for r in requests] for kind in asked}
    made["start_evaluations"] = [
        lambda r=r: evaluation_jobs.start_evaluations(every, r, None) for r in requests
    ]
    made["plan_words"] = [lambda r=r, x=x: evaluation_jobs.plan_words(x, r) for r in requests for x in every]
    made |= {
        kind: [lambda k=kind, f=f: called[k](f) for f in found]
        for kind in ("closed_parts", "open_parts", "reproductions")
    }
    made["outcomes"] = [lambda p=p: image_outcomes.outcomes(*p) for p in pairs]
    made["test_images"] = [lambda f=f: image_outcomes.test_images(f, [0]) for f in found]
    made["answers_at_once"] = [image_outcomes.answers_at_once]
    made["probabilities"] = [
        lambda f=f: image_outcomes.probabilities(f, np.zeros(shape, np.float32)) for f in found
    ]
    made["columns_to_show"] = [lambda f=f: attacked_images.columns_to_show(f.index.columns) for f in found]
    made["first_to_show"] = [lambda f=f: attacked_images.first_to_show(f.columns) for f in found]
    made["pictures_of"] = [
        lambda f=f, c=c: attacked_images.pictures_of(f.index, c, np.arange(2))
        for f in found
        for c in f.columns
    ]
    made["batches_to_repeat"] = [
        lambda f=f: attacked_images.batches_to_repeat(f.index, pictures) for f in found
    ]
    made["make_again"] = [lambda: image_outcomes.make_again(found[0], pictures)]
    made |= {
        "is_sweep": [lambda e=e: called["is_sweep"](e) for _, e in pairs],
        "finds_minimum": [lambda r=r, e=e: called["finds_minimum"](r, e) for r, e in pairs],
    }
    made["sweep_scores"] = [lambda: budgets.sweep_scores(pairs)]
    made["smallest_perturbations"] = [lambda f=f: budgets.smallest_perturbations(f) for f in found]
    return made


def _of_nothing() -> dict[str, list[Callable[[], object]]]:
    called = door()
    kinds = ("runs", "usable_runs", "jobs", "progress", "forget_snapshots", "forget_datasets")
    kinds += ("dataset_names", "attack_names", "leaderboard", "evaluated_runs", "swept_runs", "devices")
    kinds += ("runs_to_sweep", "are_being_timed")
    kinds += (
        "anything_active",
        "demo_jobs",
        "demo_methods",
        "end_of_demo",
        "start_demo",
        "stop_demo",
        "has_browser",
    )
    found = {kind: [called[kind]] for kind in kinds}
    found["saved_views"] = [saved_views.saved_views]
    found["save_view"] = [lambda: saved_views.save_view("mine", "runs", {"run": [CANARY]})]
    found["rename_view"] = [lambda: saved_views.rename_view("saved", "other")]
    found["delete_view"] = [lambda: saved_views.delete_view("saved")]
    found["is_in_demo"] = _each(called["is_in_demo"])
    found["csv"] = [lambda: downloadable.csv(pd.DataFrame({"a": [1]}))]
    found["preset_images"] = [lambda: evaluation_jobs.preset_images("quick")]
    found["settings_of"] = [lambda: training_settings.settings_of(["trades"])]
    found["plain_methods"] = [training_settings.plain_methods]
    found["main_settings"] = [lambda: training_settings.main_settings(["trades"])]
    found["kind_of_setting"] = [lambda: training_settings.kind_of_setting("method.beta", ["trades"])]
    found["drawn_knobs"] = [
        lambda: [calibration.drawn_knobs(r, histories.knobs(r)) for r in snapshots.runs()]
    ]
    found["varies"] = [lambda: [calibration.varies(histories.knobs(r), "eps") for r in snapshots.runs()]]
    found["images_needed"] = [lambda: sample_sizes.images_needed(0.05, 0.5, classes=10)]
    found["paired_images_needed"] = [lambda: sample_sizes.paired_images_needed(0.05, 0.2, classes=10)]
    found["seeds_needed"] = [lambda: sample_sizes.seeds_needed(0.05, 0.02)]
    found["places"] = [lambda: evaluated.places([0.1, 0.2], [0.1, 0.1], [2, 2])]
    found["pareto_front"] = [lambda: evaluated.pareto_front(pd.Series([0.1]), pd.Series([0.2]))]
    return found
