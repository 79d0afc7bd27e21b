"""What Evaluate asks for, what it would come to, and the jobs that it becomes.

Attacks and data sets that are somebody's code, or a folder, are opened when a button was pressed; the lines
that say what a request comes to leave out what is not known before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import streamlit as st
import torch

from app import wording
from app.engine.evaluated import own_weights
from app.engine.outside import dataset_description, describe_now, waits_for_a_look
from app.engine.snapshots import Run, forget_snapshots
from app.process.opened import queue, store
from app.process.rights import acts, looks
from cfa.attacks import ATTACKS, CLEAN, named_attack, passes_of
from cfa.config import AttackSettings
from cfa.errors import CfaError
from cfa.evaluation import PLANS as PLANS
from cfa.evaluation import TRANSFER, EvaluationPlan, estimate_evaluation_seconds, load_model
from cfa.evaluation import EvaluationRequest as EvaluationRequest
from cfa.jobs.queue import Job
from cfa.jobs.submit import submit_evaluation
from cfa.jobs.supervisor import served_devices
from cfa.runs.trusted import Trusted
from cfa.trust import allowing, is_import_name

USUAL_ATTACKS = (
    *("fgsm", "pgd-20", "pgd-20-best", "pgd-100", "cw-20", "kl-20", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t"),
    *("fab-min", "square", "autoattack", "autoattack-plus", "autoattack-rand", "noise"),
)


@looks
def planned_evaluations(chosen: Sequence[Run], request: EvaluationRequest) -> list[tuple[Run, str]]:
    """List the pairs of run and weights that a request comes to: only what a run kept, each pair once."""
    pairs = []
    for run in chosen:
        for wanted in request.weights:
            weights = own_weights(run) if wanted == "auto" else wanted
            if (weights, _checkpoint(weights, request)) in run.kept and (run, weights) not in pairs:
                pairs.append((run, weights))
    return pairs


def _own_attacks(request: EvaluationRequest) -> tuple[str, ...]:
    """Name the attacks that are somebody's code."""
    return tuple(name for name in request.attacks if is_import_name(name))


def _without_code(request: EvaluationRequest) -> EvaluationRequest:
    """Leave out the attacks that are somebody's code: they are imported to attack, not to be counted."""
    known = tuple(name for name in request.attacks if not is_import_name(name))
    return replace(request, attacks=known or (CLEAN,)) if _own_attacks(request) else request


def _checkpoint(weights: str, request: EvaluationRequest) -> str:
    return "file" if weights == "file" else request.checkpoint


@acts
def start_evaluations(
    chosen: Sequence[Run], request: EvaluationRequest, device: str | None, trusted: Iterable[str] = ()
) -> list[Job]:
    """Queue an evaluation for every run and kind of weights asked for that the run kept.

    Args:
        chosen: The runs.
        request: What to do, with attacks as they were typed.
        device: Where; ``None`` takes any.
        trusted: Code that these runs name and that a person said may run.
    """
    pairs = planned_evaluations(chosen, request)
    with allowing([*request.attacks, *trusted]):
        plans = [
            request.plan(run.folder.config.attack) for run, _ in pairs
        ]  # all, before the first is queued
        submitted = [
            submit_evaluation(
                store(),
                queue(),
                run.folder,
                weights=weights,
                checkpoint=_checkpoint(weights, request),
                plan=plan,
                device=device,
            )
            for (run, weights), plan in zip(pairs, plans, strict=True)
        ]
    forget_snapshots()
    return submitted


@dataclass(frozen=True)
class Cost:
    """What evaluations come to if every image holds.

    Attributes:
        images: Attacked, in all.
        passes: Forward passes, at most.
        seconds: ``None`` before they were measured.
        unknown: Attacks and data sets that are not among these numbers.
    """

    images: int
    passes: int
    seconds: float | None
    unknown: tuple[str, ...] = ()


@looks
def evaluation_cost(chosen: Sequence[Run], request: EvaluationRequest) -> Cost:
    """Count images and forward passes, and add up what :func:`measure_evaluations` measured.

    Raises:
        CfaError: The plan cannot be carried out.
    """
    images, passes, seconds = 0, 0, list[float | None]()
    unknown = dict.fromkeys(_own_attacks(request))
    for run, _ in planned_evaluations(chosen, request):
        per_image = _seconds_per_image().get(_cost_key(run, request))
        plan = _without_code(request).plan(run.folder.config.attack)
        if waits_for_a_look(run.dataset):
            unknown |= {run.dataset: None}
            seconds.append(None)
            continue
        info = dataset_description(run.dataset)
        count = plan.count_images(info.test_images, info.classes)
        images += count
        seconds.append(None if per_image is None else per_image * count)
        passes += count * _passes(plan, info.classes)
    known = [value for value in seconds if value is not None]
    whole = sum(known) if known and len(known) == len(seconds) else None
    return Cost(images, passes, whole, tuple(unknown))


@looks
def missing_data(chosen: Sequence[Run]) -> list[tuple[str, str]]:
    """Name the data sets of some runs that are not here, each with why a job cannot have it either, or "".

    Those that nobody has asked to look at are not among them.
    """
    found = []
    for name in dict.fromkeys(run.dataset for run in chosen if not waits_for_a_look(run.dataset)):
        try:
            info = dataset_description(name)
        except CfaError as error:
            found.append((name, str(error)))
            continue
        if not info.available:
            found.append((name, ""))
    return found


@acts
def measure_evaluations(
    chosen: Sequence[Run], request: EvaluationRequest, trusted: Iterable[str] = ()
) -> None:
    """Time a few steps of every attack on this machine's first device, once per network and plan.

    Raises:
        CfaError: The plan cannot be carried out, or the weights cannot be read.
    """
    device = torch.device(served_devices()[0])
    for run, weights in planned_evaluations(chosen, request):
        if (key := _cost_key(run, request)) in _seconds_per_image():
            continue
        with Trusted.of(store()).allowing(run.id), allowing([*request.attacks, *trusted]):
            plan = request.plan(run.folder.config.attack)
            info = describe_now(run.dataset)
            # Small batches on the CPU, where time is proportional to them: a page must not wait for minutes.
            small = replace(plan, batch_size=min(plan.batch_size, 32 if device.type == "cpu" else 500))
            model = load_model(run.folder, weights, _checkpoint(weights, request), device)
            shape = (info.channels, info.image_size, info.image_size)
            count = plan.count_images(info.test_images, info.classes)
            seconds = estimate_evaluation_seconds(model, shape, count, info.classes, small, device)
            _seconds_per_image()[key] = seconds / count


@st.cache_resource(show_spinner=False)
def _seconds_per_image() -> dict[str, float]:
    return {}


def _cost_key(run: Run, request: EvaluationRequest) -> str:
    own = run.folder.config.attack
    alike = replace(request, seed=0, keep_megabytes=0, weights=(), checkpoint="", limit=None)
    return f"{run.model} {run.dataset} {own.norm} {own.eps} {alike}"


def _passes(plan: EvaluationPlan, classes: int) -> int:
    """Count the forward passes that an image takes at most, its clean one included."""
    count = 1
    for name in plan.attacks:
        base = name.partition("@")[0]
        attack = None if base in (CLEAN, TRANSFER) else named_attack(base, plan.norm)
        count += (0 if name == CLEAN else passes_of(attack, classes)) * max(1, len(plan.eps_sweep))
    return count


@looks
def plan_words(run: Run, request: EvaluationRequest) -> str:
    """Say in a line what a request comes to for a run.

    Raises:
        CfaError: The plan cannot be carried out.
    """
    plan = _without_code(request).plan(run.folder.config.attack)
    titles = [wording.attack_title(name) for name in plan.attacks if name != CLEAN]
    attacks = ", ".join([*titles, *_own_attacks(request)]) or "No attack"
    budgets = ", ".join(wording.budget(plan.norm, eps) for eps in plan.eps_sweep or (plan.eps,))
    fast = ", AutoAttack in the fast mode" if plan.mode == "fast" else ""
    if waits_for_a_look(run.dataset):
        images = "images" if plan.limit is None else f"up to {plan.limit:,} images"
    else:
        info = dataset_description(run.dataset)
        images = f"{plan.count_images(info.test_images, info.classes):,} images"
    return f"{attacks} at {budgets} on {images} of {run.dataset}{fast}"


@looks
def preset_images(preset: str) -> str:
    """Say how many images a plan takes that is not told otherwise."""
    limit = PLANS[preset].build(AttackSettings().eps, "linf").limit if preset else None
    return "all" if limit is None else f"{limit:,}"


@looks
def attack_names() -> list[str]:
    """List the attacks that can be chosen by name; others can be typed."""
    first = [name for name in USUAL_ATTACKS if name in ATTACKS or name.partition("-")[0] in ("pgd", "cw")]
    return [*first, *(name for name in ATTACKS if name not in first)]
