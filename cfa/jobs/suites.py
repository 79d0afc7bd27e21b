"""Suites: a table of the literature (or of ours) as a file that anyone can run again.

    title = "..."
    dataset = "fashion-mnist-mini"  # or datasets = [...]
    model = "small-cnn"             # optional, like preset
    preset = "demo"
    methods = ["trades", "trades-cfa", "frl"]
    seeds = [0, 1, 2]
    prefix = "mine"                 # optional: runs are called mine-trades-s0, ...
    published = ["cfa-table1"]      # optional: benchmarks/published/NAME.json, for the report

    [settings]                      # optional; a list makes a grid; methods without a setting skip it
    "train.epochs" = 20
    [by_method.frl]                 # optional, over [settings]; so is [by_dataset."cifar10-lt"]
    "train.epochs" = 5

    [init]                          # optional: where the runs of a method start
    frl = "trades"                  # a method of the suite (same seed and data set), a run or a weights file

    [[evaluations]]                 # optional, besides the closing test of every training
    methods = ["trades"]            # by default all
    attacks = ["pgd-100"]
    weights = ["online", "fawa"]    # or "auto"
    checkpoints = ["best", "last"]
    eps = "8/255"                   # by default the run's own

A run that exists already with the same configuration is recognised and not trained twice, nor is an
evaluation made twice; what was interrupted goes on.
"""

import math
import reprlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cfa import trust
from cfa.config import CheckpointKind, RunConfig, distinct_seeds
from cfa.errors import CfaError, ConfigError
from cfa.jobs.queue import RESUMABLE, Job, Queue
from cfa.jobs.submit import check_names, submit_evaluation, submit_training
from cfa.jobs.suite_words import LARGEST_FILE, MOST_RUNS, DatasetWord, Prefix, Word, check_depth, check_dots
from cfa.jobs.unfinished import submit_unfinished
from cfa.notation import eps_for
from cfa.older_settings import under_present_names
from cfa.registry import unknown
from cfa.results.listing import readable_runs
from cfa.results.published import PublishedNumber, find_published
from cfa.results.runs import RunFolder
from cfa.results.store import Store

if TYPE_CHECKING:
    from cfa.evaluation import EvaluationPlan
    from cfa.results.choice import Measured

PUBLISHED = Path(__file__).resolve().parents[2] / "benchmarks" / "published"
SuiteWeights = Literal["auto", "online", "ema", "fawa"]


def all_published() -> tuple[PublishedNumber, ...]:
    """Read every published number that is here; none where the project's benchmarks are not installed."""
    return find_published([file.stem for file in sorted(PUBLISHED.glob("*.json"))], PUBLISHED)


class SuiteEvaluation(BaseModel):
    """Attacks on some weights of the runs of a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attacks: tuple[Word, ...] = Field(min_length=1)
    methods: tuple[Word, ...] | None = None
    weights: tuple[SuiteWeights, ...] = ("auto",)
    checkpoints: tuple[CheckpointKind, ...] = ("best",)
    eps: float | int | str | None = None  # judged with the norm of each run
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0

    def plan(self, config: RunConfig) -> "EvaluationPlan":
        """Say what is done to a run."""
        from cfa.evaluation import EvaluationPlan

        return EvaluationPlan(
            attacks=self.attacks,
            norm=config.attack.norm,
            eps=config.attack.eps if self.eps is None else eps_for(config.attack.norm, self.eps),
            limit=self.limit,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Member:
    """One run that a suite asks for.

    Attributes:
        config: Its configuration; ``init`` is still empty where it starts from another member.
        variant: Those of its settings that are a grid in the suite.
        starts_from: The member that it starts from.
    """

    config: RunConfig
    variant: Mapping[str, Any]
    starts_from: "Member | None" = None


SettingValues = Annotated[dict[str, Any], AfterValidator(under_present_names)]
"""Settings by dotted name, also by names of before; a list is a grid."""


class Suite(BaseModel):
    """What a suite file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Annotated[str, Field(max_length=500)]
    datasets: tuple[DatasetWord, ...] = Field(min_length=1, max_length=200)
    methods: tuple[Word, ...] = Field(min_length=1, max_length=200)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, max_length=1000)
    model: Word | None = None
    preset: Word | None = None
    prefix: Prefix | None = None
    published: tuple[Word, ...] = ()
    settings: SettingValues = {}
    by_method: dict[str, SettingValues] = {}
    by_dataset: dict[str, SettingValues] = {}
    init: dict[str, Annotated[str, Field(max_length=4096)]] = {}
    evaluations: tuple[SuiteEvaluation, ...] = ()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _one_dataset_is_a_list_of_one(cls, given: Any) -> Any:
        if isinstance(given, dict) and "dataset" in given:
            if "datasets" in given:
                raise ValueError("dataset and datasets are both given; keep one of them")
            given = dict(given)
            given["datasets"] = [given.pop("dataset")]
        return given

    @pydantic.field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return distinct_seeds(seeds)

    @pydantic.model_validator(mode="after")
    def _what_is_named_is_there(self) -> Self:
        for evaluation in self.evaluations:
            _require(evaluation.methods or (), self.methods, "method of the suite")
        _require(self.by_method, self.methods, "method of the suite")
        _require(self.init, self.methods, "method of the suite")
        _require(self.by_dataset, self.datasets, "data set of the suite")
        return self

    def on(self, dataset: str) -> "Suite":
        """Return the suite for another data set."""
        if len(self.datasets) > 1:
            raise ConfigError(
                f"the suite compares {len(self.datasets)} data sets; edit the file to change them"
            )
        return self.model_copy(update={"datasets": (dataset,), "by_dataset": {}})

    def members(self) -> list[Member]:
        """List the runs: every data set and method, every combination of settings, every seed."""
        self._refuse_unused_settings()
        self._refuse_too_many_runs()
        members: dict[str, Member] = {}
        found: list[Member] = []
        for dataset in self.datasets:
            for method in self._methods_in_order():
                for config, variant in self._configurations(dataset, method):
                    start = self._start(found, config, variant)
                    key = config.key() + (start.config.key() if start else "")
                    if key not in members:
                        members[key] = Member(config, variant, start)
                        found.append(members[key])
        return found

    def configurations(self) -> list[RunConfig]:
        """List the configurations of the runs."""
        return [member.config for member in self.members()]

    def published_numbers(self) -> tuple[PublishedNumber, ...]:
        """Read the published numbers that the report sets beside the suite's own."""
        return find_published(self.published, PUBLISHED)

    def _configurations(self, dataset: str, method: str) -> Iterable[tuple[RunConfig, dict[str, Any]]]:
        from cfa.methods import configure, grid

        listed = self._listed_settings(dataset, method)
        source = self.init.get(method)
        for overrides in grid(listed):
            for seed in self.seeds:
                config = configure(
                    method,
                    dataset,
                    model=self.model,
                    preset=self.preset,
                    seed=seed,
                    init=None if source in self.methods else source,
                    overrides=overrides,
                )
                yield config, {key: overrides[key] for key in listed if len(listed[key]) > 1}

    def _listed_settings(self, dataset: str, method: str) -> dict[str, list[Any]]:
        """Return the settings of a method's runs on a data set, each with all the values that it takes."""
        from cfa.methods import settings_of

        known = settings_of([method])
        common = {**self.settings, **self.by_dataset.get(dataset, {})}
        usable = {key: value for key, value in common.items() if key in known}
        usable |= self.by_method.get(method, {})
        return {key: value if isinstance(value, list) else [value] for key, value in usable.items()}

    def _refuse_too_many_runs(self) -> None:
        combinations = (
            math.prod(map(len, self._listed_settings(dataset, method).values()))
            for dataset in self.datasets
            for method in self.methods
        )
        runs = sum(combinations) * len(self.seeds)
        if runs == 0:
            raise ConfigError("the suite asks for no run: a setting has an empty list of values; give it one")
        if runs > MOST_RUNS:
            raise ConfigError(f"the suite asks for {runs:,} runs; split it, {MOST_RUNS:,} are the most")

    def _start(self, found: Sequence[Member], config: RunConfig, variant: Mapping[str, Any]) -> Member | None:
        """Find the member that a run starts from: same data set, seed, and settings of the grid."""
        source = self.init.get(config.method)
        if source not in self.methods:
            return None
        wanted = (source, config.dataset, config.seed)
        able = [
            member
            for member in found
            if (member.config.method, member.config.dataset, member.config.seed) == wanted
            and all(member.variant.get(key, value) == value for key, value in variant.items())
        ]
        if len(able) != 1:
            raise ConfigError(
                f"init.{config.method}={source!r} fits {len(able)} runs of seed {config.seed}; "
                "it has to be one, so leave out the grid of settings"
            )
        return able[0]

    def _methods_in_order(self) -> list[str]:
        """Order the methods so that a run comes after the one that it starts from."""
        order: list[str] = []
        left = list(self.methods)
        while left:
            ready = [method for method in left if self.init.get(method) not in left]
            if not ready:
                raise ConfigError(f"init: {', '.join(left)} start from each other; let one start without")
            order += ready
            left = [method for method in left if method not in ready]
        return order

    def _refuse_unused_settings(self) -> None:
        from cfa.methods import METHODS, settings_of

        usable, everything = settings_of(self.methods), settings_of(METHODS)
        for key in [*self.settings, *(key for given in self.by_dataset.values() for key in given)]:
            if key in usable:
                continue
            if key in everything:
                raise ConfigError(f"none of the suite's methods has {key}; leave it out")
            raise ConfigError(str(unknown("setting", key, list(usable))))


def _require(given: Iterable[str], choices: Sequence[str], kind: str) -> None:
    for name in given:
        if name not in choices:
            raise ValueError(str(unknown(kind, name, list(choices))))


def code_in(file: Path) -> tuple[str, ...]:
    """Return the import names in a suite file, which are run only where a person trusts the file.

    Raises:
        ConfigError: The file is missing or not TOML.
    """
    return trust.import_names(_texts(_toml(file)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (key, *_texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ConfigError(f"suite {file} has more than {LARGEST_FILE:,} bytes; give one written by hand")
        text = content.decode()
        check_dots(text)
        given = tomllib.loads(text)
        check_depth(given)
    except OSError as error:
        raise ConfigError(f"suite {file} cannot be read ({error.strerror}); give a .toml file") from error
    # A number of more digits than Python reads is a ValueError as well.
    except ValueError as error:
        raise ConfigError(f"suite {file} is not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"suite {file} has tables within each other without end; write it flat") from error
    return given


def read_suite(file: Path) -> Suite:
    """Read a suite file and check all that can be checked before anything runs.

    Raises:
        ConfigError: The file is missing or not TOML, or a key is unknown or has a value that does not fit; or
            it names somebody's code, and nobody said that it is to be trusted.
    """
    given = _toml(file)
    try:
        suite = Suite.model_validate(given)
        for config in suite.configurations():
            for evaluation in suite.evaluations:
                evaluation.plan(config)
        suite.published_numbers()
    except pydantic.ValidationError as error:
        raise ConfigError(f"suite {file}: {_explain(error)}") from error
    except CfaError as error:
        raise ConfigError(f"suite {file}: {error}") from error
    return suite


def _explain(error: pydantic.ValidationError) -> str:
    """Put the first complaint into a sentence; an unknown key gets the nearest choices."""
    item = error.errors()[0]
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        kind = SuiteEvaluation if len(item["loc"]) > 1 else Suite
        choices = [*kind.model_fields, *(["dataset"] if kind is Suite else [])]
        return str(unknown("key", str(item["loc"][-1]), choices)) + (f" (in {where})" if "." in where else "")
    if item["type"] == "missing":
        return f"{'dataset' if where == 'datasets' else where} is missing; add it"
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    if item["type"] == "string_pattern_mismatch":
        message = "is no name; write a word such as trades or cifar10, and no path"
    given = reprlib.repr(item["input"])  # of any length
    return f"{where}={given} {message}" if where else message


@dataclass(frozen=True)
class PlannedRun:
    """A run of a suite, and the run folder if one with its configuration exists already.

    Attributes:
        config: Its configuration.
        existing: The run, unless it is still to be made.
        variant: Those of its settings that are a grid in the suite.
        starts_from: The planned run that it starts from.
    """

    config: RunConfig
    existing: RunFolder | None
    variant: Mapping[str, Any] = field(default_factory=dict)
    starts_from: "PlannedRun | None" = None


def plan_suite(store: Store, suite: Suite) -> list[PlannedRun]:
    """Pair the runs of a suite with those that exist; failed and cancelled ones do not count."""
    usable = [run for run in readable_runs(store) if run.status.state not in ("failed", "cancelled")]
    finished_last = sorted(usable, key=lambda run: run.status.state == "finished")
    done = {run.config.key(): run.folder for run in finished_last}
    planned: dict[int, PlannedRun] = {}
    members = suite.members()
    for member in members:
        start = planned[id(member.starts_from)] if member.starts_from else None
        config = check_names(store, member.config)
        if start is not None and start.existing is not None:
            config = config.model_copy(update={"init": start.existing.id})
        existing = None if start is not None and start.existing is None else done.get(config.key())
        planned[id(member)] = PlannedRun(config, existing, member.variant, start)
    return list(planned.values())


@dataclass(frozen=True)
class PlannedEvaluation:
    """An evaluation that a suite asks for, of a run that need not exist yet."""

    run: PlannedRun
    weights: str
    checkpoint: str
    plan: "EvaluationPlan"

    @property
    def is_made(self) -> bool:
        """Tell whether the run was evaluated so already (or can never be: it kept no such weights)."""
        run = self.run.existing
        if run is None or run.status.state != "finished":
            return False
        kind = self.kind
        if (kind, self.checkpoint) not in run.kept_weights():
            return True
        return set(self.plan.attacks) <= {one.attack for one in self.scores}

    @property
    def scores(self) -> list["Measured"]:
        """List what counts of the run as far as this evaluation asked for it: its images, its budget."""
        from cfa.results.choice import chosen

        run = self.run.existing
        if run is None:
            return []
        wanted, kind = (run.config.dataset, self.plan.limit), (self.kind, self.checkpoint)
        found = chosen(run, lambda e: (e.dataset_to_load, e.limit) == wanted)
        return [
            one
            for one in found
            if (one.evaluation.weights, one.evaluation.checkpoint) == kind
            and one.scores.eps in (0.0, self.plan.eps)
        ]

    @property
    def kind(self) -> str:
        """The kind of weights that is meant, which for ``auto`` depends on the run."""
        from cfa.evaluation import default_weights
        from cfa.methods import METHODS

        if self.weights != "auto":
            return self.weights
        run = self.run.existing
        if run is not None and run.status.state == "finished":
            return default_weights(run)
        return METHODS[self.run.config.method].reported_with


def plan_evaluations(suite: Suite, planned: Iterable[PlannedRun]) -> list[PlannedEvaluation]:
    """List the evaluations of a suite, run by run."""
    return [
        PlannedEvaluation(run, weights, checkpoint, wanted.plan(run.config))
        for run in planned
        for wanted in suite.evaluations
        if wanted.methods is None or run.config.method in wanted.methods
        for weights in wanted.weights
        for checkpoint in wanted.checkpoints
    ]


def submit_suite(
    store: Store, queue: Queue, suite: Suite, *, tag: str, device: str | None = None
) -> list[Job]:
    """Queue what a suite still lacks: trainings, then the evaluations of each.

    Jobs of an earlier call that wait or run already are left as they are; those that were paused,
    interrupted or (evaluations) failed are queued again.

    Args:
        store: Where runs are.
        queue: Where the jobs go.
        suite: What to run.
        tag: Given to the new runs, so that they are found together.
        device: Where to run; ``None`` takes any.

    Returns:
        All jobs that the suite still needs, in an order in which they can be carried out.
    """
    submission = _Submission(store, queue, suite, tag, device, queue.jobs())
    jobs: list[Job] = []
    for planned in plan_suite(store, suite):
        run, training = submission.training(planned)
        jobs += [training] if training else []
        if not run.read_only:
            jobs += submission.evaluations(planned, run, [training.id] if training else [])
    return jobs


@dataclass
class _Submission:
    """One call of :func:`submit_suite`: what was there, and what became of each planned run."""

    store: Store
    queue: Queue
    suite: Suite
    tag: str
    device: str | None
    known: list[Job]
    made: dict[int, tuple[RunFolder, Job | None]] = field(default_factory=dict)

    def training(self, planned: PlannedRun) -> tuple[RunFolder, Job | None]:
        """Make sure that a run is trained, or will be; ``None`` where nothing is left to do."""
        run = planned.existing
        result: tuple[RunFolder, Job | None] = (
            self._new_training(planned) if run is None else (run, self._unfinished_training(run))
        )
        self.made[id(planned)] = result
        return result

    def _new_training(self, planned: PlannedRun) -> tuple[RunFolder, Job]:
        config, after = planned.config, []
        if planned.starts_from is not None:
            source, job = self.made[id(planned.starts_from)]
            config = config.model_copy(update={"init": source.id})
            after = [job.id] if job else []
        run, (made,) = submit_training(
            self.store,
            self.queue,
            config,
            name=_name(self.store, self.suite, planned),
            tags=(self.tag,),
            after=after,
            device=self.device,
        )
        return run, made

    def _unfinished_training(self, run: RunFolder) -> Job | None:
        if run.read_only:
            return None
        jobs = [job for job in self.known if job.kind == "train" and job.run_id == run.id]
        if jobs:
            return self._going_on(jobs[-1])
        if run.status.state == "finished":
            return None
        return submit_unfinished(self.queue, run, device=self.device)

    def evaluations(self, planned: PlannedRun, run: RunFolder, after: Sequence[str]) -> list[Job]:
        """Make sure that a run is evaluated as the suite asks."""
        jobs = []
        for wanted in plan_evaluations(self.suite, [planned]):
            if wanted.is_made:
                continue
            spec = (wanted.weights, wanted.checkpoint, wanted.plan)
            same = [job for job in self.known if job.run_id == run.id and _asks_for(job, *spec)]
            going_on = self._going_on(same[-1]) if same else None
            jobs.append(
                going_on
                or submit_evaluation(
                    self.store,
                    self.queue,
                    run,
                    weights=wanted.weights,
                    checkpoint=wanted.checkpoint,
                    plan=wanted.plan,
                    after=after,
                    device=self.device,
                )
            )
        return jobs

    def _going_on(self, job: Job) -> Job | None:
        """Queue a job again that stopped; ``None`` where it is done."""
        if job.state == "done":
            return None
        return self.queue.resume(job.id) if job.state in RESUMABLE else job


def _asks_for(job: Job, weights: str, checkpoint: str, plan: "EvaluationPlan") -> bool:
    if job.kind != "evaluate" or job.spec.get("dataset") is not None:
        return False
    asked = job.spec["plan"]
    return (job.spec["weights"], job.spec["checkpoint"]) == (weights, checkpoint) and (
        tuple(asked["attacks"]),
        asked["norm"],
        asked["eps"],
        asked["limit"],
        asked["seed"],
    ) == (plan.attacks, plan.norm, plan.eps, plan.limit, plan.seed)


def _name(store: Store, suite: Suite, planned: PlannedRun) -> str | None:
    """Name a run after its suite; without a prefix the store finds a name."""
    if suite.prefix is None:
        return None
    config = planned.config
    parts = [suite.prefix, config.method.rpartition(":")[2], f"s{config.seed}"]
    if len(suite.datasets) > 1:
        parts.insert(1, config.dataset)
    return store.free_name("-".join(parts))
