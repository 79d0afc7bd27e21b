"""Commands that make runs: train, estimate, resume; and fetch, for the data that they train on."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfa.commands.printing import duration, print_jobs, print_json, print_table, size
from cfa.commands.scores import print_evaluated
from cfa.commands.shared import (
    DONE,
    AsJson,
    DeviceName,
    Reference,
    Settings,
    ToQueue,
    TrustCode,
    carry_out,
    command,
    command_group,
    open_store,
    read_settings,
)
from cfa.config import distinct_seeds
from cfa.errors import ConfigError
from cfa.jobs.devices import check_device, choose_device
from cfa.jobs.made_from import teacher_network
from cfa.jobs.queue import Job
from cfa.jobs.submit import check_names, submit_fetch, submit_training
from cfa.jobs.unfinished import go_on_with
from cfa.runs.folder import RunFolder
from cfa.runs.listed import look_at
from cfa.trust import allowing

if TYPE_CHECKING:
    from cfa.methods import Grid

group = command_group()

Method = Annotated[str, typer.Option(help="See `cfa methods`.")]
DatasetName = Annotated[str, typer.Option(help="See `cfa datasets`.")]
ModelName = Annotated[str | None, typer.Option(help="See `cfa models`; by default the data set's usual one.")]
PresetName = Annotated[str | None, typer.Option(help="demo, paper or official-code; default by model.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Short for --set train.epochs=N.")]
Seeds = Annotated[str, typer.Option(metavar="N[,N...]", help="Seed; several make several runs.")]
Init = Annotated[str | None, typer.Option(metavar="RUN|WEIGHTS", help="Start from a run or weights file.")]
TaughtBy = Annotated[
    str | None,
    typer.Option(metavar="RUN|WEIGHTS", help="Learn from a run (RUN#last, RUN#ema) or weights file."),
]


@command(
    group,
    "cfa train --method trades-cfa --dataset fashion-mnist-mini --set method.lambda_eps=0.3,0.5",
    typed=("method", "dataset", "model"),
)
def train(
    method: Method,
    dataset: DatasetName,
    model: ModelName = None,
    preset: PresetName = None,
    epochs: Epochs = None,
    seed: Seeds = "0",
    device: DeviceName = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; several get -1, -2, ...")] = None,
    init: Init = None,
    teacher: TaughtBy = None,
    tags: Annotated[list[str], typer.Option("--tag", help="A tag of the runs; several go as well.")] = [],  # noqa: B006
    notes: Annotated[str, typer.Option(help="Notes on the runs.")] = "",
    settings: Settings = [],  # noqa: B006 (typer reads it as the default)
    queue: ToQueue = False,
    no_test: Annotated[bool, typer.Option("--no-test", help="Leave out the closing test.")] = False,
    as_json: AsJson = False,
) -> int:
    """Train a run, or a grid of runs one after the other."""
    store, jobs = open_store()
    asked = _grid(method, dataset, model, preset, epochs, seed, init, teacher, settings)
    configs = [check_names(store, config) for config in asked.configs()]
    chosen = check_device(device, queued=queue)
    made: list[tuple[RunFolder, Job]] = []
    code = DONE
    for config, run_name in zip(configs, store.names_for(name, len(configs)), strict=True):
        run, (job,) = submit_training(
            store,
            jobs,
            config,
            name=run_name,
            tags=tuple(tags),
            notes=notes,
            device=chosen,
            test=not no_test,
            foreground=not queue,
        )
        made.append((run, job))
        if not queue:
            code = max(code, carry_out(jobs, job))
            if jobs.get(job.id).state in ("paused", "cancelled"):
                break  # someone asked to stop: not with the next run either
    _print_trained(made, queued=queue, several=len(configs) > 1, as_json=as_json)
    return code


@command(
    group,
    "cfa estimate --method trades-cfa --dataset fashion-mnist-mini --epochs 50",
    typed=("method", "dataset", "model"),
)
def estimate(
    method: Method,
    dataset: DatasetName,
    model: ModelName = None,
    preset: PresetName = None,
    epochs: Epochs = None,
    seed: Seeds = "0",
    device: DeviceName = None,
    init: Init = None,
    teacher: TaughtBy = None,
    settings: Settings = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Say how long a training takes and how much disk it needs, from a few measured steps."""
    import torch

    from cfa.data import dataset_info
    from cfa.training import estimate_seconds

    store, _ = open_store()
    chosen = choose_device(store.home, check_device(device, queued=False))
    costs = []
    for config in _grid(method, dataset, model, preset, epochs, seed, init, teacher, settings).configs():
        config = check_names(store, config)
        info, beside = dataset_info(config.dataset, store.data_folder), teacher_network(store, config)
        costs.append((config.in_words(), estimate_seconds(config, info, torch.device(chosen), beside)))
    seconds, disk_bytes = sum(cost.seconds for _, cost in costs), sum(cost.disk_bytes for _, cost in costs)
    if as_json:
        each = [{"settings": text, **asdict(cost)} for text, cost in costs]
        print_json({"seconds": seconds, "disk_bytes": disk_bytes, "device": chosen, "runs": each})
        return
    table = [(text, duration(cost.seconds), size(cost.disk_bytes)) for text, cost in costs]
    table += [("all", duration(seconds), size(disk_bytes))] if len(costs) > 1 else []
    print_table(table, (f"run (on {chosen})", "time", "disk"), "")


@group.command(name="time-steps", hidden=True)
def time_steps() -> None:
    """Time steps for the dashboard.

    Questions come on the standard input; each answer is a line of the output (`cfa.training.timing`).
    """
    from cfa.training.timing import Questions, answers

    questions = Questions.model_validate_json(sys.stdin.read())
    with allowing(questions.typed):
        for answer in answers(questions):
            print(answer.model_dump_json(), flush=True)


@command(group, "cfa resume trades-cfa-fashion-mnist-mini-s0")
def resume(
    job: Reference, queue: ToQueue = False, trust_code: TrustCode = False, as_json: AsJson = False
) -> int:
    """Go on with a paused, interrupted, failed or cancelled job, exactly where it stopped.

    A run that has no job, because it was copied here or its maker was killed, gets one.
    """
    store, jobs = open_store()
    found = go_on_with(store, jobs, job, foreground=not queue, vouched=trust_code)
    code = DONE if queue else carry_out(jobs, found)
    if found.run_id is not None and found.trains:
        run = store.find(found.run_id)
        _print_trained([(run, found)], queued=queue, several=False, as_json=as_json)
    elif found.evaluates and not queue:
        print_evaluated(store, [found], as_json)
    else:
        print_jobs([jobs.get(found.id)], as_json, alone=True)
    return code


@command(group, "cfa fetch cifar10", typed=("dataset",))
def fetch(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="See `cfa datasets`.")],
    queue: ToQueue = False,
    as_json: AsJson = False,
) -> int:
    """Download a data set now; trainings and evaluations otherwise do it when they need one."""
    store, jobs = open_store()
    job = submit_fetch(store, jobs, dataset, foreground=not queue)
    code = DONE if queue else carry_out(jobs, job)
    print_jobs([jobs.get(job.id)], as_json, alone=True)
    return code


def _grid(
    method: str,
    dataset: str,
    model: str | None,
    preset: str | None,
    epochs: int | None,
    seeds: str,
    init: str | None,
    teacher: str | None,
    settings: Sequence[str],
) -> "Grid":
    """Read the options that say what is trained."""
    from cfa.methods import Grid

    own_option = [] if epochs is None else [f"train.epochs={epochs}"]
    overrides = read_settings([*own_option, *settings])
    return Grid(
        methods=(method,),
        dataset=dataset,
        model=model,
        preset=preset,
        seeds=_seeds(seeds),
        by_method={method: overrides},
        init={} if init is None else {method: init},
        teacher={} if teacher is None else {method: teacher},
    )


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--seed {text!r} is no number; write 0, or 0,1,2 for three runs") from error
    try:
        return distinct_seeds(seeds)
    except ValueError as error:
        raise ConfigError(f"--seed {text!r} {error}") from error


def _print_trained(
    made: Sequence[tuple[RunFolder, Job]], *, queued: bool, several: bool, as_json: bool
) -> None:
    documents = []
    for run, job in made:
        document: dict[str, Any] = {
            "run_id": run.id,
            "run_name": run.name,
            "status": look_at(run).state,
            "path": str(run.path),
        }
        documents.append(document | ({"job_id": job.id} if queued else {}))
    if as_json:
        print_json({"runs": documents} if several else documents[0])
        return
    print_table([tuple(d.values()) for d in documents], tuple(documents[0]), "")
