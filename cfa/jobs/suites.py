"""Suites: a table of the literature (or of ours) as a file that anyone can run again.

    title = "..."
    dataset = "fashion-mnist-mini"
    model = "small-cnn"            # optional, like preset
    preset = "demo"
    methods = ["trades", "trades-cfa"]
    seeds = [0, 1, 2]
    prefix = "mine"                # optional: runs are called mine-trades-s0, ...

    [settings]                      # optional; a list makes a grid
    "train.epochs" = 20

    [[evaluations]]                 # optional, besides the closing test of every training
    attacks = ["pgd-100"]
    weights = ["online", "fawa"]    # or "auto"
    checkpoints = ["best", "last"]
    eps = "8/255"                   # by default the run's own

A run that exists already with the same configuration is recognised and not trained twice.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from cfa.config import Eps, RunConfig, explain
from cfa.errors import ConfigError
from cfa.jobs.queue import Job, Queue
from cfa.jobs.submit import check_names, submit_evaluation, submit_training
from cfa.results.runs import RunFolder
from cfa.results.store import Store


class SuiteEvaluation(BaseModel):
    """Attacks on some weights of every run of a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attacks: tuple[str, ...]
    weights: tuple[str, ...] = ("auto",)
    checkpoints: tuple[str, ...] = ("best",)
    eps: Eps | None = None
    limit: int | None = None
    seed: int = 0


class Suite(BaseModel):
    """What a suite file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    dataset: str
    methods: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = (0,)
    model: str | None = None
    preset: str | None = None
    prefix: str | None = None
    settings: dict[str, Any] = {}
    evaluations: tuple[SuiteEvaluation, ...] = ()

    def configurations(self) -> list[RunConfig]:
        """List the runs: every method with every seed and every combination of settings."""
        from cfa.methods import METHODS, configure, grid, unused_settings

        listed = {key: value if isinstance(value, list) else [value] for key, value in self.settings.items()}
        configs = {}
        for method in self.methods:
            unused = unused_settings(METHODS[method])
            usable = {key: values for key, values in listed.items() if key not in unused}
            for overrides in grid(usable):
                for seed in self.seeds:
                    config = configure(
                        method,
                        self.dataset,
                        model=self.model,
                        preset=self.preset,
                        seed=seed,
                        overrides=overrides,
                    )
                    configs[config.key()] = config
        return list(configs.values())


def read_suite(file: Path) -> Suite:
    """Read a suite file.

    Raises:
        ConfigError: The file is missing or not TOML, or a key is unknown or has a value that does not fit.
    """
    try:
        return Suite.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"suite {file} cannot be read ({error.strerror}); give a .toml file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"suite {file} is not TOML: {error}") from error
    except pydantic.ValidationError as error:
        raise ConfigError(f"suite {file}: {explain(error)}") from error


@dataclass(frozen=True)
class PlannedRun:
    """A run of a suite, and the run folder if one with its configuration exists already."""

    config: RunConfig
    existing: RunFolder | None


def plan_suite(store: Store, suite: Suite) -> list[PlannedRun]:
    """Pair the runs of a suite with those that exist; failed and cancelled ones do not count."""
    done = {run.config.key(): run for run in store.runs() if run.status.state not in ("failed", "cancelled")}
    return [
        PlannedRun(config, done.get(config.key()))
        for config in (check_names(store, config) for config in suite.configurations())
    ]


def submit_suite(
    store: Store, queue: Queue, suite: Suite, *, tag: str, device: str | None = None
) -> list[Job]:
    """Queue what a suite still lacks: trainings, then the evaluations of each.

    Args:
        store: Where runs are.
        queue: Where the jobs go.
        suite: What to run.
        tag: Given to the new runs, so that they are found together.
        device: Where to run; ``None`` takes any.
    """
    from cfa.evaluation import EvaluationPlan

    jobs: list[Job] = []
    for planned in plan_suite(store, suite):
        run, after = planned.existing, []
        if run is None:
            name = _name(store, suite, planned.config)
            run, made = submit_training(store, queue, planned.config, name=name, tags=(tag,), device=device)
            jobs += made
            after = [job.id for job in made]
        elif run.read_only:
            continue
        for wanted in suite.evaluations:
            attack = planned.config.attack
            plan = EvaluationPlan(
                attacks=wanted.attacks,
                norm=attack.norm,
                eps=wanted.eps or attack.eps,
                limit=wanted.limit,
                seed=wanted.seed,
            )
            for weights in wanted.weights:
                for checkpoint in wanted.checkpoints:
                    if _is_evaluated(run, weights, checkpoint, plan.attacks, plan.eps, wanted.limit):
                        continue
                    jobs.append(
                        submit_evaluation(
                            store,
                            queue,
                            run,
                            weights=weights,
                            checkpoint=checkpoint,
                            plan=plan,
                            after=after,
                            device=device,
                        )
                    )
    return jobs


def _name(store: Store, suite: Suite, config: RunConfig) -> str | None:
    """Name a run after its suite; without a prefix the store finds a name."""
    if suite.prefix is None:
        return None
    return store.free_name(f"{suite.prefix}-{config.method.rpartition(':')[2]}-s{config.seed}")


def _is_evaluated(
    run: RunFolder, weights: str, checkpoint: str, attacks: tuple[str, ...], eps: float, limit: int | None
) -> bool:
    from cfa.evaluation import default_weights
    from cfa.results.evaluations import read_evaluations

    if run.status.state != "finished":
        return False
    kind = default_weights(run) if weights == "auto" else weights
    return any(
        (evaluation.weights, evaluation.checkpoint, evaluation.limit) == (kind, checkpoint, limit)
        and set(attacks) <= {scores.attack for scores in evaluation.scores}
        and all(scores.eps in (0, eps) for scores in evaluation.scores)
        for evaluation in read_evaluations(run)
    )
