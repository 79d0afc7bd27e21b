"""The command that attacks runs, weights files and models of others: evaluate."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cfa import trust
from cfa.commands.printing import note, print_jobs
from cfa.commands.scores import print_evaluated
from cfa.commands.shared import (
    DONE,
    AsJson,
    DeviceName,
    ToQueue,
    TrustCode,
    carry_out,
    command,
    command_group,
    open_store,
)
from cfa.config import AttackSettings
from cfa.errors import ConfigError
from cfa.foreign.references import ModelFactory, run_or_model
from cfa.foreign.registration import register
from cfa.jobs.devices import check_device
from cfa.jobs.fetching import fetch_missing
from cfa.jobs.queue import Job, Queue
from cfa.jobs.submit import submit_evaluation
from cfa.registry import unknown
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.runs.trusted import code_of

if TYPE_CHECKING:
    from cfa.evaluation import EvaluationPlan, EvaluationRequest
    from cfa.models import WeightsFile

group = command_group()

References = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...|WEIGHTS",
        help="Runs, weights files (FILE#KEY: a branch of one), or package.module:factory of a model.",
    ),
]
Attacks = Annotated[list[str] | None, typer.Option(help="See `cfa attacks`; may be repeated.")]
PlanName = Annotated[str | None, typer.Option("--plan", help="Instead: quick, paper or sanity.")]
Eps = Annotated[str | None, typer.Option(help="8/255 or 0.0314; by default the run's own.")]
NormName = Annotated[str | None, typer.Option(help="linf, l2, l1 or l0 (pixels); by default the run's own.")]
Limit = Annotated[int | None, typer.Option(min=1, help="The first N/classes test images of each class.")]
Weights = Annotated[str, typer.Option(help="auto, online, ema or fawa.")]
Checkpoint = Annotated[str, typer.Option(help="best or last.")]
DatasetName = Annotated[str | None, typer.Option(help="Needed with WEIGHTS; else the run's own.")]
ModelName = Annotated[str | None, typer.Option(help="With WEIGHTS: the network.")]
Normalize = Annotated[str, typer.Option(help="With WEIGHTS: none, dataset or MEAN/STD.")]
Sweep = Annotated[
    str | None, typer.Option(metavar="EPS,EPS...", help="Attack at each budget: 2/255,4/255,8/255.")
]
Mode = Annotated[str, typer.Option(help="AutoAttack: reference (as published) or fast.")]
TransferFrom = Annotated[
    str | None, typer.Option(metavar="RUN", help="The run whose images `transfer` uses.")
]
Megabytes = Annotated[float, typer.Option(min=0, help="Room for adversarial images to look at.")]
Until = Annotated[
    str | None,
    typer.Option(
        metavar="TARGETS",
        help="Stop when it is certain: 0.03 (the worst class to 3 points), worst=0.03,mean=0.03, or which.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of random starts.")]


@command(
    group,
    "cfa evaluate my-run --attack pgd-20 --eps 8/255 --limit 1000",
    typed=("attack", "dataset", "model"),
)
def evaluate(
    references: References,
    attack: Attacks = None,
    preset: PlanName = None,
    eps: Eps = None,
    norm: NormName = None,
    limit: Limit = None,
    weights: Weights = "auto",
    checkpoint: Checkpoint = "best",
    dataset: DatasetName = None,
    model: ModelName = None,
    normalize: Normalize = "none",
    sweep: Sweep = None,
    mode: Mode = "reference",
    transfer_from: TransferFrom = None,
    keep_megabytes: Megabytes = 20,
    seed: Seed = 0,
    until: Until = None,
    device: DeviceName = None,
    queue: ToQueue = False,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> int:
    """Attack runs, or a weights file, on test images and count what is still right, class by class."""
    from cfa.evaluation import EvaluationRequest

    store, jobs = open_store()
    request = EvaluationRequest(
        weights=(weights,),
        checkpoint=checkpoint,
        preset=preset,
        attacks=tuple(attack or ()),
        norm=norm,
        eps=eps,
        sweep=sweep,
        limit=limit,
        mode=mode,
        keep_megabytes=keep_megabytes,
        transfer_from=transfer_from,
        seed=seed,
        until=until,
    )
    request = _checked(store, request)
    chosen = check_device(device, queued=queue)
    runs, plans = _runs_and_plans(store, jobs, references, request, dataset, model, normalize)
    with trust.allowing(name for run in runs if trust_code for name in code_of(run.config)):
        submitted, code = _evaluate_each(store, jobs, runs, plans, request, dataset, chosen, queue)
    if queue:
        print_jobs(submitted, as_json)
    else:
        print_evaluated(store, submitted, as_json)
    return code


def _checked(store: Store, request: "EvaluationRequest") -> "EvaluationRequest":
    """Refuse what can be refused before anything is looked for, and find the run of ``--transfer-from``."""
    _check_choice("mode", request.mode, ("reference", "fast"))
    if (request.preset is None) == (not request.attacks):
        raise ConfigError("say what to do: --attack (see `cfa attacks`; may be repeated), or else --plan")
    source = request.transfer_from and store.find(request.transfer_from).id
    _check_choice("weights", request.weights[0], ("auto", "online", "ema", "fawa"))
    _check_choice("checkpoint", request.checkpoint, ("best", "last"))
    return replace(request, transfer_from=source)


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise unknown(f"--{option}", value, list(choices))


def _runs_and_plans(
    store: Store,
    jobs: Queue,
    references: Sequence[str],
    request: "EvaluationRequest",
    dataset: str | None,
    model: str | None,
    normalize: str,
) -> tuple[list[RunFolder], list["EvaluationPlan"]]:
    """Find what is to be attacked, with a plan for each; what is no run yet becomes one."""
    # An unknown attack is told before anything is looked for; what depends on a run's norm comes after it.
    request.targets("--")
    with suppress(ConfigError):
        request.plan(AttackSettings(), "--")
    found = [run_or_model(store, text) for text in references]
    # Attacks are judged before a weights file is copied: a typing error leaves nothing behind.
    own = [one.config.attack if isinstance(one, RunFolder) else AttackSettings() for one in found]
    plans = [request.plan(settings, "--") for settings in own]
    runs = [
        one if isinstance(one, RunFolder) else _register(store, jobs, one, dataset, model, normalize)
        for one in found
    ]
    return runs, plans


def _evaluate_each(
    store: Store,
    jobs: Queue,
    runs: Sequence[RunFolder],
    plans: "Sequence[EvaluationPlan]",
    request: "EvaluationRequest",
    dataset: str | None,
    device: str | None,
    queue: bool,
) -> tuple[list[Job], int]:
    """Submit an evaluation of every run and, unless it is for the queue, carry it out."""
    submitted, code = [], DONE
    for run, plan in zip(runs, plans, strict=True):
        job = submit_evaluation(
            store,
            jobs,
            run,
            weights=request.weights[0],
            checkpoint=request.checkpoint,
            plan=plan,
            device=device,
            dataset=dataset,
            until=request.targets("--"),
            foreground=not queue,
        )
        submitted.append(job)
        code = max(code, DONE if queue else carry_out(jobs, job))
        if jobs.get(job.id).state in ("paused", "cancelled"):
            break
    return submitted, code


def _register(
    store: Store,
    queue: Queue,
    source: "WeightsFile | ModelFactory",
    dataset: str | None,
    model: str | None,
    normalize: str,
) -> RunFolder:
    """Take a weights file, or what a factory makes, into the store as a run; fetch its data set before."""
    what, typed = ("a model", [source.name]) if isinstance(source, ModelFactory) else ("a weights file", [])
    if dataset is None:
        raise ConfigError(f"{source} is {what}; say which data set it is for: --dataset cifar10, for example")
    fetch_missing(store, queue, dataset, carry_out)
    if typed and model is not None:
        raise ConfigError(f"{source} makes a model already, and --model {model} names another; leave one out")
    with trust.allowing(typed):  # it is no run's name: that was looked for first
        run = register(store, source, dataset, model, normalize)
    if not typed:
        note(f"{run.name}: {run.status.message}")
    return run
