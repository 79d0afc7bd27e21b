"""Carry out a plan: the predicted class of every image under every attack, resumable batch by batch.

A figure is only as good as its judge: whatever an attack claims, an image counts as broken when the
perturbed image is misclassified in a float32 forward pass of ours in eval mode: IEEE float32, on GPUs too,
where convolutions would otherwise use TF32.
"""

import dataclasses
import shutil
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import nn

from cfa.data import Dataset, Images, to_float
from cfa.errors import CheckpointError, ConfigError
from cfa.evaluation.admission import LOOKED_AT, WeightsTypes, weights_as_needed
from cfa.evaluation.adversarial import save_outcomes
from cfa.evaluation.class_order import class_names_finding
from cfa.evaluation.conditions import ARITHMETIC, reported
from cfa.evaluation.draws import Draws
from cfa.evaluation.findings import came_as_finding, own_type_finding
from cfa.evaluation.loading import LoadedWeights, load_kept
from cfa.evaluation.outcomes import Outcomes
from cfa.evaluation.plan import EvaluationPlan, chosen_images
from cfa.evaluation.reported_weights import default_weights
from cfa.evaluation.runner import Runner
from cfa.evaluation.sanity import is_checklist, verdicts
from cfa.models import NormalisedModel, OnCopies, as_network
from cfa.models.replayed_network import replayed
from cfa.progress import Observer
from cfa.runs.evaluations import Evaluation, new_id, parts_folder
from cfa.runs.folder import RunFolder, now
from cfa.runs.rows import Scores
from cfa.stored import checked_id


def attack_images(
    model: nn.Module,
    dataset: Dataset,
    plan: EvaluationPlan,
    device: torch.device,
    observer: Observer,
    scratch: Path | None = None,
    *,
    identity: str = "",
    transfer: nn.Module | None = None,
    replays: bool = False,
    draws: Draws | None = None,
) -> Outcomes:
    """Attack the plan's test images and predict every one of them.

    Args:
        model: Maps images in [0, 1] to logits; it is evaluated in eval mode and float32, and left as it was.
        dataset: Whose test part is attacked.
        plan: What to do.
        device: Where to do it.
        observer: Told of forward passes (of an image each); asked before each whether to stop.
        scratch: A folder that remembers finished batches, so that the same plan goes on where it stopped.
        identity: What, besides plan and data, has to be the same to go on: whose weights.
        transfer: The model that makes the adversarial images of ``transfer``.
        replays: Its passes depend on images alone, so that a GPU may repeat them as captured graphs.
        draws: Whom of the plan's images to attack next; by default all of them at once.

    Raises:
        Stopped: The observer asked for it; finished batches are remembered.
        CheckpointError: The answers are no finite logits of so many classes, are never right, or have no
            gradient for the plan's attacks.
        ConfigError: An attack does not exist for such images or classes, or ``model`` is no network.
    """
    network = _guarded(model)
    chosen = chosen_images(dataset.test_labels, dataset.num_classes, plan.limit)
    images = Images(dataset.test_images, dataset.test_labels).subset(chosen).to(device)
    plan.check_images(dataset.channels, dataset.image_size, dataset.num_classes)
    others = None if transfer is None else _guarded(transfer)
    few = to_float(images.images[:LOOKED_AT])
    carried = replayed(network, device, plan.batch_size, observer.log) if replays else None
    with ExitStack() as stack:
        stack.enter_context(reported(device, network, others))
        types = stack.enter_context(weights_as_needed(network, few))
        if others is not None:
            stack.enter_context(weights_as_needed(others, few))
        runner = Runner(
            network,
            images,
            chosen.numpy(),
            plan,
            dataset.num_classes,
            observer,
            scratch=scratch,
            identity=f"{dataset.fingerprint} {identity}",
            transfer=others,
            replayed=carried,
            draws=draws,
        )
        outcomes = runner.run()
    return _told(outcomes, types, observer)


def _told(outcomes: Outcomes, types: WeightsTypes, observer: Observer) -> Outcomes:
    """Tell how many passes were made, and put what is said of the weights before the other findings."""
    observer.log(
        f"{outcomes.made} forward passes of an image each, {outcomes.passes - outcomes.made} remembered"
    )
    said = [came_as_finding(types.came_as)] if types.came_as else []
    said += [own_type_finding(types.own)] if types.own else []
    return dataclasses.replace(outcomes, findings=(*said, *outcomes.findings))


def _guarded(model: object) -> nn.Module:
    """Return the network behind what someone evaluates; our own wrapper never works in place."""
    network = as_network(model)
    if network is None:
        raise ConfigError(
            f"the model is of type {type(model).__name__}; give an nn.Module, which has a mode and weights"
        )
    return network if isinstance(network, NormalisedModel) else OnCopies(network)


def evaluate_weights(
    run: RunFolder,
    weights: str,
    checkpoint: str,
    plan: EvaluationPlan,
    dataset: Dataset,
    device: torch.device,
    observer: Observer,
    *,
    evaluation_id: str | None = None,
    loaded_as: str = "",
) -> Evaluation:
    """Evaluate one kind of a run's weights on the test part and store the result in the run's folder.

    Args:
        run: Whose weights.
        weights: online, ema, fawa or file.
        checkpoint: best, last or file.
        plan: What to do.
        dataset: Whose test part is attacked.
        device: Where.
        observer: See :func:`attack_images`.
        evaluation_id: Give the same id again to go on with an evaluation that was stopped.
        loaded_as: The name that loads the data set, for those who want to see its images again.
    """
    evaluation_id = evaluation_id or new_id()
    evaluation, outcomes = carried_out(
        run,
        weights,
        checkpoint,
        plan,
        dataset,
        device,
        observer,
        evaluation_id=evaluation_id,
        loaded_as=loaded_as,
    )
    save_outcomes(run, evaluation, outcomes)
    finish(run, evaluation, observer)
    return evaluation


def carried_out(
    run: RunFolder,
    weights: str,
    checkpoint: str,
    plan: EvaluationPlan,
    dataset: Dataset,
    device: torch.device,
    observer: Observer,
    *,
    evaluation_id: str,
    loaded_as: str = "",
    draws: Draws | None = None,
    drawn_by: str = "",
) -> tuple[Evaluation, Outcomes]:
    """Carry out a plan on a run's weights and sum what came of it; nothing is stored but finished batches.

    Args and errors as of :func:`evaluate_weights`, and:
        draws: As of :func:`attack_images`.
        drawn_by: What else has to be the same to go on: what the draws come from.
    """
    _require_classes(run, dataset)
    run.open_for_evaluations()
    scratch = parts_folder(run, evaluation_id)
    loaded, transfer = load_kept(run, weights, checkpoint, device), transfer_source(run, plan, device)
    observer.log(f"evaluating {run.name} ({checkpoint} {weights}): {', '.join(plan.attacks)}")
    outcomes = attack_images(
        loaded.model,
        dataset,
        plan,
        device,
        observer,
        scratch,
        identity=f"{_identity(weights, checkpoint, loaded, transfer)}{drawn_by}",
        transfer=transfer.model if transfer else None,
        replays=loaded.ours,
        draws=draws,
    )
    evaluation = summarise(
        outcomes,
        plan,
        dataset,
        weights=weights,
        checkpoint=checkpoint,
        epoch=loaded.identity.epoch or 0,
        weights_hash=loaded.identity.hash,
        findings=_findings_of(run, loaded, dataset),
        evaluation_id=evaluation_id,
        loaded_as=loaded_as,
    )
    return evaluation, outcomes


def finish(run: RunFolder, evaluation: Evaluation, observer: Observer) -> None:
    """Forget the batches of an evaluation that is stored, and tell what was found."""
    shutil.rmtree(parts_folder(run, evaluation.id), ignore_errors=True)
    for finding in evaluation.findings:
        observer.log(finding)


def _require_classes(run: RunFolder, dataset: Dataset) -> None:
    if run.class_names and len(run.class_names) != dataset.num_classes:
        raise CheckpointError(
            f"run {run.name!r} knows {len(run.class_names)} classes and {dataset.name} has "
            f"{dataset.num_classes}; evaluate it on {run.config.dataset}"
        )


def _identity(weights: str, checkpoint: str, loaded: LoadedWeights, transfer: LoadedWeights | None) -> str:
    """Say whose batches may be taken up again: a run that trained on has other `best` weights."""
    return " ".join([weights, checkpoint, *(found.identity.hash for found in (loaded, transfer) if found)])


def _findings_of(run: RunFolder, loaded: LoadedWeights, dataset: Dataset) -> tuple[str, ...]:
    """Say what is known of a run and its weights before anything is attacked."""
    called_otherwise = class_names_finding(run.class_names, dataset)
    came_as = came_as_finding(loaded.came_as) if loaded.came_as else None
    return (*run.marks, *(said for said in (called_otherwise, came_as) if said))


def transfer_source(run: RunFolder, plan: EvaluationPlan, device: torch.device) -> LoadedWeights | None:
    """Load the model that makes the images of ``transfer``: another run beside this one."""
    if plan.transfer_from is None:
        return None
    beside = run.path.parent if run.aside is None else run.aside.parents[1] / "runs"
    source = RunFolder(beside / checked_id(plan.transfer_from, "run"))
    kind = default_weights(source)
    return load_kept(source, kind, "file" if kind == "file" else "best", device)


def summarise(
    outcomes: Outcomes,
    plan: EvaluationPlan,
    dataset: Dataset,
    *,
    weights: str,
    checkpoint: str,
    epoch: int = 0,
    weights_hash: str = "",
    findings: tuple[str, ...] = (),
    evaluation_id: str | None = None,
    loaded_as: str = "",
) -> Evaluation:
    """Sum outcomes into an evaluation that says in full how they were made, and of which weights."""
    return Evaluation(
        id=evaluation_id or new_id(),
        created=now(),
        dataset=dataset.name,
        loaded_as=loaded_as,
        split="test",
        weights=weights,
        checkpoint=checkpoint,
        epoch=epoch,
        seed=plan.seed,
        limit=plan.limit,
        scores=scores_of(outcomes, dataset.num_classes, epoch=epoch, weights=weights),
        settings={name: plan.settings(name, dataset.num_classes) for name in plan.attacks},
        arithmetic=ARITHMETIC,
        findings=(*findings, *outcomes.findings),
        class_names=dataset.class_names,
        weights_hash=weights_hash,
        test_fingerprint=dataset.test_fingerprint,
        checks=verdicts(outcomes, plan) if is_checklist(plan) else (),
        columns=outcomes.described.everything,
        # As JSON reads it back: lists for tuples.
        plan={name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(plan).items()},
    )


def scores_of(outcomes: Outcomes, num_classes: int, *, epoch: int, weights: str) -> tuple[Scores, ...]:
    """Sum outcomes into one row of counts per attack."""
    total = outcomes.total(num_classes)
    return tuple(
        Scores(
            epoch=epoch,
            split="test",
            weights=weights,
            attack=column.attack,
            norm=column.norm,
            eps=column.eps,
            correct=outcomes.correct(column.name, num_classes),
            total=total,
        )
        for column in outcomes.described.wholes()
    )
