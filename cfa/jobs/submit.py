"""From a wish to jobs in the queue."""

import dataclasses
import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfa import trust
from cfa.config import RunConfig
from cfa.errors import CfaError, CheckpointError, ConfigError, DataError, StoreError
from cfa.jobs.queue import Job, Queue
from cfa.results.listing import readable_runs
from cfa.results.runs import RunFolder, require_weights
from cfa.results.store import Store
from cfa.results.trusted import Trusted, code_of
from cfa.stored import is_file
from cfa.typed_paths import leads_to_file, whole_path
from cfa.weights_identity import CAME_AS, NO_GRADIENT

if TYPE_CHECKING:
    from cfa.data import Dataset
    from cfa.evaluation import EvaluationPlan
    from cfa.models import ModelSpec, NormalisedModel, Reading, WeightsFile

DEMO_DATASET = "fashion-mnist-mini"
SAME_NORMALISATION = 0.005  # pixels in [0, 1]: the field writes 0.4914 where others have 0.49139968
DEMO_METHODS = ("pgd-at", "pgd-at-cfa", "trades", "trades-cfa")


def submit_training(
    store: Store,
    queue: Queue,
    config: RunConfig,
    *,
    name: str | None = None,
    tags: tuple[str, ...] = (),
    after: Sequence[str] = (),
    device: str | None = None,
    test: bool = True,
    estimate_seconds: float | None = None,
    foreground: bool = False,
) -> tuple[RunFolder, list[Job]]:
    """Make a run's folder, which takes its name, and a job that trains it.

    Args:
        store: Where runs are.
        queue: Where the job goes.
        config: What the run is; a run named by ``init`` is stored by its id.
        name: The run's name; one is found where there is none.
        tags: The run's tags.
        after: Jobs that must be done before.
        device: Where to train; ``None`` takes any.
        test: End with the closing test evaluation of the best weights of every kind.
        estimate_seconds: How long it will take, if that was measured.
        foreground: The caller carries out the job itself.

    Raises:
        ConfigError: The name is taken, or not usable.
        UnknownName: The data set, the model, or the run to start from does not exist.
        Untrusted: It names somebody's code that nobody typed (`cfa.trust`).
    """
    config = check_names(store, config)
    run = store.create(config, name, tags)
    try:
        job = queue.submit(
            "train",
            {"test": test},
            f"train {run.name}",
            after=after,
            device=device,
            estimate_seconds=estimate_seconds,
            run_id=run.id,
            foreground=foreground,
            typed=code_of(config),
        )
    except CfaError:  # a full disk, for example: no run without its job stays behind
        run.delete()
        raise
    return run, [job]


def check_names(store: Store, config: RunConfig) -> RunConfig:
    """Return the configuration with its start fixed; unknown names are errors before anything is made."""
    from cfa.data import DATASETS, full_name
    from cfa.methods import METHODS
    from cfa.models import MODELS, WeightsFile

    config = config.model_copy(update={"dataset": full_name(config.dataset)})
    for registry, name in ((METHODS, config.method), (DATASETS, config.dataset), (MODELS, config.model)):
        registry[name]
    if config.init is None:
        return config
    file = WeightsFile.of(config.init)
    if leads_to_file(file.path):
        start = str(WeightsFile(whole_path(file.path), file.key))
    else:
        start = store.find(config.init).id
    return config.model_copy(update={"init": start})


def submit_evaluation(
    store: Store,
    queue: Queue,
    run: RunFolder,
    *,
    weights: str,
    checkpoint: str,
    plan: "EvaluationPlan",
    after: Sequence[str] = (),
    device: str | None = None,
    dataset: str | None = None,
    foreground: bool = False,
) -> Job:
    """Add a job that evaluates weights of a run.

    Args:
        store: Where runs are.
        queue: Where the job goes.
        run: The run, which need not be trained yet.
        weights: ``online``, ``ema``, ``fawa``, ``file``, or ``auto`` (decided when the job starts).
        checkpoint: ``best`` or ``last``.
        plan: Attacks, budget and number of images.
        after: Jobs that must be done before.
        device: Where to evaluate; ``None`` takes any.
        dataset: A data set other than the run's own.
        foreground: The caller carries out the job itself.

    Raises:
        ConfigError: The run ships with the project and cannot be written to, or an attack cannot take the
            images.
        UnknownName: The run has finished without weights of this kind.
        CheckpointError: It is a model without a gradient, and the plan has attacks that need one.
    """
    if run.read_only:
        raise ConfigError(
            f"run {run.name!r} ships with CFA Studio and cannot be changed; evaluate one of its weights "
            f"files instead: {run.path / 'weights'}"
        )
    from cfa.data import full_name

    if dataset is None and run.manifest is not None:
        channels, side, classes = map(run.manifest.model.get, ("channels", "image_size", "num_classes"))
        if isinstance(channels, int) and isinstance(side, int) and isinstance(classes, int):
            plan.check_images(channels, side, classes)
    if weights not in ("auto", "file") and run.status.state == "finished":
        require_weights(run, weights, checkpoint)
    if (file := run.weights_file("file", "file")).exists():
        from cfa.evaluation import require_gradient
        from cfa.models import load_metadata

        require_gradient(plan, load_metadata(file).get(NO_GRADIENT, ""))
    names = (
        run.config.model,
        dataset or run.config.dataset,
        *plan.attacks,
        *_model_of(store, plan.transfer_from),
    )
    with Trusted.of(store).allowing(run.id, plan.transfer_from):
        return queue.submit(
            "evaluate",
            {
                "weights": weights,
                "checkpoint": checkpoint,
                "plan": dataclasses.asdict(plan),
                "dataset": dataset and full_name(dataset),
            },
            f"evaluate {run.name} ({', '.join(plan.attacks)})",
            after=after,
            device=device,
            run_id=run.id,
            foreground=foreground,
            typed=trust.outside_names(names),
        )


def _model_of(store: Store, run_id: str | None) -> tuple[str, ...]:
    """Return the model of the run that ``transfer`` takes images from, where there is one."""
    return (store.find(run_id).config.model,) if run_id is not None else ()


def submit_reproduction(
    store: Store,
    queue: Queue,
    run: RunFolder,
    evaluation_id: str,
    column: str,
    images: Sequence[int],
    *,
    device: str | None = None,
) -> Job:
    """Add a job that makes adversarial images of an evaluation again.

    Args:
        store: Where runs are.
        queue: Where the job goes.
        run: The run that was evaluated.
        evaluation_id: Which of its evaluations.
        column: A column of its outcomes: an attack, or a member of a composite one.
        images: Positions in the test part.
        device: Where; ``None`` takes any.

    Raises:
        ConfigError: The run ships with the project and cannot be written to, or no image is named.
        StoreError: There is no such evaluation, or it does not say how it was made.
    """
    from cfa.results.evaluations import outcomes_file, read_evaluation

    if run.read_only:
        raise ConfigError(f"run {run.name!r} ships with CFA Studio and cannot be changed; evaluate it anew")
    if not images:
        raise ConfigError("no image is named; name at least one to make again")
    evaluation = read_evaluation(run, evaluation_id)
    names = (run.config.model, evaluation.dataset_to_load, *evaluation.plan.get("attacks", ()))
    if not evaluation.plan or not outcomes_file(run, evaluation_id).with_name("batches.parquet").exists():
        raise StoreError(f"evaluation {evaluation_id} does not say how it was made; evaluate again")
    with Trusted.of(store).allowing(run.id):
        return queue.submit(
            "reproduce",
            {"evaluation": evaluation_id, "column": column, "images": [int(image) for image in images]},
            f"make {len(images)} images of {run.name} ({column}) again",
            device=device,
            run_id=run.id,
            typed=trust.outside_names(names),
        )


def submit_fetch(
    store: Store, queue: Queue, dataset: str, *, device: str | None = None, foreground: bool = False
) -> Job:
    """Add a job that downloads a data set; one that waits or runs already is returned instead.

    Args:
        store: Where data sets go.
        queue: Where the job goes.
        dataset: The data set's name.
        device: Whose worker fetches it; ``None`` takes any.
        foreground: The caller carries out the job itself.

    Raises:
        UnknownName: No data set has that name.
        ConfigError: It is here already, or is not to be had by a download.
    """
    from cfa.data import dataset_info

    info = dataset_info(dataset, store.data_folder)
    if info.available:
        raise ConfigError(f"data set {dataset!r} is here already; there is nothing to fetch")
    if not info.download_bytes:
        raise ConfigError(f"data set {dataset!r} cannot be fetched; {info.how_to_get}")
    for job in queue.jobs():
        same = job.kind == "fetch" and job.spec["dataset"] == dataset
        if same and job.state in ("queued", "running") and not foreground:
            return job
    return queue.submit(
        "fetch",
        {"dataset": dataset},
        f"fetch {dataset} ({info.download_bytes / 1e6:,.0f} MB)",
        device=device,
        foreground=foreground,
        typed=trust.outside_names([dataset]),
    )


def submit_comparison(
    store: Store, queue: Queue, runs: Sequence[RunFolder], baseline: RunFolder, after: Sequence[str] = ()
) -> Job:
    """Add a job that compares runs and writes the tables to ``CFA_HOME/comparisons/<job id>/``."""
    if len({run.id for run in [*runs, baseline]}) < 2:
        raise ConfigError(f"a comparison needs two runs or more, and this names {baseline.name!r} alone")
    others = [run for run in runs if run.id != baseline.id]
    return queue.submit(
        "compare",
        {"runs": [baseline.id, *(run.id for run in others)], "baseline": baseline.id},
        f"compare {', '.join(run.name for run in others)} with {baseline.name}",
        after=after,
    )


def submit_demo(
    store: Store, queue: Queue, *, preset_overrides: Mapping[str, Any] | None = None
) -> list[Job]:
    """Queue the demo: PGD-AT and TRADES, each without and with CFA, then a comparison with TRADES.

    Args:
        store: Where runs are.
        queue: Where the jobs go.
        preset_overrides: Settings by dotted name that shorten the demo (``{"train.epochs": 2}``).
    """
    from cfa.methods import configure

    runs, jobs = [], []
    for method in DEMO_METHODS:
        config = configure(
            method, DEMO_DATASET, model="small-cnn", preset="demo", overrides=preset_overrides or {}
        )
        run, made = submit_training(
            store, queue, config, name=store.free_name(f"demo {method}"), tags=("demo",)
        )
        runs.append(run)
        jobs += made
    baseline = runs[DEMO_METHODS.index("trades")]
    jobs.append(submit_comparison(store, queue, runs, baseline, after=[job.id for job in jobs]))
    return jobs


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
    from cfa.models import load_into, load_weights, weights_type

    foreign = _Foreign.of(store, dataset, model or default_model(dataset), normalize)
    weights = load_weights(file.path)
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
    def of(cls, store: Store, dataset: str, model: str, normalize: str) -> "_Foreign":
        from cfa.data import dataset_info, full_name, load_dataset
        from cfa.models import build_model

        dataset = full_name(dataset)
        info = dataset_info(dataset, store.data_folder)
        if not info.available:  # a download without a word would look like a program that hangs
            command = shlex.join(["cfa", "fetch", dataset])
            raise DataError(f"data set {dataset!r} is not here; fetch it first: {command}")
        data = load_dataset(dataset, store.data_folder)
        spec = _model_spec(data, normalize)
        config = RunConfig(method="external", dataset=dataset, model=model, preset="external")
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
    config = RunConfig(method="external", dataset=data.name, model=model, preset="external")
    run = _external_run(store, config, data, {}, name)
    run.write_status("finished", 0, "evaluated from Python; its weights are not kept here")
    return run


def _external_run(
    store: Store, config: RunConfig, data: "Dataset", spec: Mapping[str, Any], name: str
) -> RunFolder:
    from cfa.results.runs import Manifest, now
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
