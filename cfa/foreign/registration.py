"""Weights of others, and models that their own code makes, as runs: read once, checked, written down."""

import dataclasses
import hashlib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfa.config import EXTERNAL, RunConfig
from cfa.errors import CheckpointError, ConfigError, DataError
from cfa.foreign.references import ModelFactory
from cfa.runs.folder import Manifest, RunFolder, now
from cfa.runs.listed import readable_runs
from cfa.runs.store import Store
from cfa.runs.trusted import Trusted, code_of
from cfa.stored import is_file
from cfa.weights_identity import CAME_AS, NO_GRADIENT

if TYPE_CHECKING:
    from cfa.data import Dataset
    from cfa.models import ModelSpec, NormalisedModel, Reading, WeightsFile

SAME_NORMALISATION = 0.005  # pixels in [0, 1]: the field writes 0.4914 where others have 0.49139968


def register(
    store: Store,
    source: "WeightsFile | ModelFactory",
    dataset: str,
    model: str | None = None,
    normalize: str = "none",
    name: str | None = None,
) -> RunFolder:
    """Take a model of others into the store: see :func:`register_weights` and :func:`register_factory`.

    Args:
        store: Where runs are.
        source: A file, or code that makes a model (`cfa.foreign.references`).
        dataset: The data set that the model is for.
        model: The network of a file; a factory makes its own.
        normalize: Done before the model sees an image; see :func:`register_weights`.
        name: The run's name, by default after the source.
    """
    if isinstance(source, ModelFactory):
        return register_factory(store, source.name, dataset, normalize, name)
    return register_weights(store, source, dataset, model, normalize, name)


def register_weights(
    store: Store,
    file: "WeightsFile",
    dataset: str,
    model: str | None = None,
    normalize: str = "none",
    name: str | None = None,
) -> RunFolder:
    """Take someone else's weights into the store, as a run with one kind of weights and checkpoint, ``file``.

    The file is checked against the network before anything is written. The same file, read in the same way,
    is the run that it became before. What was taken from it is the message of the run's status.

    Args:
        store: Where runs are.
        file: ``.safetensors``, ``.pt`` or ``.pth``; never unpickled.
        dataset: The data set that the weights are for.
        model: The network, by default the data set's usual one.
        normalize: ``none``, ``dataset`` (mean and standard deviation of its training images), or MEAN/STD,
            numbers per channel separated by commas (``0.49,0.48,0.44/0.2,0.2,0.2``).
        name: The run's name, by default the file's.

    Raises:
        CheckpointError: The file is damaged, or does not fit the network.
        ConfigError: ``normalize`` cannot be read, or is not what the file does; or the name is taken.
        DataError: ``normalize`` asks for training images and the data set has none.
    """
    from cfa.methods import default_model
    from cfa.models import head_of, load_into, load_weights, weights_type

    weights = load_weights(file.path)
    foreign = _Foreign.of(store, dataset, model or default_model(dataset), normalize, head_of(weights))
    reading = load_into(foreign.network, weights, str(file), key=file.key, normalise_missing_ok=True)
    foreign.check_normalisation(reading, file.path)
    with file.path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    free = _free_name(store, f"{file.path.stem}-{file.key}" if file.key else file.path.stem)
    kind = weights_type(weights.values())
    return foreign.registered(store, file.path.name, digest, name or free, kind, reading)


def register_factory(
    store: Store, factory: str, dataset: str, normalize: str = "none", name: str | None = None
) -> RunFolder:
    """Take the model that someone's own ``package.module:factory`` makes into the store, weights included.

    The factory takes nothing and returns a whole model that maps images in [0, 1] to logits, or takes a
    :class:`cfa.models.ModelSpec`. What it returns now is what is evaluated, also after its file has changed.
    The same weights, read in the same way, are the run that they became before.

    Args:
        store: Where runs are.
        factory: Its import name.
        dataset: The data set that the model is for.
        normalize: Done before the model sees an image; see :func:`register_weights`.
        name: The run's name, by default the factory's.

    Raises:
        UnknownName: The factory cannot be imported.
        ConfigError: It cannot be called so, or returns no network.
    """
    import torch

    foreign = _Foreign.of(store, dataset, factory, normalize)
    network = foreign.network.network
    if isinstance(network, torch.jit.ScriptModule) and not network.state_dict():
        raise ConfigError(
            f"{factory!r} returns a network that keeps its weights as constants (torch.jit.freeze), where "
            "they cannot be stored; return it as it was before"
        )
    weights, digest = foreign.network.state_dict(), hashlib.sha256()
    for key, tensor in sorted(weights.items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # By way of uint8, since numpy does not know bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    free = name or _free_name(store, factory.replace(":", "."))
    return foreign.registered(store, factory, digest.hexdigest(), free)


@dataclasses.dataclass(frozen=True)
class _Foreign:
    """Someone else's network, about to become a run."""

    config: RunConfig
    data: "Dataset"
    spec: "ModelSpec"
    normalize: str
    network: "NormalisedModel"

    @classmethod
    def of(cls, store: Store, dataset: str, model: str, normalize: str, head: str = "linear") -> "_Foreign":
        from cfa.data import dataset_info, full_name, load_dataset
        from cfa.models import build_model

        dataset = full_name(dataset)
        info = dataset_info(dataset, store.data_folder)
        if not info.available:  # a download without a word would look like a program that hangs
            command = shlex.join(["cfa", "fetch", dataset])
            raise DataError(f"data set {dataset!r} is not here; fetch it first: {command}")
        data = load_dataset(dataset, store.data_folder)
        spec = dataclasses.replace(_model_spec(data, normalize), head=head)
        config = RunConfig(method=EXTERNAL, dataset=dataset, model=model, preset="external")
        return cls(config, data, spec, normalize, build_model(model, spec, 0))

    def check_normalisation(self, reading: "Reading", file: Path) -> None:
        """Refuse a normalisation that was asked for and is not the one that the file keeps."""
        if reading.mean is None or reading.std is None or self.normalize == "none":
            return
        pairs = zip((*reading.mean, *reading.std), (*self.spec.mean, *self.spec.std), strict=True)
        if any(abs(own - asked) > SAME_NORMALISATION for own, asked in pairs):
            own, asked = (
                "/".join(",".join(f"{value:.4g}" for value in values) for values in pair)
                for pair in ((reading.mean, reading.std), (self.spec.mean, self.spec.std))
            )
            raise ConfigError(
                f"{file} normalises images itself, by {own}, and normalize={self.normalize!r} asks for "
                f"{asked}; leave that out, or choose none"
            )

    def registered(
        self,
        store: Store,
        source: str,
        digest: str,
        name: str,
        came_as: str = "",
        reading: "Reading | None" = None,
    ) -> RunFolder:
        """Write it down as a run if it can be evaluated, or find the run that it became before."""
        from cfa.evaluation import admitted
        from cfa.models import save_weights

        admission = admitted(self.network, self.data)
        origin = {"source": source, "sha256": digest, "normalize": self.normalize}
        said = ""
        if reading is not None:
            said = reading.said(source)
            origin |= {"branch": reading.branch, "reading": said}
        known = _registered(store, self.config, origin)
        if known is not None:
            return known
        run = _external_run(store, self.config, self.data, dataclasses.asdict(self.spec), name)
        Trusted.of(store).remember(run.id, code_of(self.config))
        seen = {NO_GRADIENT: admission.no_gradient, CAME_AS: admission.came_as or came_as}
        save_weights(run.weights_file("file", "file"), self.network.state_dict(), origin | seen)
        run.write_status("finished", 0, "; ".join(filter(None, (f"weights from {source}", said))))
        return run


def register_model(store: Store, model: str, data: "Dataset", name: str) -> RunFolder:
    """Make a run for evaluations of a model that only its owner can build: it keeps no weights.

    Args:
        store: Where runs are.
        model: What to call its architecture.
        data: The data set that it is evaluated on.
        name: The run's name.
    """
    config = RunConfig(method=EXTERNAL, dataset=data.name, model=model, preset="external")
    run = _external_run(store, config, data, {}, name)
    run.write_status("finished", 0, "evaluated from Python; its weights are not kept here")
    return run


def _external_run(
    store: Store, config: RunConfig, data: "Dataset", spec: Mapping[str, Any], name: str
) -> RunFolder:
    from cfa.training.provenance import code_version, package_versions

    run = store.create(config, name, ("external",))
    run.write_manifest(
        Manifest(
            created=now(),
            code_version=code_version(),
            packages=package_versions(),
            device="",
            threads=0,
            data_fingerprint=data.fingerprint,
            class_names=data.class_names,
            train_counts=(),
            val_counts=(),
            model=dict(spec),
        )
    )
    return run


def _registered(store: Store, config: RunConfig, origin: Mapping[str, str]) -> RunFolder | None:
    """Find the run that the same file, read in the same way, became before."""
    from cfa.models import load_metadata

    for run in readable_runs(store):
        file = run.folder.weights_file("file", "file")
        if is_file(file) and run.config == config:
            try:
                metadata = load_metadata(file)
            except CheckpointError:  # damaged since: then it is not the same any more
                continue
            same = all(metadata.get(key) == origin[key] for key in ("sha256", "normalize"))
            # Of older runs nobody wrote down the branch; a file had to have one only.
            if same and metadata.get("branch", origin.get("branch")) == origin.get("branch"):
                return run.folder
    return None


def _model_spec(data: "Dataset", normalize: str) -> "ModelSpec":
    from cfa.models import ModelSpec, channel_statistics

    if normalize == "none":
        mean: tuple[float, ...] = (0.0,) * data.channels
        std: tuple[float, ...] = (1.0,) * data.channels
    elif normalize == "dataset":
        data.require_training_images()
        mean, std = channel_statistics(data.train_images)
    else:
        try:
            mean, std = (tuple(float(n) for n in part.split(",")) for part in normalize.split("/"))
        except ValueError as error:
            raise ConfigError(
                f"normalize={normalize!r} cannot be read; write none, dataset, or MEAN/STD such as "
                "0.49,0.48,0.45/0.2,0.2,0.2"
            ) from error
    return ModelSpec(data.channels, data.num_classes, data.image_size, mean, std)


def _free_name(store: Store, source: str) -> str:
    return store.free_name(re.sub(r"[^\w.+-]+", "-", source).strip("-.")[:60] or "weights")
