"""What training says: rows for the run's history, sentences for its log, progress for whoever watches."""

from collections.abc import Mapping
from typing import Any

from cfa.config import RunConfig
from cfa.methods import METHODS, Averager, Knobs, validated_settings, warm_up_of
from cfa.methods.epochs import never_reached
from cfa.progress import Observer, Progress
from cfa.runs.rows import Epoch, KnobValues, Scores
from cfa.training.state import TrainingState
from cfa.training.validation import Counts


def knobs_row(epoch: int, knobs: Knobs) -> KnobValues:
    """Turn what a rule set for an epoch into its row; of pairs of classes it has the mean of each row."""
    values = {**knobs.of_classes, **{name: value.mean(dim=1) for name, value in knobs.of_pairs.items()}}
    return KnobValues(epoch=epoch, values={name: tuple(values[name].tolist()) for name in knobs})


def training_row(config: RunConfig, state: TrainingState, epoch: int) -> Scores:
    """Turn the epoch's own predictions on training images into a row."""
    return Scores(
        epoch=epoch,
        split="train",
        weights="online",
        attack="training",
        norm=config.attack.norm,
        eps=config.attack.eps,
        correct=tuple(state.counts.correct.tolist()),
        total=tuple(state.counts.total.tolist()),
    )


def epoch_row(
    config: RunConfig, state: TrainingState, epoch: int, gate: float, accepted: bool | None
) -> Epoch:
    """Turn the epoch as a whole into a row.

    Args:
        config: The run's settings.
        state: Its state at the end of the epoch.
        epoch: The epoch.
        gate: The statistic that the gate looks at.
        accepted: Whether FAWA took the epoch; ``None`` where there is no FAWA.
    """
    counts, settings = state.counts, config.averaging
    images = int(counts.total.sum())
    open_yet = accepted is not None and epoch >= settings.start_epoch
    return Epoch(
        epoch=epoch,
        learning_rate=state.optimizer.param_groups[0]["lr"],
        loss=float(counts.loss) / images,
        seconds=counts.seconds,
        images_per_second=images / max(counts.seconds, 1e-9),
        gate_worst=gate,
        gate_threshold=settings.threshold,
        gate_accepted=accepted if open_yet else None,
    )


def report(observer: Observer, config: RunConfig, state: TrainingState, phase: str, share: float) -> None:
    """Tell how far training is.

    Args:
        observer: Is told.
        config: The run's settings.
        state: Its state.
        phase: What it is doing.
        share: How much of the epoch is done, from 0 to 1.
    """
    epochs = config.train.epochs
    observer.progress(
        Progress(
            done=state.epoch + share,
            total=epochs,
            unit="epochs",
            phase=phase,
            epoch=state.epoch + 1,
            epochs=epochs,
        )
    )


def epoch_words(row: Epoch, scores: Mapping[str, Any], class_names: tuple[str, ...], epochs: int) -> str:
    """Say in a line what an epoch came to."""
    assert row.loss is not None  # it was trained here
    assert row.images_per_second is not None
    counts = Counts(**scores["online"]["val"])
    robust = [k / n for k, n in zip(counts.robust, counts.total, strict=True)]
    worst = class_names[robust.index(min(robust))]
    gate = {None: "", True: ", FAWA took it", False: ", FAWA rejected it"}[row.gate_accepted]
    return (
        f"epoch {row.epoch}/{epochs}: loss {row.loss:.3f}, validation clean "
        f"{sum(counts.clean) / sum(counts.total):.1%}, robust {sum(robust) / len(robust):.1%}, "
        f"worst {min(robust):.1%} ({worst}), {row.images_per_second:.0f} images/s{gate}"
    )


def closing_words(config: RunConfig, state: TrainingState, averagers: Mapping[str, Averager]) -> str:
    """Say what of its method never acted, and why a run has no FAWA weights; empty where all is as asked."""
    return " ".join(filter(None, (_never_acted(config), _without_fawa(config, state, averagers))))


def _never_acted(config: RunConfig) -> str:
    method = METHODS[config.method]
    longer = never_reached(validated_settings(method, config), config)
    if method.warm_up and warm_up_of(config) >= config.train.epochs:
        longer = [method.warm_up, *(name for name in longer if name != method.warm_up)]
    said = ", ".join(f"method.{name}={config.method_settings[name]}" for name in longer)
    return f"What comes after {said} never came: the run has {config.train.epochs} epochs." if said else ""


def _without_fawa(config: RunConfig, state: TrainingState, averagers: Mapping[str, Averager]) -> str:
    if "fawa" not in averagers:
        return "FAWA weights were not kept: too few validation images a class for the worst-class gate."
    if "fawa" in state.averages:
        return ""
    settings = config.averaging
    if settings.start_epoch > config.train.epochs:
        return (
            f"The run ended before averaging started (averaging.start_epoch={settings.start_epoch}): "
            "online weights are reported."
        )
    return (
        f"FAWA's gate never opened (validation {settings.gate} below {settings.threshold:g} "
        f"from epoch {settings.start_epoch} on): online weights are reported."
    )
