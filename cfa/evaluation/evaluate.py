"""Carry out a plan: the predicted class of every image under every attack, resumable batch by batch.

A figure is only as good as its judge: whatever an attack claims, an image counts as broken when the
perturbed image is misclassified in a float32 forward pass of ours in eval mode.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cfa.attacks import CLEAN, model_mode, named_attack, predict_under
from cfa.config import RunConfig
from cfa.data import Dataset, Images, batch_slices, to_float
from cfa.errors import CfaError, CheckpointError, StoreError
from cfa.evaluation.loading import load_model, weights_epoch
from cfa.evaluation.plan import EvaluationPlan, chosen_images
from cfa.progress import Observer, Progress, Stopped
from cfa.results.evaluations import Evaluation, new_id, outcomes_file, save_evaluation
from cfa.results.rows import Scores
from cfa.results.runs import RunFolder, now


@dataclass(frozen=True)
class Outcomes:
    """What became of every image.

    Attributes:
        image: Positions in the test part, ascending.
        label: True classes.
        predictions: Predicted class under each attack, by name, ``clean`` first.
    """

    image: np.ndarray
    label: np.ndarray
    predictions: Mapping[str, np.ndarray]

    def correct(self, attack: str, num_classes: int) -> tuple[int, ...]:
        """Count the images of each class that are still right under an attack."""
        right = self.label[self.predictions[attack] == self.label]
        return tuple(np.bincount(right, minlength=num_classes).tolist())

    def total(self, num_classes: int) -> tuple[int, ...]:
        """Count the images of each class."""
        return tuple(np.bincount(self.label, minlength=num_classes).tolist())

    def columns(self) -> dict[str, np.ndarray]:
        """Return the table that is stored: image, label, then one column per attack."""
        narrow = {name: classes.astype(np.int16) for name, classes in self.predictions.items()}
        return {"image": self.image.astype(np.int32), "label": self.label.astype(np.int16), **narrow}


def attack_images(
    model: nn.Module,
    dataset: Dataset,
    plan: EvaluationPlan,
    device: torch.device,
    observer: Observer,
    scratch: Path | None = None,
) -> Outcomes:
    """Attack the plan's test images and predict every one of them.

    Args:
        model: Maps images in [0, 1] to logits; it is evaluated in eval mode.
        dataset: Whose test part is attacked.
        plan: What to do.
        device: Where to do it.
        observer: Told of progress; asked before every batch whether to stop.
        scratch: A folder that remembers finished batches, so that the same plan goes on where it stopped.

    Raises:
        Stopped: The observer asked for it; finished batches are remembered.
        CheckpointError: The logits are not finite, or of another number of classes.
    """
    chosen = chosen_images(dataset.test_labels, dataset.num_classes, plan.limit)
    images = Images(dataset.test_images, dataset.test_labels).subset(chosen).to(device)
    batches = batch_slices(torch.arange(len(images), device=device), plan.batch_size)
    _check_logits(model, images, dataset.num_classes)
    predictions: dict[str, np.ndarray] = {}
    done, total = 0, len(plan.attacks) * len(images)
    for name in plan.attacks:
        parts = []
        for number, indices in enumerate(batches):
            phase = f"{name}, {len(images)} images"
            observer.progress(Progress(done=done, total=total, unit="images", phase=phase))
            reason = observer.stop_requested()
            if reason is not None:
                raise Stopped(reason)
            part = _remembered(scratch, name, number)
            if part is None:
                part = _predict_batch(model, name, plan, images.subset(indices), number)
                _remember(scratch, name, number, part)
            parts.append(part)
            done += len(part)
        predictions[name] = np.concatenate(parts)
    observer.progress(Progress(done=total, total=total, unit="images", phase="done"))
    return Outcomes(chosen.numpy(), images.labels.cpu().numpy(), predictions)


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
    """
    if run.class_names and len(run.class_names) != dataset.num_classes:
        raise CheckpointError(
            f"run {run.name!r} knows {len(run.class_names)} classes and {dataset.name} has "
            f"{dataset.num_classes}; evaluate it on {run.config.dataset}"
        )
    evaluation_id = evaluation_id or new_id()
    scratch = outcomes_file(run, evaluation_id).parent / "parts"
    model = load_model(run, weights, checkpoint, device)
    observer.log(f"evaluating {run.name} ({checkpoint} {weights}): {', '.join(plan.attacks)}")
    outcomes = attack_images(model, dataset, plan, device, observer, scratch)
    evaluation = summarise(
        outcomes,
        plan,
        dataset,
        weights=weights,
        checkpoint=checkpoint,
        epoch=weights_epoch(run, weights, checkpoint),
        findings=findings_of(run.config),
        evaluation_id=evaluation_id,
    )
    save_evaluation(run, evaluation, outcomes.columns())
    shutil.rmtree(scratch, ignore_errors=True)
    return evaluation


def summarise(
    outcomes: Outcomes,
    plan: EvaluationPlan,
    dataset: Dataset,
    *,
    weights: str,
    checkpoint: str,
    epoch: int = 0,
    findings: tuple[str, ...] = (),
    evaluation_id: str | None = None,
) -> Evaluation:
    """Sum outcomes into an evaluation that says in full how they were made."""
    return Evaluation(
        id=evaluation_id or new_id(),
        created=now(),
        dataset=dataset.name,
        split="test",
        weights=weights,
        checkpoint=checkpoint,
        epoch=epoch,
        seed=plan.seed,
        limit=plan.limit,
        scores=scores_of(outcomes, plan, dataset.num_classes, epoch=epoch, weights=weights),
        settings={name: plan.settings(name) for name in plan.attacks},
        findings=findings,
        class_names=dataset.class_names,
    )


def findings_of(config: RunConfig) -> tuple[str, ...]:
    """Say what a reader must know about how the weights were chosen."""
    if config.train.select_on == "test":
        return ("selected on test: the checkpoint was chosen on the images that it is reported on",)
    return ()


def scores_of(
    outcomes: Outcomes, plan: EvaluationPlan, num_classes: int, *, epoch: int, weights: str
) -> tuple[Scores, ...]:
    """Sum outcomes into one row of counts per attack."""
    total = outcomes.total(num_classes)
    return tuple(
        Scores(
            epoch=epoch,
            split="test",
            weights=weights,
            attack=name,
            norm="none" if name == CLEAN else plan.norm,
            eps=0.0 if name == CLEAN else plan.eps,
            correct=outcomes.correct(name, num_classes),
            total=total,
        )
        for name in plan.attacks
    )


def _predict_batch(
    model: nn.Module, name: str, plan: EvaluationPlan, batch: Images, number: int
) -> np.ndarray:
    device = batch.labels.device
    noise = torch.Generator(device=device).manual_seed(plan.seed * 1_000_003 + number)
    attack = named_attack(name, plan.norm)
    predicted = predict_under(model, attack, to_float(batch.images), batch.labels, plan.eps, noise)
    return predicted.cpu().numpy()


def _check_logits(model: nn.Module, images: Images, num_classes: int) -> None:
    """Refuse a model that answers with another number of classes, or not with numbers."""
    with torch.no_grad(), model_mode(model, training=False):
        try:
            logits = model(to_float(images.images[:2]))
        except RuntimeError as error:
            shape = tuple(images.images.shape[1:])
            raise CheckpointError(f"the model does not take images of shape {shape} ({error})") from error
    if logits.shape != (len(images.images[:2]), num_classes):
        raise CheckpointError(
            f"the model answers with shape {tuple(logits.shape)} where (images, {num_classes}) is expected; "
            "choose the data set it was trained on"
        )
    if not bool(torch.isfinite(logits).all()):
        raise CheckpointError(
            "the model's logits are not finite; its weights diverged, use an earlier checkpoint"
        )


def _part_file(scratch: Path, attack: str, number: int) -> Path:
    return scratch / f"{attack.replace(':', '_')}-{number}.npy"


def _remembered(scratch: Path | None, attack: str, number: int) -> np.ndarray | None:
    if scratch is None or not _part_file(scratch, attack, number).exists():
        return None
    try:
        part: np.ndarray = np.load(_part_file(scratch, attack, number), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CfaError(
            f"a stored batch in {scratch.name} is damaged; delete that folder and retry"
        ) from error
    return part


def _remember(scratch: Path | None, attack: str, number: int, part: np.ndarray) -> None:
    if scratch is None:
        return
    file = _part_file(scratch, attack, number)
    temporary = file.with_suffix(".tmp")
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.save(stream, part, allow_pickle=False)
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write outcomes ({error.strerror}); free disk space and resume") from error
