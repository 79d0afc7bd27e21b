"""What a run will cost, from a few real steps on synthetic images: no data set has to be present."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

import torch

from cfa.attacks import named_attack, passes_of
from cfa.config import RunConfig
from cfa.data import DatasetInfo, Images, to_float
from cfa.errors import DataError
from cfa.methods import METHODS, helper_epochs, known_method, parts_of, passes_an_epoch
from cfa.models import ModelSpec, build_model, for_training, in_eval_mode, repeatable, wait_for
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Epoch
from cfa.training.arithmetic import arithmetic_of
from cfa.training.preparing import starting_companions
from cfa.training.randomness import generator
from cfa.training.step import Step
from cfa.training.validation import count_correct

PATIENCE = 2.0  # seconds that a probe may take before it is as good as it gets
FIRST = 8  # images of a probe's first batch, which pays for what is set up once and is not counted
CHEAPER = 0.75  # an image of a larger batch: what is below this had a part that does not grow with images
REPEATS = 3
KINDS = 3  # online, EMA and FAWA
CLOSING_TEST = "pgd-20"
BYTES_PER_CLASS_AND_EPOCH = 7 * 2 * 8  # seven rows of two counts, about eight characters each
_NO_COST = ("format", "seed", "init", "preset", "averaging", "optimizer", "data")
_NO_COST_IN_TRAINING = ("epochs", "keep_every", "select_on", "test_probe")


@dataclass(frozen=True)
class Timing:
    """What the steps of a configuration take on a device.

    Attributes:
        training: Seconds of a training image, its attack included.
        checked: Seconds of an image that is validated, likewise.
        weights_bytes: Size of one set of weights.
    """

    training: float
    checked: float
    weights_bytes: int


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


def estimate_seconds(
    config: RunConfig, info: DatasetInfo, device: torch.device, teacher: str = ""
) -> Estimate:
    """Measure a few steps of a configuration and scale them to the whole run.

    Args:
        config: The run.
        info: Size and shape of its data set.
        device: Where it would train.
        teacher: The network of its teacher; by default its own.

    Raises:
        DataError: The data set is not to be trained on.
    """
    if info.train_images == 0:
        raise DataError(
            f"data set {info.name!r} has no training images, so that nothing can be trained on it; "
            f"{info.how_to_get or 'weights can be evaluated on it'}"
        )
    return scaled(config, info, time_steps(config, info, device, teacher=teacher))


def time_steps(
    config: RunConfig,
    info: DatasetInfo,
    device: torch.device,
    patience: float = PATIENCE,
    teacher: str = "",
) -> Timing:
    """Time steps of a configuration on images of noise: whole batches where they take no longer than that.

    Args:
        config: The run.
        info: Shape of its data set.
        device: Where it would train.
        patience: Seconds for the steps, and as many for the validation.
        teacher: The network of its teacher; by default its own.
    """
    mean, std = (0.5,) * info.channels, (0.25,) * info.channels
    head = METHODS[config.method].head
    spec = ModelSpec(info.channels, info.classes, info.image_size, mean, std, head)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), repeatable(), arithmetic_of(config, device):
        model = for_training(build_model(config.model, spec, seed=0), device)
        teaches = METHODS[config.method].needs_teacher or helper_epochs(config) > 0
        beside = for_training(build_model(teacher or config.model, spec, seed=1), device) if teaches else None
        training = _seconds_per_training_image(config, spec, model, beside, device, patience)
        checked = _seconds_per_validated_image(config, spec, model, device, patience)
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return Timing(training, checked, weights)


def timing_of(run: RunFolder, info: DatasetInfo, wall_seconds: float) -> Timing | None:
    """Read off what the steps of a finished run took; ``None`` where that cannot be told.

    Args:
        run: It was trained and tested in one go.
        info: Size of its data set.
        wall_seconds: From its job's start to its end. What was no training is taken for validation and test.
    """
    config, epochs = run.config, [row for row in run.rows() if isinstance(row, Epoch)]
    timed = [(row.seconds, row.images_per_second) for row in epochs if row.seconds and row.images_per_second]
    seconds = sum(taken for taken, _ in timed)
    images = sum(taken * speed for taken, speed in timed)
    rest = wall_seconds - seconds * (1 + _of_passes(config) + _of_helper(config) / config.train.epochs)
    files = [run.weights_file(weights, checkpoint) for weights, checkpoint in run.kept_weights()]
    if len(timed) < config.train.epochs or rest <= 0 or not images or not files:
        return None
    checked = config.train.epochs * _checked_an_epoch(config, info) + _checked_at_the_end(config, info)
    return Timing(seconds / images, rest / checked, files[0].stat().st_size)


def scaled(config: RunConfig, info: DatasetInfo, timing: Timing) -> Estimate:
    """Say what a run takes whose steps take so long."""
    images = info.train_images - _held_out(config, info)
    kinds = _kinds(config)
    validation = kinds * _held_out(config, info) * timing.checked
    trained = images * timing.training * (1 + _of_passes(config))
    epoch = trained + _checked_an_epoch(config, info) * timing.checked
    closing = _checked_at_the_end(config, info) * timing.checked
    rows = config.train.epochs * info.classes * BYTES_PER_CLASS_AND_EPOCH
    snapshots = config.train.epochs // config.train.keep_every if config.train.keep_every else 0
    kept = timing.weights_bytes * (2 * kinds + snapshots) + rows
    return Estimate(
        seconds=config.train.epochs * epoch + _of_helper(config) * images * timing.training + closing,
        seconds_per_epoch=epoch,
        validation_seconds_per_epoch=validation,
        disk_bytes=kept,
        # Model and momentum, two averages, and as much as the first of a helper.
        peak_disk_bytes=kept + timing.weights_bytes * (1 + kinds + 2 * (helper_epochs(config) > 0)),
    )


def pace(config: RunConfig) -> str:
    """Say what decides how long an image takes: equal texts, equal times on a device and a data set."""
    settings = config.model_dump(mode="json", exclude=set(_NO_COST))
    for name in _NO_COST_IN_TRAINING:
        settings["train"].pop(name)
    for name in ("eps", "step_size"):
        settings["attack"].pop(name)
    warm_up = METHODS[config.method].warm_up if config.method in METHODS else ""
    own = {n: v for n, v in config.method_settings.items() if not isinstance(v, float) and n != warm_up}
    return json.dumps({**settings, "method_settings": own, "augment": config.data.augment}, sort_keys=True)


def _of_helper(config: RunConfig) -> float:
    """Return what the training of a run's helper takes, in epochs of the run: its images are not attacked."""
    return helper_epochs(config) / passes_an_epoch(config)


def _of_passes(config: RunConfig) -> float:
    """Return what passes over training images after an epoch take, as a share of its training."""
    method, steps = known_method(config.method), config.attack.steps
    if method is None or not method.forward.again:
        return 0.0
    return method.forward.of_epoch(steps) / replace(method.forward, again=False).of_epoch(steps) - 1


def _kinds(config: RunConfig) -> int:
    """Count the kinds of weights that are validated, and tested in the end."""
    return KINDS if config.train.epochs >= config.averaging.start_epoch else 1


def _held_out(config: RunConfig, info: DatasetInfo) -> int:
    return max(info.classes, round(info.train_images * config.data.val_fraction))


def _checked_an_epoch(config: RunConfig, info: DatasetInfo) -> float:
    """Count the images that are validated in an epoch; those of a test probe as well."""
    probed = config.train.test_probe or config.train.select_on == "test"
    return _kinds(config) * (_held_out(config, info) + (info.test_images if probed else 0))


def _checked_at_the_end(config: RunConfig, info: DatasetInfo) -> float:
    """Say how many images could be validated in the time of the closing test."""
    return _kinds(config) * info.test_images * _closing_share(config, info.classes)


def _images(spec: ModelSpec, count: int, device: torch.device) -> Images:
    shape = (count, spec.channels, spec.image_size, spec.image_size)
    pixels = torch.randint(256, shape, generator=generator(0, "estimate"), dtype=torch.uint8)
    labels = torch.arange(count) % spec.num_classes
    return Images(pixels, labels).to(device)


def _seconds_per_training_image(
    config: RunConfig,
    spec: ModelSpec,
    model: torch.nn.Module,
    teacher: torch.nn.Module | None,
    device: torch.device,
    patience: float,
) -> float:
    eager = config.model_copy(update={"train": config.train.model_copy(update={"compile": False})})
    counts = torch.ones(spec.num_classes, device=device)
    parts = parts_of(eager)  # compiling would take longer than what is being measured
    companions = starting_companions(parts, spec, device)
    taught = None if teacher is None else in_eval_mode(teacher).requires_grad_(False)
    step = Step.of(parts, model, counts, teacher=taught, companions=companions)
    knobs = step.parts.rule.initial(spec.num_classes)[1].on(device)
    optimizer = torch.optim.SGD([weight for one in step.networks for weight in one.parameters()], lr=1e-6)
    model.train()

    def probe(count: int) -> None:
        batch = _images(spec, count, device)
        noise, index = generator(0, "estimate", device=device), torch.arange(count, device=device)
        step(optimizer, to_float(batch.images), batch.labels, index, knobs, noise)

    return _seconds_per_image(probe, config.train.batch_size, device, patience)


def _seconds_per_validated_image(
    config: RunConfig, spec: ModelSpec, model: torch.nn.Module, device: torch.device, patience: float
) -> float:
    attack = METHODS[config.method].validated_with

    def probe(count: int) -> None:
        count_correct(model, _images(spec, count, device), config, spec.num_classes, attack)

    return _seconds_per_image(probe, config.train.batch_size, device, patience)


def _closing_share(config: RunConfig, classes: int) -> float:
    """Return what an image of the closing test costs, over one of a validation; both predict it clean too."""
    of_closing, of_validation = (
        1 + passes_of(named_attack(name, config.attack.norm), classes)
        for name in (CLOSING_TEST, METHODS[config.method].validated_with)
    )
    return of_closing / of_validation


def _seconds_per_image(
    probe: Callable[[int], None], whole: int, device: torch.device, patience: float
) -> float:
    """Time ``probe(count)`` with growing batches up to a whole one; the median of the largest.

    On a busy machine a few images take as long as many: as long as a larger batch makes an image cheaper,
    batches grow, also beyond ``patience`` seconds.
    """
    count, each, spent = min(FIRST, whole), math.inf, 0.0
    probe(count)  # pays for what is set up once
    while True:
        seconds = _timed(probe, count, device)
        spent += seconds
        cheaper, each = seconds / count < CHEAPER * each, seconds / count
        fits = int(count * (patience - spent) / seconds)
        if count == whole or (not cheaper and fits <= count):
            break
        count = min(whole, max(2 * count, min(fits, 8 * count)))
    taken = [seconds]
    while len(taken) < REPEATS and spent + taken[-1] < patience:
        taken.append(_timed(probe, count, device))
        spent += taken[-1]
    return median(taken) / count


def _timed(probe: Callable[[int], None], count: int, device: torch.device) -> float:
    started = perf_counter()
    probe(count)
    wait_for(device)
    return perf_counter() - started
