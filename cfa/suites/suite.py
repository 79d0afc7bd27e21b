"""Suites: a table of the literature (or of ours) as a file that anyone can run again.

    title = "..."
    dataset = "fashion-mnist-mini"  # or datasets = [...]
    model = "small-cnn"             # optional, like preset
    preset = "demo"
    methods = ["trades", "trades-cfa", "frl"]
    seeds = [0, 1, 2]
    prefix = "mine"                 # optional: runs are called mine-trades-s0, ...
    controls = true                 # optional: beside each method that goes on from a trained network, that
                                    # network trained on as before, as long and in steps as large
    published = ["cfa-table1"]      # optional: benchmarks/published/NAME.json, for the report

    [settings]                      # optional; a list makes a grid; methods without a setting skip it
    "train.epochs" = 20
    [by_method.frl]                 # optional, over [settings]; so is [by_dataset."cifar10-lt"]
    "train.epochs" = 5

    [[also]]                        # optional: a method once more, with settings of its own, marked as that
    method = "trades"
    settings = { "optimizer.lr" = 0.01 }

    [init]                          # optional: where the runs of a method start
    frl = "trades"                  # a method of the suite (same seed and data set), a run or a weights file
    [teacher]                       # likewise, for methods that learn from a trained network
    ard = "trades"

    [[evaluations]]                 # optional, besides the closing test of every training
    methods = ["trades"]            # by default all
    attacks = ["pgd-100"]
    weights = ["online", "fawa"]    # or "auto"
    checkpoints = ["best", "last"]
    eps = "8/255"                   # by default the run's own

A run that exists already with the same configuration is recognised and not trained twice, nor is an
evaluation made twice; what was interrupted goes on.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cfa.config import CheckpointKind, RunConfig, distinct_seeds
from cfa.errors import ConfigError
from cfa.notation import eps_for
from cfa.older_settings import under_present_names
from cfa.registry import unknown
from cfa.suites.words import DatasetWord, Prefix, Word
from cfa.tables.papers import PUBLISHED, PublishedNumber, find_published

if TYPE_CHECKING:
    from cfa.evaluation import EvaluationPlan

SuiteWeights = Literal["auto", "online", "ema", "fawa"]


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


SettingValues = Annotated[dict[str, Any], AfterValidator(under_present_names)]
"""Settings by dotted name, also by names of before; a list is a grid."""


class ExtraRow(BaseModel):
    """A method of the suite once more, with settings of its own: its authors' rate, for example."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Word
    settings: SettingValues = Field(min_length=1)


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
    also: tuple[ExtraRow, ...] = Field(default=(), max_length=200)
    init: dict[str, Annotated[str, Field(max_length=4096)]] = {}
    controls: bool = False
    teacher: dict[str, Annotated[str, Field(max_length=4096)]] = {}
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
        _require([row.method for row in self.also], self.methods, "method of the suite")
        _require(self.init, self.methods, "method of the suite")
        _require(self.teacher, self.methods, "method of the suite")
        _require(self.by_dataset, self.datasets, "data set of the suite")
        return self

    def on(self, dataset: str) -> "Suite":
        """Return the suite for another data set."""
        if len(self.datasets) > 1:
            raise ConfigError(
                f"the suite compares {len(self.datasets)} data sets; edit the file to change them"
            )
        return self.model_copy(update={"datasets": (dataset,), "by_dataset": {}})

    def published_numbers(self) -> tuple[PublishedNumber, ...]:
        """Read the published numbers that the report sets beside the suite's own."""
        return find_published(self.published, PUBLISHED)


def _require(given: Iterable[str], choices: Sequence[str], kind: str) -> None:
    for name in given:
        if name not in choices:
            raise ValueError(str(unknown(kind, name, list(choices))))
