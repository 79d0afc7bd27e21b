"""What a run will cost, from a few real steps on synthetic images: no data set has to be present."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch

from cfa.attacks import named_attack, passes_of
from cfa.config import RunConfig
from cfa.data import DatasetInfo, Images, to_float
from cfa.errors import DataError
from cfa.methods import METHODS, parts_of
from cfa.models import ModelSpec, build_model, for_training, repeatable, wait_for
from cfa.training.arithmetic import arithmetic_of
from cfa.training.epoch import steps_per_epoch
from cfa.training.randomness import generator
from cfa.training.step import Step
from cfa.training.validation import count_correct

LONG_ENOUGH = 0.3  # seconds; a probe that takes this long is worth scaling up from
KINDS = 3  # online, EMA and FAWA
CLOSING_TEST = "pgd-20"
BYTES_PER_CLASS_AND_EPOCH = 7 * 2 * 8  # seven rows of two counts, about eight characters each


@dataclass(frozen=True)
class Estimate:
    """What a run will take on one device, if nothing else uses it.

    ``seconds`` counts training, validation and the closing test evaluation; an epoch includes its validation
    (of all three kinds of weights, once there are averages). ``disk_bytes`` is what the finished
    run keeps; ``peak_disk_bytes`` also the state for resume while it trains.
    """

    seconds: float
    seconds_per_epoch: float
    validation_seconds_per_epoch: float
    disk_bytes: int
    peak_disk_bytes: int


def estimate_seconds(config: RunConfig, info: DatasetInfo, device: torch.device) -> Estimate:
    """Measure a few steps of a configuration and scale them to the whole run.

    Args:
        config: The run.
        info: Size and shape of its data set.
        device: Where it would train.

    Raises:
        DataError: The data set is not to be trained on.
    """
    if info.train_images == 0:
        raise DataError(
            f"data set {info.name!r} has no training images, so that nothing can be trained on it; "
            f"{info.how_to_get or 'weights can be evaluated on it'}"
        )
    mean, std = (0.5,) * info.channels, (0.25,) * info.channels
    spec = ModelSpec(info.channels, info.classes, info.image_size, mean, std)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), repeatable(), arithmetic_of(config, device):
        model = for_training(build_model(config.model, spec, seed=0), device)
        per_image = _seconds_per_training_image(config, spec, model, device)
        per_checked = _seconds_per_validated_image(config, spec, model, device)
    held_out = max(info.classes, round(info.train_images * config.data.val_fraction))
    images = info.train_images - held_out
    steps = steps_per_epoch(images, config.train.batch_size)
    kinds = KINDS if config.train.epochs >= config.averaging.start_epoch else 1
    validation = kinds * held_out * per_checked
    epoch = steps * config.train.batch_size * per_image + validation
    if config.train.test_probe or config.train.select_on == "test":
        epoch += kinds * info.test_images * per_checked
    closing = kinds * info.test_images * per_checked * _closing_share(config, info.classes)
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    rows = config.train.epochs * info.classes * BYTES_PER_CLASS_AND_EPOCH
    snapshots = config.train.epochs // config.train.keep_every if config.train.keep_every else 0
    kept = weights * (2 * kinds + snapshots) + rows
    return Estimate(
        seconds=config.train.epochs * epoch + closing,
        seconds_per_epoch=epoch,
        validation_seconds_per_epoch=validation,
        disk_bytes=kept,
        peak_disk_bytes=kept + weights * (1 + kinds),  # model and momentum, and two averages
    )


def _images(spec: ModelSpec, count: int, device: torch.device) -> Images:
    shape = (count, spec.channels, spec.image_size, spec.image_size)
    pixels = torch.randint(256, shape, generator=generator(0, "estimate"), dtype=torch.uint8)
    labels = torch.arange(count) % spec.num_classes
    return Images(pixels, labels).to(device)


def _seconds_per_training_image(
    config: RunConfig, spec: ModelSpec, model: torch.nn.Module, device: torch.device
) -> float:
    eager = config.model_copy(update={"train": config.train.model_copy(update={"compile": False})})
    counts = torch.ones(spec.num_classes, device=device)
    step = Step.of(parts_of(eager), model, counts)  # compiling would take longer than what is being measured
    knobs = step.parts.rule.initial(spec.num_classes)[1].on(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    model.train()

    def probe(count: int) -> None:
        batch = _images(spec, count, device)
        noise, index = generator(0, "estimate", device=device), torch.arange(count, device=device)
        step(optimizer, to_float(batch.images), batch.labels, index, knobs, noise)

    return _seconds_per_image(probe, config.train.batch_size, device)


def _seconds_per_validated_image(
    config: RunConfig, spec: ModelSpec, model: torch.nn.Module, device: torch.device
) -> float:
    attack = METHODS[config.method].validated_with

    def probe(count: int) -> None:
        count_correct(model, _images(spec, count, device), config, spec.num_classes, attack)

    return _seconds_per_image(probe, config.train.batch_size, device)


def _closing_share(config: RunConfig, classes: int) -> float:
    """Return what an image of the closing test costs, over one of a validation; both predict it clean too."""
    of_closing, of_validation = (
        1 + passes_of(named_attack(name, config.attack.norm), classes)
        for name in (CLOSING_TEST, METHODS[config.method].validated_with)
    )
    return of_closing / of_validation


def _seconds_per_image(probe: Callable[[int], None], largest: int, device: torch.device) -> float:
    """Time ``probe(count)`` with growing batches until it takes long enough; the better of two counts."""
    count = min(2, largest)
    while True:
        seconds = min(_timed(probe, count, device) for _ in range(2))
        if seconds >= LONG_ENOUGH or count >= largest:
            return seconds / count
        count = min(largest, count * 4)


def _timed(probe: Callable[[int], None], count: int, device: torch.device) -> float:
    started = perf_counter()
    probe(count)
    wait_for(device)
    return perf_counter() - started
