"""The trained networks that a run is made from: found before there is a job, and loaded when it begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfa import trust
from cfa.config import CHECKPOINT_KINDS, WEIGHTS_KINDS, RunConfig
from cfa.errors import CheckpointError, ConfigError, UnknownName
from cfa.runs.folder import RunFolder, require_weights
from cfa.runs.store import Store
from cfa.runs.trusted import Trusted
from cfa.typed_paths import leads_to_file, typed_path, whole_path

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cfa.data import Dataset
    from cfa.models import WeightsFile
    from cfa.runs.origins import Origin
    from cfa.training.teachers import Teacher

_WORDS = (*WEIGHTS_KINDS, *CHECKPOINT_KINDS)


@dataclass(frozen=True)
class KeptBy:
    """Weights of a run, as somebody names them: ``RUN``, or ``RUN#last``, ``RUN#ema``, ``RUN#last-ema``.

    Attributes:
        run: The run.
        weights: Which of its weights; empty for those that it is reported with.
        checkpoint: Of which checkpoint.
    """

    run: RunFolder
    weights: str = ""
    checkpoint: str = "best"

    @classmethod
    def of(cls, store: Store, reference: str) -> "KeptBy":
        """Find a run and read which of its weights are meant.

        Raises:
            UnknownName: There is no such run.
            ConfigError: There is no such kind of weights.
        """
        name, mark, words = reference.partition("#")
        said = words.split("-") if mark else []
        weights = [word for word in said if word in WEIGHTS_KINDS]
        checkpoints = [word for word in said if word in CHECKPOINT_KINDS]
        if len(weights) > 1 or len(checkpoints) > 1 or len(weights) + len(checkpoints) != len(said):
            raise ConfigError(
                f"{reference!r} names no weights of a run; write RUN, or behind a # one or two of "
                f"{', '.join(_WORDS)}, such as {name}#last or {name}#last-ema"
            )
        run = store.find(name)
        return cls(run, *weights) if not checkpoints else cls(run, "".join(weights), checkpoints[0])

    @property
    def reference(self) -> str:
        """Name them by the run's id."""
        words = [*([] if self.checkpoint == "best" else [self.checkpoint]), *filter(None, [self.weights])]
        return f"{self.run.id}#{'-'.join(words)}" if words else self.run.id

    def kind(self) -> tuple[str, str]:
        """Return weights and checkpoint, now that the run has some."""
        from cfa.evaluation import default_weights

        weights = self.weights or default_weights(self.run)
        return weights, "file" if weights == "file" else self.checkpoint


def with_whole_names(store: Store, config: RunConfig) -> RunConfig:
    """Return a configuration whose start and teacher are a run's id or a whole path.

    Raises:
        UnknownName: One of them is neither a file nor a run.
    """
    start = None if config.init is None else _file(config.init) or store.find(config.init).id
    teacher = None if config.teacher is None else _file(config.teacher) or _taught_by(store, config.teacher)
    return config.model_copy(update={"init": start, "teacher": teacher})


def _file(reference: str) -> str:
    """Return a weights file by its whole path; empty where it is none."""
    from cfa.models import WeightsFile

    file = WeightsFile.of(reference)
    return str(WeightsFile(whole_path(file.path), file.key)) if leads_to_file(file.path) else ""


def _names_file(reference: str) -> bool:
    """Tell the same without torch, which pages do not load."""
    before = reference.rpartition("#")[0]
    return leads_to_file(typed_path(reference)) or (bool(before) and leads_to_file(typed_path(before)))


def _taught_by(store: Store, reference: str) -> str:
    return KeptBy.of(store, reference).reference


def start_run(store: Store, config: RunConfig) -> RunFolder | None:
    """Find the run that a configuration starts from; ``None`` where it is a file, or there is none."""
    return None if config.init is None or _names_file(config.init) else store.find(config.init)


def _found(store: Store, role: str, reference: str) -> "KeptBy":
    """Find a run that a training is made from.

    Raises:
        ConfigError: It is gone: whoever resumes a training did not type that id, and is told whose it is.
    """
    try:
        return KeptBy.of(store, reference)
    except UnknownName as error:
        raise ConfigError(
            f"its {role}, run {reference}, is not there any more; bring its folder back or import it again"
        ) from error


def teacher_run(store: Store, config: RunConfig) -> RunFolder | None:
    """Find the run that a configuration learns from; ``None`` where it is a file, or there is none."""
    if config.teacher is None or _names_file(config.teacher):
        return None
    return KeptBy.of(store, config.teacher).run


def teacher_network(store: Store, config: RunConfig) -> str:
    """Name the network of a teacher, by which time is estimated: a file holds the run's own network."""
    try:
        run = teacher_run(store, config)
    except (UnknownName, ConfigError):
        return config.model
    model = config.model if run is None else run.config.model
    return model if trust.is_allowed(model) and not trust.is_import_name(model) else config.model


def start_refusal(config: RunConfig) -> str:
    """Say why a configuration does not train without a start; empty where it does.

    Trained from random weights, for a few epochs at a small rate, it would be hours for a network that knows
    nothing: not what anybody asks for by the method's name.
    """
    from cfa.methods import METHODS

    if config.init is not None or not METHODS[config.method].fine_tunes:
        return ""
    plain = METHODS[config.method].compared_with
    return (
        f"{config.method} goes on from a trained network, and from random weights it is another method; name "
        f"a run or a weights file as its start (--init RUN), of {plain} for example"
    )


def teacher_refusal(store: Store, config: RunConfig) -> str:
    """Say why no job can train a configuration with its teacher, as far as that is known; empty where it can.

    Of a file, and of data that nobody has looked at, it is known when the job begins.
    """
    from cfa.data import dataset_info
    from cfa.methods import METHODS
    from cfa.training.refusals import unfit_to_teach

    if config.teacher is None:
        if not METHODS[config.method].needs_teacher:
            return ""
        return (
            f"{config.method} learns from a trained network; name a run or a weights file as its teacher "
            "(--teacher RUN)"
        )
    run = teacher_run(store, config)
    dataset = config.dataset
    known = run.manifest.model if run and run.manifest else {}
    channels, side, classes = map(known.get, ("channels", "image_size", "num_classes"))
    if run is None or not (isinstance(channels, int) and isinstance(side, int) and isinstance(classes, int)):
        return ""
    if trust.is_import_name(dataset) or not trust.is_allowed(dataset):
        return ""
    info = dataset_info(dataset, store.data_folder)
    return unfit_to_teach(run.name, (channels, side, classes), (info.channels, info.image_size, info.classes))


# When the job begins ---------------------------------------------------------------------------------------


def initial_weights(store: Store, run: RunFolder) -> "tuple[Mapping[str, Tensor] | None, Origin | None]":
    """Read the weights that a run starts from, and whose they are; none where it goes on from its state.

    Raises:
        ConfigError: The run that is named is gone.
        UnknownName: It kept no such weights.
    """
    if run.config.init is None or run.state_file.exists():
        return None, None
    from cfa.methods import passes_an_epoch
    from cfa.models import WeightsFile, load_weights, weights_hash
    from cfa.runs.origins import origin_of_file, origin_of_run

    file = WeightsFile.of(run.config.init)
    if file.path.is_file():
        tensors = load_weights(file.path)
        return tensors, origin_of_file(file.path.name, run.config.model, weights_hash(tensors))
    source = _found(store, "start", run.config.init)
    weights, checkpoint = source.kind()
    tensors = load_weights(require_weights(source.run, weights, checkpoint))
    an_epoch = passes_an_epoch(source.run.config)
    return tensors, origin_of_run(store, source.run, weights, checkpoint, weights_hash(tensors), an_epoch)


def teacher_of(store: Store, run: RunFolder, dataset: "Dataset", device: "torch.device") -> "Teacher | None":
    """Load the network that a run learns from.

    Raises:
        ConfigError: The run that is named is gone.
        UnknownName: It kept no such weights.
        CheckpointError: A file is damaged, or is not of the run's own network.
    """
    config = run.config
    if config.teacher is None:
        return None
    from cfa.evaluation.class_order import class_names_finding
    from cfa.evaluation.loading import load_kept, model_spec
    from cfa.methods import passes_an_epoch
    from cfa.models import WeightsFile, for_training
    from cfa.runs.origins import origin_of_run
    from cfa.training.teachers import Teacher

    file = WeightsFile.of(config.teacher)
    if leads_to_file(file.path):
        return _teacher_in_a_file(file, config, dataset, device)
    source = _found(store, "teacher", config.teacher)
    weights, checkpoint = source.kind()
    with Trusted.of(store).allowing(source.run.id):
        loaded = load_kept(source.run, weights, checkpoint, device)
    an_epoch = passes_an_epoch(source.run.config)
    origin = origin_of_run(store, source.run, weights, checkpoint, loaded.identity.hash, an_epoch)
    if finding := class_names_finding(source.run.class_names, dataset):
        raise ConfigError(f"teacher {source.run.name!r} answers for other classes: {finding}")
    network = for_training(loaded.model, device).requires_grad_(False)
    return Teacher(network=network, spec=model_spec(source.run), origin=origin)


def _teacher_in_a_file(
    file: "WeightsFile", config: RunConfig, dataset: "Dataset", device: "torch.device"
) -> "Teacher":
    """Read a file as the run's own network; unless it keeps a normalisation it takes images as they are."""
    from cfa.models import (
        ModelSpec,
        build_model,
        for_training,
        head_of,
        in_eval_mode,
        load_into,
        load_weights,
        weights_hash,
    )
    from cfa.runs.origins import origin_of_file
    from cfa.training.teachers import Teacher

    zeros, ones = (0.0,) * dataset.channels, (1.0,) * dataset.channels
    tensors = load_weights(file.path)
    shape = (dataset.channels, dataset.num_classes, dataset.image_size)
    spec = ModelSpec(*shape, zeros, ones, head_of(tensors))
    network = build_model(config.model, spec, seed=0)
    try:
        load_into(network, tensors, str(file), key=file.key, normalise_missing_ok=True)
    except CheckpointError as error:
        raise CheckpointError(
            f"as a teacher {error}; a file is read as the run's own network {config.model}: of another one "
            "make a run (cfa evaluate FILE --model NAME) and name that"
        ) from error
    ready = in_eval_mode(for_training(network.float(), device)).requires_grad_(False)
    origin = origin_of_file(file.path.name, config.model, weights_hash(tensors))
    return Teacher(network=ready, spec=spec, origin=origin)
