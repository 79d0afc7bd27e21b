"""What a training starts from: its images, its network, and a record of how it is made."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cfa.config import RunConfig
from cfa.data import Dataset, Images, Split, long_tailed_split
from cfa.errors import ConfigError, DataError
from cfa.methods import Method, Parts, own_settings
from cfa.models import (
    ModelSpec,
    WeightsFile,
    build_model,
    channel_statistics,
    for_training,
    load_into,
)
from cfa.progress import Observer
from cfa.runs.cards import KnobCard, MethodCard, OriginCard
from cfa.runs.folder import Manifest, RunFolder, now
from cfa.runs.origins import Origin, Role, cut_of
from cfa.training.provenance import code_version, device_name, package_versions
from cfa.training.randomness import derived_seed
from cfa.training.state import EpochCounts, TrainingState
from cfa.training.trainable import require_trainable
from cfa.typed_paths import leads_to_file


def split_images(config: RunConfig, dataset: Dataset) -> Split:
    """Cut the training part into training and validation images, long-tailed where that is asked for."""
    settings = config.data
    # A balanced `-lt` set is the set without `-lt`, so that 1 can stand for the data set's own ratio.
    ratio = dataset.imbalance_ratio if settings.imbalance_ratio == 1 else settings.imbalance_ratio
    return long_tailed_split(
        dataset.train_labels,
        dataset.num_classes,
        ratio,
        settings.val_fraction,
        settings.split_seed,
        settings.split_order,
    )


@dataclass(frozen=True)
class TrainingImages:
    """A run's images on its device, and how the training part was cut."""

    split: Split
    train: Images
    val: Images
    test: Images | None  # only where a probe or the papers' protocol needs it

    @classmethod
    def of(cls, config: RunConfig, dataset: Dataset, device: torch.device) -> "TrainingImages":
        """Cut a data set.

        Raises:
            DataError: It has no training images.
            ConfigError: There are fewer than a batch has.
        """
        dataset.require_training_images()
        split = split_images(config, dataset)
        everything = Images(dataset.train_images, dataset.train_labels)
        train, val = everything.subset(split.train), everything.subset(split.validation)
        if config.train.batch_size > len(train):
            raise ConfigError(
                f"train.batch_size={config.train.batch_size} exceeds the {len(train)} training images; "
                "lower it or use a larger data set"
            )
        needs_test = config.train.test_probe or config.train.select_on == "test"
        test = Images(dataset.test_images, dataset.test_labels).to(device) if needs_test else None
        return cls(split, train.to(device), val.to(device), test)


def model_spec(dataset: Dataset, train: Images, head: str) -> ModelSpec:
    """Return what a network has to know of the images that it is trained on, and how it is to end."""
    mean, std = channel_statistics(train.images)
    return ModelSpec(dataset.channels, dataset.num_classes, dataset.image_size, mean, std, head)


def starting_model(
    config: RunConfig,
    spec: ModelSpec,
    device: torch.device,
    initial: Mapping[str, Tensor] | None,
    observer: Observer,
) -> nn.Module:
    """Build a run's network on its device, with random weights or those that it starts from."""
    model: nn.Module = build_model(config.model, spec, config.seed)
    if initial is not None:
        start = WeightsFile.of(config.init or "the initial weights")
        said = load_into(model, initial, str(start), key=start.key).said(start.path.name)
        if said and leads_to_file(start.path):
            observer.log(f"starting from {start}; {said}")
    model = for_training(model, device)
    if ":" in config.model:
        require_trainable(model, spec, device)
    return model


def starting_companions(parts: Parts, spec: ModelSpec, device: torch.device) -> dict[str, nn.Module]:
    """Build the networks that a method trains beside its model, each with random weights of its own."""
    numbers = itertools.count()

    def build(name: str) -> nn.Module:
        seed = derived_seed(parts.config.seed, "companion", next(numbers))
        return for_training(build_model(name, spec, seed), device)

    return dict(parts.method.companions(parts.settings, parts.config, build))


def sgd(config: RunConfig, networks: list[nn.Module]) -> torch.optim.Optimizer:
    """Build the optimiser of some networks together."""
    settings = config.optimizer
    return torch.optim.SGD(
        [parameter for network in networks for parameter in network.parameters()],
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )


def manifest_of(
    parts: Parts, dataset: Dataset, images: TrainingImages, spec: ModelSpec, device: torch.device
) -> Manifest:
    """Record how a run is made, and what pages say of its method."""
    classes, method = dataset.num_classes, parts.method
    return Manifest(
        created=now(),
        code_version=code_version(),
        packages=package_versions(),
        device=device_name(device),
        threads=torch.get_num_threads(),
        data_fingerprint=dataset.fingerprint,
        class_names=dataset.class_names,
        train_counts=tuple(images.train.counts(classes).tolist()),
        val_counts=tuple(images.val.counts(classes).tolist()),
        model=vars(spec),
        reported_with=method.reported_with,
        method=method_card(method),
        helper_epochs=parts.helper.epochs if parts.helper else 0,
    )


def method_card(method: Method[Any]) -> MethodCard:
    """Write down what people read of a method, so that no list has to import it to ask."""
    knobs = {
        name: KnobCard(label=knob.label, unit=knob.unit, summary=knob.summary)
        for name, knob in method.knobs.items()
    }
    return MethodCard(
        title=" + ".join((method.title, *method.adds)),
        reported_title=method.reported_title,
        knobs=knobs,
        settings=own_settings(method),
    )


def with_origins(
    manifest: Manifest,
    config: RunConfig,
    split: Split,
    start: Origin | None,
    teacher: Origin | None,
) -> Manifest:
    """Record what a run is made from, and whether that has seen the images that choose its checkpoints."""
    validation = frozenset(split.validation.tolist())

    def card(role: Role, origin: Origin | None) -> OriginCard | None:
        data, cut = manifest.data_fingerprint, cut_of(config)
        return None if origin is None else origin.marked(role, data, validation, cut)

    return replace(manifest, start=card("start", start), teacher=card("teacher", teacher))


def check_same_data(run: RunFolder, dataset: Dataset) -> None:
    """Refuse to go on with other images than those that a run started with.

    Raises:
        DataError: They have changed.
    """
    manifest = run.manifest
    if manifest is not None and manifest.data_fingerprint != dataset.fingerprint:
        raise DataError(
            f"data set {dataset.name!r} has changed since the run started; restore it, or start a new run"
        )


def first_state(
    parts: Parts,
    config: RunConfig,
    model: nn.Module,
    companions: Mapping[str, nn.Module],
    images: Images,
    classes: int,
) -> TrainingState:
    """Build the state that training starts with."""
    rule_state, knobs = parts.rule.initial(classes)
    knobs = knobs.require_budgets(config.method, 1)
    optimizer = sgd(config, [model, *companions.values()])
    counts = EpochCounts.zero(classes, images.labels.device)
    sampler_state = parts.sampler.initial(images.labels) if parts.sampler is not None else {}
    return TrainingState(
        model, optimizer, knobs, rule_state, counts, sampler_state=sampler_state, companions=companions
    )
