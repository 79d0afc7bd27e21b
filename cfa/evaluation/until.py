"""An evaluation that stops when it is certain: images class by class, until the targets are met."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from cfa.data import Dataset
from cfa.errors import ConfigError, StoreError
from cfa.evaluation.draws import ClassByClass
from cfa.evaluation.evaluate import carried_out, finish
from cfa.evaluation.outcomes import Outcomes
from cfa.evaluation.plan import EvaluationPlan, chosen_images
from cfa.evaluation.sanity import is_checklist
from cfa.files import make_folder, write_text
from cfa.progress import Observer
from cfa.runs.evaluations import new_id, parts_folder
from cfa.runs.folder import RunFolder
from cfa.runs.sequential import Reached, SequentialEvaluation, save_sequential
from cfa.statistics import Targets
from cfa.stored import MB, read_stored

ON_CPU, ON_GPU = 20, 50  # images of a class at a time: a GPU is hardly slower with more


def require_stoppable(plan: EvaluationPlan) -> None:
    """Refuse a plan of which it makes no sense to attack some images more than others.

    Raises:
        ConfigError: It is a sweep, or a checklist.
    """
    if plan.eps_sweep:
        raise ConfigError("a sweep has several budgets, and --until stops at one; leave out one of the two")
    if is_checklist(plan):
        raise ConfigError("the sanity checklist compares attacks on the same images; leave out --until")


def evaluate_until(
    run: RunFolder,
    weights: str,
    checkpoint: str,
    plan: EvaluationPlan,
    targets: Targets,
    dataset: Dataset,
    device: torch.device,
    observer: Observer,
    *,
    evaluation_id: str | None = None,
    loaded_as: str = "",
) -> SequentialEvaluation:
    """Attack images of a run's test part until the targets are met under each attack, and store the result.

    An image's outcome depends on the plan's seed and on the image alone where the attack is ours, so that
    there is one truth which the intervals are about. Members of AutoAttack draw their noise for a whole
    batch: another order of the images may change a few outcomes.

    Args and errors as of :func:`cfa.evaluation.evaluate_weights`, and:
        targets: What has to be certain before it stops.

    Raises:
        ConfigError: The plan cannot be stopped early.
    """
    require_stoppable(plan)
    plan = replace(plan, keep_megabytes=0.0)
    evaluation_id = evaluation_id or new_id()
    chosen = chosen_images(dataset.test_labels, dataset.num_classes, plan.limit)
    draw = _draw(parts_folder(run, evaluation_id), device)
    label = dataset.test_labels[chosen].numpy()
    draws = ClassByClass(label, dataset.num_classes, targets, plan.seed, draw)
    counted, outcomes = carried_out(
        run,
        weights,
        checkpoint,
        plan,
        dataset,
        device,
        observer,
        evaluation_id=evaluation_id,
        loaded_as=loaded_as,
        draws=draws,
        drawn_by=f" {json.dumps({**asdict(targets), 'draw': draw})}",
    )
    evaluation = SequentialEvaluation(
        counted=counted,
        targets=targets,
        permutation_seed=plan.seed,
        draw=draw,
        sizes=draws.sizes,
        reached=tuple(Reached.of(column, known) for column, known in draws.known.items()),
    )
    save_sequential(
        run, evaluation, {**outcomes.columns(), "drawn": _places(draws, chosen.numpy(), outcomes)}
    )
    finish(run, counted, observer)
    observer.log(f"{run.name}: {evaluation.title}; {draws.told}")
    return evaluation


def _places(draws: ClassByClass, chosen: np.ndarray, outcomes: Outcomes) -> np.ndarray:
    """Say of each outcome which image of its class's order it is, from 0."""
    place = np.zeros(len(chosen), np.int32)
    for order in draws.order:
        place[order] = np.arange(len(order))
    return place[np.searchsorted(chosen, outcomes.image)]


def _draw(scratch: Path, device: torch.device) -> int:
    """Say how many images of a class are attacked at a time: what suits the device that began with it."""
    file = scratch / "draw.json"
    try:
        stored = read_stored(file, int, MB)
    except StoreError as error:
        raise StoreError(f"{file.name} in {scratch} cannot be read ({error}); delete that folder") from error
    if stored is not None:
        return int(stored)
    size = ON_CPU if device.type == "cpu" else ON_GPU
    make_folder(scratch.parent)
    make_folder(scratch)
    write_text(file, json.dumps(size))
    return size
