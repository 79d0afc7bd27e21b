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
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import app.engine
from app import services
from app.engine import opened
from app.engine.rights import right_of
from app.outcomes import Picture
from app.tables import Condition
from tests.app.guarded_store import CANARY, SECRET

WATCHED = ("os.", "shutil.", "subprocess.", "socket.connect", "ctypes.", "pty.")

INSIDE = (
    "brief",
    "opened",
    "rights",
    "stamps",
    "supervision",
)  # the door's own tools, which no page can reach

SCRATCH = f"{tempfile.gettempdir()}/tmp"  # where a download is put together, and taken away again

_watching = threading.local()


# --- which functions there are --------------------------------------------------------------------


def door() -> dict[str, Callable[..., Any]]:
    """Return the public functions of the door by name, those of the opened store and queue left out."""
    parts = [f"app.engine.{module.name}" for module in pkgutil.iter_modules(app.engine.__path__)]
    found = {}
    for name in ["app.services", *parts]:
        if name.rpartition(".")[2] in INSIDE:
            continue
        module = importlib.import_module(name)
        for called, value in vars(module).items():
            inner = inspect.unwrap(value) if callable(value) else value
            if inspect.isfunction(inner) and inner.__module__ == name and not called.startswith("_"):
                found[called] = value
    return found | {name: getattr(services, name) for name in services.OF_THE_ENGINE}


# --- what happens meanwhile -----------------------------------------------------------------------


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    events: list[str] | None = getattr(_watching, "events", None)
    if events is None:
        return
    place = _place(arguments)
    if event == "exec" and "canary" in getattr(arguments[0], "co_filename", ""):
        events.append("import canary")  # `importlib` raises no event of that name
    elif place.startswith(SCRATCH):
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
    except services.MayOnlyLook as error:
        said, refused = str(error), True
    except services.CfaError as error:
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
            "right": right_of(function) or ("looks" if name in services.OF_THE_ENGINE else ""),
            "answers": [vars(ask(call)) for call in made[name]],
        }
        for name, function in sorted(functions.items(), key=lambda pair: pair[0] in LAST)
    }


# --- with what they are called --------------------------------------------------------------------

LAST = ("delete_runs", "remove")  # for those who may, so that there is something to ask the others about


def calls() -> dict[str, list[Callable[[], object]]]:
    """Return, for every function of the door, calls that do harm where they can."""
    return {**_of_names(), **_of_runs(), **_of_jobs(), **_of_evaluations(), **_of_nothing()}


def outside_names() -> list[str]:
    """Return names of code and folders: pairs of one that is there and one that is not."""
    secret = opened.store().home.parent / SECRET
    return [CANARY, "canary:absent", f"folder:{secret}", f"folder:{secret}/absent", "shutil:rmtree"]


def _each(function: Callable[..., object]) -> list[Callable[[], object]]:
    return [lambda name=name: function(name) for name in outside_names()]


def _config(name: str, **changes: Any) -> services.RunConfig:
    made = services.configure("trades", "fashion-mnist-mini")
    return made.model_copy(update={"dataset": name, **changes})


def _of_names() -> dict[str, list[Callable[[], object]]]:
    kinds = ("is_outside", "waits_for_a_look", "dataset_description", "look_at", "describe_now", "is_missing")
    kinds += ("fetch_job", "fetch_dataset", "default_model", "default_preset", "find_run")
    kinds += ("method_title", "without_places")
    found = {kind: _each(getattr(services, kind)) for kind in kinds if hasattr(services, kind)}
    found["display_name"] = _each(lambda name: services.display_name(name, "online"))
    found["configure"] = [
        lambda name=name, key=key: services.configure(**{"method": "trades", "dataset": "d", key: name})
        for name in outside_names()
        for key in ("method", "dataset", "model", "init")
    ]
    found |= {
        kind: _each(lambda name, kind=kind: getattr(services, kind)(_config(name, init=name)))
        for kind in ("config_differences", "code_of", "never_happens", "known_estimate", "estimate")
    }
    found["start_training"] = _each(lambda name: services.start_training([_config(name)], "mine", None))
    found["add_model"] = [
        lambda source=source, name=name: services.add_model(source, name, CANARY, "none", "")
        for source in (CANARY, str(opened.store().home.parent / SECRET / "weights.pt"), "/absent.pt")
        for name in outside_names()
    ]
    found["add_uploaded_model"] = [
        lambda: services.add_uploaded_model("../w.pt", b"x", CANARY, CANARY, "none", "")
    ]
    return found


def _own_runs() -> list[services.Run]:
    return [run for run in services.runs() if not run.read_only]


def _of_runs() -> dict[str, list[Callable[[], object]]]:
    every = _own_runs()
    own = next(run for run in every if run.name == "own")
    foreign = [run for run in every if run.name.startswith("foreign")]
    each = ("manifest", "class_groups", "run_log", "disk_use", "history", "knobs", "epochs", "history_stamp")
    each += ("evaluations", "own_weights", "of_old_weights")
    found = {kind: [lambda r=r, k=kind: getattr(services, k)(r) for r in every] for kind in each}
    groups = ("results", "findings", "untrusted_code", "report_problem", "missing_data")
    found |= {kind: [lambda k=kind: getattr(services, k)(every)] for kind in groups}
    found["export_zip"] = [lambda: len(services.export_zip([own]))]
    found["fairness"] = [lambda: services.fairness(every, [own.id])]
    found["relabel"] = [lambda: services.relabel(own, "other", ["tag"], "note")]
    found["delete_runs"] = [lambda: services.delete_runs([foreign[0]])]
    found["weights_bytes"] = [lambda: len(services.weights_bytes(own, "online", "best"))]
    found["is_link"] = [lambda: services.is_link(own, "online", "best")]
    report = (every[:2], every[0].id)
    found["report"] = [lambda e=e: services.report(*report, e) for e in (".pdf", ".zip", ".md", "/../x.md")]
    found["print_report"] = [lambda: services.print_report(*report, ".pdf")]
    measured = services.results([own]).per_class.iloc[0]
    condition = Condition(*(measured[name] for name in ("dataset", "checkpoint", "attack", "norm", "eps")))
    found["statements"] = [lambda: services.statements([own], [own], condition)]
    found["pairs"] = [lambda r=r: services.pairs(own, r) for r in every]
    found["on_common_images"] = [
        lambda e=e: services.on_common_images(e)
        for r in every
        if r is not own
        for e in services.pairs(own, r)
    ]
    summary = services.results([own]).summary
    found["averaged"] = [lambda: services.averaged(summary, {own.id: own.experiment})]
    found["distinct_seeds"] = [lambda: services.distinct_seeds([0, 1])]
    return found


def _of_jobs() -> dict[str, list[Callable[[], object]]]:
    every = services.jobs()
    job = next(job for job in every if job.title == "waits")
    ended = next(job for job in every if job.title == "ended")
    found = {kind: [lambda k=kind: getattr(services, k)(job)] for kind in ("job_message", "job_log")}
    found |= {kind: [lambda k=kind: getattr(services, k)(job.id)] for kind in ("pause", "resume", "cancel")}
    found["move"] = [lambda: services.move(job.id, "down")]
    found["set_device"] = [lambda: services.set_device(job.id, "cpu")]
    found["remove"] = [lambda: services.remove(ended.id)]
    return found


def _of_evaluations() -> dict[str, list[Callable[[], object]]]:
    every = _own_runs()
    pairs = [(run, evaluation) for run in every for evaluation in services.evaluations(run)]
    found = [services.outcomes(run, evaluation) for run, evaluation in pairs]
    pictures = [Picture(int(found[0].index.outcomes["image"][0]), 0, "missing", "pgd-20")]
    shape = (1, 1, 28, 28)
    requests = [
        services.EvaluationRequest(weights=("online",), attacks=(attack,), transfer_from=every[0].id)
        for attack in ("pgd-20", CANARY, f"{CANARY}@8/255", "shutil:rmtree", "transfer")
    ]
    asked = ("planned_evaluations", "evaluation_cost", "measure_evaluations")
    made = {kind: [lambda k=kind, r=r: getattr(services, k)(every, r) for r in requests] for kind in asked}
    made["start_evaluations"] = [lambda r=r: services.start_evaluations(every, r, None) for r in requests]
    made["plan_words"] = [lambda r=r, x=x: services.plan_words(x, r) for r in requests for x in every]
    made |= {
        kind: [lambda k=kind, f=f: getattr(services, k)(f) for f in found]
        for kind in ("closed_parts", "open_parts", "reproductions")
    }
    made["outcomes"] = [lambda p=p: services.outcomes(*p) for p in pairs]
    made["test_images"] = [lambda f=f: services.test_images(f, [0]) for f in found]
    made["probabilities"] = [
        lambda f=f: services.probabilities(f, np.zeros(shape, np.float32)) for f in found
    ]
    made["make_again"] = [lambda: services.make_again(found[0], pictures)]
    made |= {
        kind: [lambda k=kind, e=e: getattr(services, k)(e) for _, e in pairs]
        for kind in ("is_sweep", "finds_minimum")
    }
    made["sweep_scores"] = [lambda: services.sweep_scores(pairs)]
    made["smallest_perturbations"] = [lambda f=f: services.smallest_perturbations(f) for f in found]
    return made


def _of_nothing() -> dict[str, list[Callable[[], object]]]:
    kinds = ("runs", "usable_runs", "jobs", "progress", "forget_snapshots", "forget_datasets", "may_start")
    kinds += ("dataset_names", "attack_names", "leaderboard", "evaluated_runs", "swept_runs", "devices")
    kinds += ("seconds_until_queue_empty", "anything_active", "demo_jobs", "start_demo", "has_browser")
    found = {kind: [getattr(services, kind)] for kind in kinds}
    found["csv"] = [lambda: services.csv(pd.DataFrame({"a": [1]}))]
    found["pretty_json"] = [lambda: services.pretty_json({"a": Path("/")})]
    found["preset_images"] = [lambda: services.preset_images("quick")]
    found["format_eps"] = [lambda: services.format_eps(8 / 255)]
    found["grid"] = [lambda: services.grid({"train.epochs": "1,2"})]
    found["settings_of"] = [lambda: services.settings_of(["trades"])]
    found["plain_methods"] = [services.plain_methods]
    found["main_settings"] = [lambda: services.main_settings(["trades"])]
    found["kind_of_setting"] = [lambda: services.kind_of_setting("method.beta")]
    found["drawn_knobs"] = [lambda: [services.drawn_knobs(r, services.knobs(r)) for r in services.runs()]]
    found["varies"] = [lambda: [services.varies(services.knobs(r), "eps") for r in services.runs()]]
    found["images_needed"] = [lambda: services.images_needed(0.05, 0.5, classes=10)]
    found["paired_images_needed"] = [lambda: services.paired_images_needed(0.05, 0.2, classes=10)]
    found["seeds_needed"] = [lambda: services.seeds_needed(0.05, 0.02)]
    found["pareto_front"] = [lambda: services.pareto_front(pd.Series([0.1]), pd.Series([0.2]))]
    return found
