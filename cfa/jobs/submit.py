"""From a wish to jobs in the queue."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cfa import trust
from cfa.config import RunConfig
from cfa.errors import CfaError, ConfigError, StoreError
from cfa.jobs.job import jobs_like
from cfa.jobs.kinds.compare_runs import CompareRuns
from cfa.jobs.kinds.evaluate_run import EvaluateRun
from cfa.jobs.kinds.fetch_dataset import FetchDataset
from cfa.jobs.kinds.reproduce_images import ReproduceImages
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.made_from import start_refusal, start_run, teacher_refusal, teacher_run, with_whole_names
from cfa.jobs.queue import Job, Queue
from cfa.runs.folder import RunFolder, require_weights
from cfa.runs.store import Store
from cfa.runs.trusted import Trusted, code_of
from cfa.statistics import Targets
from cfa.weights_identity import NO_GRADIENT

if TYPE_CHECKING:
    from cfa.evaluation import EvaluationPlan


_COMING = ("queued", "running", "paused")
"""States of a job that is still to make weights."""


def submit_training(
    store: Store,
    queue: Queue,
    config: RunConfig,
    *,
    name: str | None = None,
    tags: tuple[str, ...] = (),
    notes: str = "",
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
        config: What the run is; runs named by ``init`` and ``teacher`` are stored by their ids.
        name: The run's name; one is found where there is none.
        tags: The run's tags.
        notes: The run's notes.
        after: Jobs that must be done before.
        device: Where to train; ``None`` takes any.
        test: End with the closing test evaluation of the best weights of every kind.
        estimate_seconds: How long it will take, if that was measured.
        foreground: The caller carries out the job itself.

    Raises:
        ConfigError: The name is taken, or not usable; the method lacks a start or a teacher, or has
            a teacher of other images.
        UnknownName: The data set, the model, or the run to start from or to learn from does not exist.
        DataError: The data set is a folder that is not there.
        Untrusted: It names somebody's code that nobody typed (`cfa.trust`).
    """
    config = check_names(store, config)
    _refuse_missing(config.dataset)
    if why := start_refusal(config) or teacher_refusal(store, config):
        raise ConfigError(why)
    if (teacher := teacher_run(store, config)) is not None:  # its network is built by the job
        Trusted.of(store).require(teacher.id, [teacher.config.model])
    run, work = store.create(config, name, tags, notes), TrainRun(test=test)
    try:
        job = queue.submit(
            work,
            work.title(store, run.name),
            after=()
            if foreground
            else tuple(dict.fromkeys([*after, *_trainings_of_sources(store, queue, config)])),
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
    """Return the configuration with its start and its teacher fixed, and refuse names that nobody knows."""
    from cfa.data import DATASETS, full_name
    from cfa.methods import METHODS
    from cfa.models import MODELS

    config = config.model_copy(update={"dataset": full_name(config.dataset)})
    for registry, name in ((METHODS, config.method), (DATASETS, config.dataset), (MODELS, config.model)):
        registry[name]
    return with_whole_names(store, config)


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
    until: Targets | None = None,
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
        after: Jobs that must be done before; a run without weights waits for its own training as well.
        device: Where to evaluate; ``None`` takes any.
        dataset: A data set other than the run's own.
        until: What has to be certain before it stops; by default all images are attacked.
        foreground: The caller carries out the job itself.

    Raises:
        ConfigError: The run ships with the project and cannot be written to, an attack cannot take the
            images, or the plan cannot be stopped early.
        UnknownName: The run has finished without weights of this kind.
        CheckpointError: It is a model without a gradient, and the plan has attacks that need one.
        DataError: The data set is a folder that is not there.
    """
    from cfa.data import full_name

    _refuse_impossible(run, weights, checkpoint, plan, dataset, until)
    names = (
        run.config.model,
        dataset or run.config.dataset,
        *plan.attacks,
        *_model_of(store, plan.transfer_from),
    )
    work = EvaluateRun.of(
        plan, weights=weights, checkpoint=checkpoint, dataset=dataset and full_name(dataset), until=until
    )
    with Trusted.of(store).allowing(run.id, *work.runs_read()):
        _refuse_missing(dataset or run.config.dataset)
        return queue.submit(
            work,
            work.title(store, run.name),
            after=tuple(dict.fromkeys([*after, *([] if foreground else _trainings_to_come(queue, run))])),
            device=device,
            run_id=run.id,
            foreground=foreground,
            typed=trust.outside_names(names),
        )


def _trainings_of_sources(store: Store, queue: Queue, config: RunConfig) -> list[str]:
    """Name the jobs that still train a run's start or its teacher, whose best weights may be to come."""
    sources = {run.id for run in (start_run(store, config), teacher_run(store, config)) if run is not None}
    return [job.id for job in queue.of_runs(sources) if job.trains and job.state in _COMING]


def _trainings_to_come(queue: Queue, run: RunFolder) -> list[str]:
    """Name the jobs that are to make a run's first weights; none where there are some to evaluate."""
    if run.kept_weights():
        return []
    return [job.id for job in queue.of_runs([run.id]) if job.trains and job.state in _COMING]


def _refuse_missing(dataset: str) -> None:
    """Refuse a data set that nobody knows or that is not there; nothing is looked at unasked."""
    from cfa.data import refuse_missing

    if trust.is_allowed(dataset) and not trust.is_import_name(dataset):  # whoever does the job imports that
        refuse_missing(dataset)


def _refuse_impossible(
    run: RunFolder,
    weights: str,
    checkpoint: str,
    plan: "EvaluationPlan",
    dataset: str | None,
    until: Targets | None,
) -> None:
    """Refuse an evaluation of a run that cannot be made, before there is a job."""
    from cfa.evaluation import require_stoppable

    if until is not None:
        require_stoppable(plan)
    if run.read_only and run.aside is None:
        raise ConfigError(
            f"run {run.name!r} ships with CFA Studio and cannot be changed; evaluate one of its weights "
            f"files instead: {run.path / 'weights'}"
        )
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
        ConfigError: The run is read-only and of no store that images could go to, or no image is named.
        StoreError: There is no such evaluation, or it does not say how it was made.
    """
    from cfa.runs.evaluations import outcomes_file, read_evaluation, ships

    if ships(run, evaluation_id) and run.aside is None:
        raise ConfigError(f"run {run.name!r} ships with CFA Studio and cannot be changed; evaluate it anew")
    if not images:
        raise ConfigError("no image is named; name at least one to make again")
    evaluation = read_evaluation(run, evaluation_id)
    if not evaluation.plan or not outcomes_file(run, evaluation_id).with_name("batches.parquet").exists():
        raise StoreError(f"evaluation {evaluation_id} does not say how it was made; evaluate again")
    attacks = evaluation.plan.get("attacks", ())
    texts = attacks if isinstance(attacks, list | tuple) else ()  # a plan of others may say anything
    names = (run.config.model, evaluation.dataset_to_load, *texts)
    asked = {"evaluation": evaluation_id, "column": column, "images": [int(image) for image in images]}
    work = ReproduceImages.asked(asked)  # a column of somebody else's outcomes may be called anything
    with Trusted.of(store).allowing(run.id):
        return queue.submit(
            work,
            work.title(store, run.name),
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
    work = FetchDataset.asked({"dataset": dataset})
    for job in jobs_like(queue.jobs(), work):
        if job.state in ("queued", "running") and not foreground:
            return job
    return queue.submit(
        work,
        work.title(store, ""),
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
    others = [run.id for run in runs if run.id != baseline.id]
    work = CompareRuns(runs=(baseline.id, *others), baseline=baseline.id)
    return queue.submit(work, work.title(store, ""), after=after)
