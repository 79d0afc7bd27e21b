"""The command line: arguments -> configuration -> one call."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from cfa import trust
from cfa.config import AttackSettings, RunConfig, distinct_seeds, format_eps
from cfa.errors import CfaError, ConfigError, DataError, UnknownName
from cfa.jobs.folders import JobFolder, read_progress
from cfa.jobs.queue import Job, Queue, seconds_until_empty
from cfa.results.listing import (
    ReadableRun,
    UnreadableRun,
    fields_of,
    list_runs,
    look_at,
    problems_of,
    readable_runs,
    require_readable,
)
from cfa.results.runs import RunFolder
from cfa.results.store import Store
from cfa.results.trusted import Trusted, code_of
from cfa.statistics import GROUPS
from cfa.terminal import TerminalListener, duration, note, print_json, print_table, say, size

if TYPE_CHECKING:
    from cfa.evaluation import EvaluationPlan
    from cfa.jobs.suite_costs import SuiteCosts
    from cfa.jobs.suites import PlannedEvaluation, PlannedRun, Suite
    from cfa.models import WeightsFile
    from cfa.results.evaluations import Verdict

DONE, FAILED, BAD_USAGE = 0, 1, 2

app = typer.Typer(
    name="cfa",
    help="Train class-wise calibrated fair adversarial training and its rivals, and compare classes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Parameters = ParamSpec("Parameters")

Reference = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, or a run for its newest job.")]
Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help="Names, ids, or starts of ids.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Method = Annotated[str, typer.Option(help="See `cfa methods`.")]
DatasetName = Annotated[str, typer.Option(help="See `cfa datasets`.")]
ModelName = Annotated[str | None, typer.Option(help="See `cfa models`; by default the data set's usual one.")]
PresetName = Annotated[str | None, typer.Option(help="demo, paper or official-code; default by model.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Short for --set train.epochs=N.")]
Seeds = Annotated[str, typer.Option(metavar="N[,N...]", help="Seed; several make several runs.")]
Init = Annotated[str | None, typer.Option(metavar="RUN|WEIGHTS", help="Start from a run or weights file.")]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="A setting; KEY=A,B,C makes a grid of runs.")
]
DeviceName = Annotated[str | None, typer.Option(help="cuda:0, mps, cpu; by default the first that is free.")]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Run the package.module:name that the file or run names.")
]
ToQueue = Annotated[bool, typer.Option("--queue", help="Hand it to the queue and return at once.")]


suite_app = typer.Typer(help="Tables as files: plan and run benchmarks/suites/*.toml.", no_args_is_help=True)
app.add_typer(suite_app, name="suite")


def command(
    example: str, group: typer.Typer = app, *, typed: Sequence[str] = (), named_in: str | None = None
) -> Callable[[Callable[Parameters, int | None]], Callable[Parameters, None]]:
    """Register a command; ``example`` ends its help.

    What the function returns is the exit code, and a CfaError becomes one sentence on stderr. ``typed`` names
    the parameters in which a person may name code of their own: only what stands there is imported, and with
    ``--trust-code`` what the suite names that the parameter ``named_in`` holds.
    """

    def register(function: Callable[Parameters, int | None]) -> Callable[Parameters, None]:
        @wraps(function)
        def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
            try:
                files = [kwargs[named_in]] if named_in is not None and kwargs["trust_code"] else []
                with trust.allowing([*_texts(kwargs[name] for name in typed), *_code_in(files)]):
                    code = function(*args, **kwargs) or DONE
            except CfaError as error:
                note(f"error: {error}")
                code = BAD_USAGE if isinstance(error, ConfigError | UnknownName) else FAILED
            raise typer.Exit(code)

        name = function.__name__.removeprefix("suite_").strip("_").replace("_", "-")
        group.command(name=name, epilog=f"\b\nExample:\n  {example}")(run)
        return run

    return register


def _texts(values: Iterable[object]) -> Iterator[object]:
    for value in values:
        yield from value if isinstance(value, list) else (value,)


def _code_in(suites: Sequence[object]) -> Iterator[str]:
    for file in suites:
        from cfa.jobs.suites import code_in

        yield from code_in(Path(str(file)))


def main() -> None:
    """Run the command line."""
    # Before torch is imported: threads that wait by spinning slow a worker down many times over as soon as
    # the dashboard or a browser wants one of its cores (on two cores: 7 to 109 s an epoch against 4 s).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()


# Training --------------------------------------------------------------------------------------------------


@command(
    "cfa train --method trades-cfa --dataset fashion-mnist-mini --set rule.lambda_eps=0.3,0.5",
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
    settings: Settings = [],  # noqa: B006 (typer reads it as the default)
    queue: ToQueue = False,
    no_test: Annotated[bool, typer.Option("--no-test", help="Leave out the closing test.")] = False,
    as_json: AsJson = False,
) -> int:
    """Train a run, or a grid of runs one after the other."""
    from cfa.jobs.devices import check_device
    from cfa.jobs.submit import check_names, submit_training

    store, jobs = _open()
    configs = _configurations(method, dataset, model, preset, epochs, seed, init, settings)
    configs = [check_names(store, config) for config in configs]
    chosen = check_device(device, queued=queue)
    made: list[tuple[RunFolder, Job]] = []
    code = DONE
    for config, run_name in zip(configs, _names(store, name, len(configs)), strict=True):
        run, (job,) = submit_training(
            store, jobs, config, name=run_name, device=chosen, test=not no_test, foreground=not queue
        )
        made.append((run, job))
        if not queue:
            code = max(code, _carry_out(jobs, job))
            if jobs.get(job.id).state in ("paused", "cancelled"):
                break  # someone asked to stop: not with the next run either
    _print_trained(made, queued=queue, several=len(configs) > 1, as_json=as_json)
    return code


@command(
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
    settings: Settings = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Say how long a training takes and how much disk it needs, from a few measured steps."""
    import torch

    from cfa.data import dataset_info
    from cfa.jobs.devices import check_device, choose_device
    from cfa.jobs.submit import check_names
    from cfa.training import estimate_seconds

    store, _ = _open()
    chosen = choose_device(store.home, check_device(device, queued=False))
    costs = []
    for config in _configurations(method, dataset, model, preset, epochs, seed, init, settings):
        info = dataset_info(check_names(store, config).dataset, store.data_folder)
        costs.append((_short(config), estimate_seconds(config, info, torch.device(chosen))))
    seconds, disk_bytes = sum(cost.seconds for _, cost in costs), sum(cost.disk_bytes for _, cost in costs)
    if as_json:
        each = [{"settings": text, **asdict(cost)} for text, cost in costs]
        print_json({"seconds": seconds, "disk_bytes": disk_bytes, "device": chosen, "runs": each})
        return
    table = [(text, duration(cost.seconds), size(cost.disk_bytes)) for text, cost in costs]
    table += [("all", duration(seconds), size(disk_bytes))] if len(costs) > 1 else []
    print_table(table, (f"run (on {chosen})", "time", "disk"), "")


@command("cfa resume trades-cfa-fashion-mnist-mini-s0")
def resume(
    job: Reference, queue: ToQueue = False, trust_code: TrustCode = False, as_json: AsJson = False
) -> int:
    """Go on with a paused, interrupted, failed or cancelled job, exactly where it stopped.

    A run that has no job, because it was copied here or its maker was killed, gets one.
    """
    from cfa.jobs.unfinished import find_to_resume, submit_unfinished

    store, jobs = _open()
    stopped = find_to_resume(store, jobs, job)
    run_id = stopped.run_id if isinstance(stopped, Job) else stopped.id
    _require_code(store, run_id, trust_code)
    if isinstance(stopped, Job):
        found = jobs.resume(stopped.id, foreground=not queue)
    else:
        with Trusted.of(store).allowing(run_id):
            found = submit_unfinished(jobs, stopped, foreground=not queue)
    code = DONE if queue else _carry_out(jobs, found)
    if found.kind == "train" and found.run_id:
        run = store.find(found.run_id)
        _print_trained([(run, found)], queued=queue, several=False, as_json=as_json)
    elif found.kind == "evaluate" and not queue:
        _print_evaluated(store, [found], as_json)
    else:
        _print_jobs([jobs.get(found.id)], as_json, alone=True)
    return code


@command("cfa fetch cifar10", typed=("dataset",))
def fetch(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="See `cfa datasets`.")],
    queue: ToQueue = False,
    as_json: AsJson = False,
) -> int:
    """Download a data set now; trainings and evaluations otherwise do it when they need one."""
    from cfa.jobs.submit import submit_fetch

    store, jobs = _open()
    job = submit_fetch(store, jobs, dataset, foreground=not queue)
    code = DONE if queue else _carry_out(jobs, job)
    _print_jobs([jobs.get(job.id)], as_json, alone=True)
    return code


# Results ---------------------------------------------------------------------------------------------------


@command("cfa evaluate my-run --attack pgd-20 --eps 8/255 --limit 1000", typed=("attack", "dataset", "model"))
def evaluate(
    references: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...|WEIGHTS",
            help="Runs, weights files (FILE#KEY: a branch of one), or package.module:factory of a model.",
        ),
    ],
    attack: Annotated[list[str] | None, typer.Option(help="See `cfa attacks`; may be repeated.")] = None,
    preset: Annotated[str | None, typer.Option("--plan", help="Instead: quick, paper or sanity.")] = None,
    eps: Annotated[str | None, typer.Option(help="8/255 or 0.0314; by default the run's own.")] = None,
    norm: Annotated[
        str | None, typer.Option(help="linf, l2, l1 or l0 (pixels); by default the run's own.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The first N/classes test images of each class.")
    ] = None,
    weights: Annotated[str, typer.Option(help="auto, online, ema or fawa.")] = "auto",
    checkpoint: Annotated[str, typer.Option(help="best or last.")] = "best",
    dataset: Annotated[str | None, typer.Option(help="Needed with WEIGHTS; else the run's own.")] = None,
    model: Annotated[str | None, typer.Option(help="With WEIGHTS: the network.")] = None,
    normalize: Annotated[str, typer.Option(help="With WEIGHTS: none, dataset or MEAN/STD.")] = "none",
    sweep: Annotated[
        str | None, typer.Option(metavar="EPS,EPS...", help="Attack at each budget: 2/255,4/255,8/255.")
    ] = None,
    mode: Annotated[str, typer.Option(help="AutoAttack: reference (as published) or fast.")] = "reference",
    transfer_from: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run whose images `transfer` uses.")
    ] = None,
    keep_megabytes: Annotated[
        float, typer.Option(min=0, help="Room for adversarial images to look at.")
    ] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random starts.")] = 0,
    device: DeviceName = None,
    queue: ToQueue = False,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> int:
    """Attack runs, or a weights file, on test images and count what is still right, class by class."""
    from cfa.evaluation import NORMS, requested_plan, requested_sweep, requested_threat
    from cfa.jobs.devices import check_device

    store, jobs = _open()
    if norm is not None:
        _check_choice("norm", norm, NORMS)
    _check_choice("mode", mode, ("reference", "fast"))
    if (preset is None) == (not attack):
        raise ConfigError("say what to do: --attack (see `cfa attacks`; may be repeated), or else --plan")
    options: dict[str, Any] = {"seed": seed, "mode": mode, "keep_megabytes": keep_megabytes}
    options |= {"limit": limit} if limit is not None else {}
    source = transfer_from and store.find(transfer_from).id

    def plan_for(own: AttackSettings) -> "EvaluationPlan":
        chosen_norm, budget = requested_threat(norm, eps, own, "--")
        swept = {"eps_sweep": requested_sweep(sweep, chosen_norm, "--")} if sweep is not None else {}
        return requested_plan(
            preset, attack or [], chosen_norm, budget, transfer_from=source, options=options | swept
        )

    _check_choice("weights", weights, ("auto", "online", "ema", "fawa"))
    _check_choice("checkpoint", checkpoint, ("best", "last"))
    chosen = check_device(device, queued=queue)
    # An unknown attack is told before anything is looked for; what depends on a run's norm comes after it.
    with suppress(ConfigError):
        plan_for(AttackSettings())
    found = [_run_or_file(store, text) for text in references]
    # Attacks are judged before a weights file is copied: a typing error leaves nothing behind.
    plans = [plan_for(one.config.attack if isinstance(one, RunFolder) else AttackSettings()) for one in found]
    runs = [
        one if isinstance(one, RunFolder) else _register(store, jobs, one, dataset, model, normalize)
        for one in found
    ]
    with trust.allowing(name for run in runs if trust_code for name in code_of(run.config)):
        submitted, code = _evaluate_each(
            store, jobs, runs, plans, weights, checkpoint, dataset, chosen, queue
        )
    if queue:
        _print_jobs(submitted, as_json)
    else:
        _print_evaluated(store, submitted, as_json)
    return code


def _evaluate_each(
    store: Store,
    jobs: Queue,
    runs: Sequence[RunFolder],
    plans: "Sequence[EvaluationPlan]",
    weights: str,
    checkpoint: str,
    dataset: str | None,
    device: str | None,
    queue: bool,
) -> tuple[list[Job], int]:
    """Submit an evaluation of every run and, unless it is for the queue, carry it out."""
    from cfa.jobs.submit import submit_evaluation

    submitted, code = [], DONE
    for run, plan in zip(runs, plans, strict=True):
        job = submit_evaluation(
            store,
            jobs,
            run,
            weights=weights,
            checkpoint=checkpoint,
            plan=plan,
            device=device,
            dataset=dataset,
            foreground=not queue,
        )
        submitted.append(job)
        code = max(code, DONE if queue else _carry_out(jobs, job))
        if jobs.get(job.id).state in ("paused", "cancelled"):
            break
    return submitted, code


@command("cfa compare my-trades my-trades-cfa --out classes.csv")
def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN...]", help="Names, ids, or starts of ids.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="All runs with this tag as well.")] = None,
    baseline: Annotated[str | None, typer.Option(metavar="RUN", help="By default the first run.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A report: .csv (two tables), .md, .tex, .html, .pdf, or .zip (charts as PNG and SVG).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs with a baseline, class by class, on the test evaluations that they share."""
    from cfa.evaluation import default_weights
    from cfa.jobs.reports import check_format, make_report, write_report
    from cfa.results.choice import left_out
    from cfa.results.comparison import compare as compare_runs
    from cfa.results.comparison import records
    from cfa.results.frames import add_group_means

    store, _ = _open()
    if out is not None:
        check_format(out)
    found = _named_or_tagged(store, runs or [], tag or [])
    base = store.find(baseline) if baseline else found[0]
    problems = _note_problems([base, *(run for run in found if run.id != base.id)])
    if out is None:
        comparison = compare_runs(found, base, default_weights)
    else:
        report = make_report(found, base)
        comparison = report.comparison
        note(f"written: {' and '.join(map(str, write_report(report, out)))}")
    if as_json:
        print_json(comparison.document() | ({"problems": problems} if problems else {}))
        return
    groups = {run.id: run.class_groups for run in found}
    _print_summary(records(add_group_means(comparison.summary, comparison.per_class, groups)))
    print()
    _print_differences(comparison.entries)
    for said in (text for run in found for text in left_out(run)):
        note(said)


def _note_problems(runs: Sequence[RunFolder]) -> list[str]:
    """Say on stderr what of the results of runs cannot be read, and return it."""
    problems = problems_of(runs)
    for problem in problems:
        note(problem)
    return problems


def _named_or_tagged(store: Store, references: list[str], tags: list[str]) -> list[RunFolder]:
    """Find runs by reference, and those that carry one of the tags, each once."""
    found = {run.id: run for run in map(store.find, references)}
    tagged = [run.folder for run in readable_runs(store) if set(tags) & set(run.label.tags)] if tags else []
    found |= {run.id: run for run in tagged if run.id not in found}
    if not found:
        wanted = f"has the tag {', '.join(map(repr, tags))}" if tags else "is named"
        raise ConfigError(f"no run {wanted}; `cfa runs` lists them")
    return list(found.values())


@command("cfa export my-trades my-trades-cfa --out results")
def export(
    runs: Runs,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="A new or empty folder.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write event files for TensorBoard there.")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", help="Write to an MLflow store: sqlite:///mlflow.db.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy runs whole into a folder, with tables as CSV beside them, or their rows into a tracker."""
    from cfa.results.exports import export_runs
    from cfa.results.regular_files import listed, told
    from cfa.results.trackers import to_mlflow, to_tensorboard

    store, _ = _open()
    if out is None and tensorboard is None and mlflow is None:
        raise ConfigError("say where to: --out FOLDER, --tensorboard FOLDER or --mlflow URI")
    found = [store.find(reference) for reference in runs]
    require_readable(found)
    document: dict[str, Any] = {"runs": [run.id for run in found], "problems": _note_problems(found)}
    lines = []
    if out is not None:
        exported = export_runs(found, out)
        document |= {"folder": str(out.resolve()), "left_out": listed(exported.left_out)}
        lines += [*told(exported.left_out), f"{len(exported.runs)} runs exported to {out}"]
    if tensorboard is not None:
        written = to_tensorboard(found, tensorboard)
        document["tensorboard"] = [str(folder) for folder in written]
        lines.append(f"{len(written)} runs written for TensorBoard: tensorboard --logdir {tensorboard}")
    if mlflow is not None:
        ids = to_mlflow(found, mlflow)
        document["mlflow"] = ids
        lines.append(f"{len(ids)} runs written to MLflow at {mlflow}; {len(found) - len(ids)} were there")
    if as_json:
        print_json(document)
    else:
        for line in lines:
            say(line)


@command("cfa import results")
def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|LOG", help="An export, a run's folder, or a cw_log.pth of the official code."
        ),
    ],
    method: Annotated[str | None, typer.Option(help="With LOG, where no config.json lies beside it.")] = None,
    settings: Settings = [],  # noqa: B006
    name: Annotated[str | None, typer.Option(help="With LOG: the run's name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the runs in a folder into the store, or make a run of a log of the official CFA code."""
    from cfa.jobs.official_log import import_official_log, read_official_log
    from cfa.results.imports import Imported, import_runs
    from cfa.results.regular_files import listed, told

    store, _ = _open()
    if folder.is_file():
        log = read_official_log(folder, method=method, overrides=_settings(settings))
        for argument in log.left_out:
            note(f"left out of the log's settings, since nothing here is called so: {argument}")
        imported = Imported((import_official_log(store, log, name),))
    elif method or settings or name:
        raise ConfigError("--method, --set and --name belong to a cw_log.pth; leave them out for a folder")
    else:
        imported = import_runs(store, folder)
    for run_id in imported.skipped:
        note(f"skipped {run_id}: it is here already")
    for sentence in told(imported.left_out):
        note(sentence)
    for run_id, unusable in imported.renamed.items():
        note(f"{run_id} is called by its id: its name {unusable!r} is not usable here")
    if as_json:
        print_json(
            {
                "imported": [{"run_id": run.id, "run_name": run.name} for run in imported.runs],
                "skipped": list(imported.skipped),
                "left_out": listed(imported.left_out),
            }
        )
    else:
        rows = [(run.name, run.id) for run in imported.runs]
        print_table(rows, ("imported", "id"), "nothing new to import")


# Lists -----------------------------------------------------------------------------------------------------


@command("cfa runs --json")
def runs(as_json: AsJson = False) -> None:
    """List all runs."""
    store, queue = _open()
    found = list_runs(store)
    for run in found:
        if isinstance(run, UnreadableRun):
            note(run.problem)
    rows = [fields_of(run) for run in found]
    lonely = _without_job(queue, found)
    for row in rows:
        if row["id"] in lonely:
            row["message"] = f"no job trains it; `cfa resume {row['id']}` makes one"
    shown = ("name", "id", "method", "dataset", "model", "seed", "state", "epoch", "bytes")
    _print_list(rows, shown, as_json, "no runs yet; `cfa train --help` shows how to make one")


@command("cfa jobs")
def jobs(as_json: AsJson = False) -> None:
    """List all jobs, in the order of the queue."""
    _, queue = _open()
    found = queue.jobs()
    _print_jobs(found, as_json)
    left = seconds_until_empty(found, {job.id: read_progress(queue.home, job.id) for job in found})
    if left:
        note(f"the queue is empty in about {duration(left)}")


@command("cfa methods")
def methods(as_json: AsJson = False) -> None:
    """List the training methods."""
    from cfa.methods import METHODS

    rows = [{"name": name, "title": m.title, "summary": m.summary} for name, m in METHODS.items()]
    _print_list(rows, ("name", "summary"), as_json, "")


@command("cfa datasets folder:pets", typed=("names",))
def datasets(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[DATASET...]", help="These alone, such as folder:PATH.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the data sets, whether they are here, and what is taken for what in a folder."""
    from cfa.data import DATASETS, dataset_info

    store, _ = _open()
    rows = [asdict(dataset_info(name, store.data_folder)) for name in names or DATASETS]
    shown = ("name", "title", "classes", "train_images", "test_images", "available", "how_to_get")
    _print_list(rows, shown, as_json, "")
    for row in rows if not as_json else ():
        for said in row["notes"]:
            print(f"{row['name']}: {said}")


@command("cfa models")
def models(as_json: AsJson = False) -> None:
    """List the networks."""
    from cfa.models import MODELS

    _print_list(_documented(MODELS), ("name", "summary"), as_json, "")


@command("cfa attacks")
def attacks(as_json: AsJson = False) -> None:
    """List the attacks."""
    from cfa.attacks import ATTACKS, CLEAN

    rows = [{"name": CLEAN, "summary": "no attack"}, *_documented(ATTACKS)]
    _print_list(rows, ("name", "summary"), as_json, "")


# Queue -----------------------------------------------------------------------------------------------------


@command("cfa cancel my-run")
def cancel(job: Reference, as_json: AsJson = False) -> None:
    """Stop a job for good (`cfa resume` still brings it back until `cfa prune`)."""
    _, queue = _open()
    _print_jobs([queue.cancel(queue.find(job).id)], as_json, alone=True)


@command("cfa pause my-run")
def pause(job: Reference, as_json: AsJson = False) -> None:
    """Ask a job to save and stop; `cfa resume` goes on exactly there."""
    _, queue = _open()
    _print_jobs([queue.pause(queue.find(job).id)], as_json, alone=True)


@command("cfa work --until-empty")
def work(
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End when nothing is left to do.")
    ] = False,
) -> None:
    """Work through the queue without the dashboard, on every device; Ctrl-C leaves running jobs alone."""
    from cfa.jobs.supervisor import start_supervisors

    _, queue = _open()
    supervisors = start_supervisors(queue.home)
    note(f"working through the queue on {', '.join(_device_names())}; Ctrl-C stops this, not running jobs")
    try:
        for change in _changes(queue):
            if change is not None:
                note(change)
            elif until_empty and not any(
                job.state == "running" or (job.state == "queued" and _can_start(job, queue))
                for job in queue.jobs()
            ):
                return
    except KeyboardInterrupt:
        note("stopped; running jobs go on")
    finally:
        supervisors.stop()


# Suites ----------------------------------------------------------------------------------------------------

SuiteFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A suite, such as those in benchmarks/suites.")
]


SuiteData = Annotated[
    str | None, typer.Option("--dataset", metavar="NAME", help="Another data set than the file's.")
]


def _read_suite(file: Path, dataset: str | None) -> "Suite":
    from cfa.jobs.suites import read_suite

    suite = read_suite(file)
    return suite.on(dataset) if dataset is not None else suite


@command("cfa suite plan benchmarks/suites/demo.toml", suite_app, typed=("dataset",), named_in="file")
def suite_plan(
    file: SuiteFile,
    dataset: SuiteData = None,
    device: DeviceName = None,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """List the runs and evaluations of a suite, what is done already, and what the rest takes here."""
    import torch

    from cfa.jobs.devices import check_device, choose_device
    from cfa.jobs.suite_costs import SuiteCosts
    from cfa.jobs.suites import plan_evaluations, plan_suite

    store, _ = _open()
    suite = _read_suite(file, dataset)
    chosen = choose_device(store.home, check_device(device, queued=False))
    costs = SuiteCosts(store.data_folder, torch.device(chosen))
    planned = plan_suite(store, suite)
    runs = [_planned_run(run, costs) for run in planned]
    evaluations = [_planned_evaluation(wanted, costs) for wanted in plan_evaluations(suite, planned)]
    seconds, disk_bytes = (sum(item[key] for item in runs + evaluations) for key in ("seconds", "disk_bytes"))
    if as_json:
        totals = {"seconds": seconds, "disk_bytes": disk_bytes, "device": chosen}
        print_json({"runs": runs, "evaluations": evaluations, **totals})
        return
    _print_plan(suite.title, runs, evaluations, chosen)
    say(
        f"{len(runs)} trainings, {len(evaluations)} evaluations besides their closing tests; "
        f"for what is left {duration(seconds)} (evaluations at most) and {size(disk_bytes)}"
    )


def _planned_run(planned: "PlannedRun", costs: "SuiteCosts") -> dict[str, Any]:
    config, run = planned.config, planned.existing
    cost = None if run is not None and run.status.state == "finished" else costs.training(config)
    variant = "".join(f", {key}={value}" for key, value in planned.variant.items())
    return {
        "method": config.method,
        "seed": config.seed,
        "settings": _short(config) + variant,
        "run": run.name if run else None,
        "state": look_at(run).state if run else "to do",
        "starts_from": config.init or (_short(planned.starts_from.config) if planned.starts_from else None),
        "seconds": cost.seconds if cost else 0.0,
        "disk_bytes": cost.disk_bytes if cost else 0,
    }


def _planned_evaluation(wanted: "PlannedEvaluation", costs: "SuiteCosts") -> dict[str, Any]:
    seconds, disk_bytes = (0.0, 0) if wanted.is_made else costs.evaluation(wanted)
    return {
        "method": wanted.run.config.method,
        "seed": wanted.run.config.seed,
        "dataset": wanted.run.config.dataset,
        "attacks": wanted.plan.attacks,
        "eps": wanted.plan.eps,
        "weights": wanted.weights,
        "checkpoint": wanted.checkpoint,
        "done": wanted.is_made,
        "seconds": seconds,
        "disk_bytes": disk_bytes,
    }


def _print_plan(
    title: str, runs: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], device: str
) -> None:
    rows = [
        (
            run["settings"],
            f"{run['run']} ({run['state']})" if run["run"] else "to do",
            duration(run["seconds"]),
            size(run["disk_bytes"]),
        )
        for run in runs
    ]
    attacks = dict.fromkeys(evaluation["attacks"] for evaluation in evaluations)
    for names in attacks:
        alike = [evaluation for evaluation in evaluations if evaluation["attacks"] == names]
        rows.append(
            (
                f"{len(alike)} evaluations with {', '.join(names)}",
                f"{sum(evaluation['done'] for evaluation in alike)} done",
                duration(sum(evaluation["seconds"] for evaluation in alike)),
                size(sum(evaluation["disk_bytes"] for evaluation in alike)),
            )
        )
    print_table(rows, (title, "run", f"time on {device}", "disk"), "no runs")


@command("cfa suite run benchmarks/suites/demo.toml", suite_app, typed=("dataset",), named_in="file")
def suite_run(
    file: SuiteFile,
    dataset: SuiteData = None,
    device: DeviceName = None,
    queue: ToQueue = False,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> int:
    """Run what a suite still lacks: here, one after the other, or with --queue in the background."""
    from cfa.jobs.devices import check_device
    from cfa.jobs.suites import submit_suite

    store, jobs = _open()
    chosen = check_device(device, queued=queue)
    suite = _read_suite(file, dataset)
    made = submit_suite(store, jobs, suite, tag=f"suite:{file.stem}", device=chosen)
    code = DONE if queue else _carry_out_all(jobs, made)
    _print_jobs([jobs.get(job.id) for job in made], as_json)
    return code


def _carry_out_all(queue: Queue, made: Sequence[Job]) -> int:
    """Carry out jobs here; those that another process took are waited for, those without hope left out."""
    code = DONE
    for job in made:
        if (now := queue.get(job.id)).state == "running":
            note(f"{now.title} runs elsewhere; waiting for it")
        while (now := queue.get(job.id)).state == "running":
            time.sleep(1.0)
        if now.state == "queued" and not now.blocked_by:
            code = max(code, _carry_out(queue, queue.resume(job.id, foreground=True)))
        ended = queue.get(job.id).state
        if ended in ("paused", "cancelled"):
            return FAILED
        if ended != "done":
            code = FAILED
    return code


@command(
    "cfa suite report benchmarks/suites/demo.toml --out demo.md",
    suite_app,
    typed=("dataset",),
    named_in="file",
)
def suite_report(
    file: SuiteFile,
    dataset: SuiteData = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.md|.csv", help="Write the table there.")] = None,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """Print a suite's table beside the published numbers, also while the suite is unfinished."""
    from cfa.files import write_text
    from cfa.jobs.suite_report import report_suite

    if out is not None and out.suffix not in (".md", ".csv"):
        raise ConfigError(f"--out {out} is neither .md nor .csv; name such a file")
    store, _ = _open()
    report = report_suite(store, _read_suite(file, dataset))
    if out is not None:
        write_text(out, report.csv() if out.suffix == ".csv" else report.markdown())
        note(f"written: {out}")
    if as_json:
        print_json(report.document())
        return
    headings, rows = report.table()
    say(report.title)
    print_table(rows, headings, "no runs")
    say(f"{report.progress}; percent, with the standard deviation over runs and 95 % intervals over images")


@command("cfa prune --dry-run")
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete training state of finished and cancelled runs, and what crashes left half-written."""
    from cfa.jobs.cleanup import prune as prune_store

    store, _ = _open()
    pruned = prune_store(store, dry_run=dry_run)
    freed = sum(leftover.size for leftover in pruned.leftovers)
    for problem in pruned.problems:
        note(problem)
    if as_json:
        listed = [{"path": str(x.path), "reason": x.reason, "bytes": x.size} for x in pruned.leftovers]
        print_json({"bytes": freed, "deleted": not dry_run, "files": listed, "problems": pruned.problems})
        return
    for leftover in pruned.leftovers:
        note(f"{size(leftover.size):>9}  {leftover.path}  ({leftover.reason})")
    say(f"{size(freed)} {'would be freed' if dry_run else 'freed'}")


@app.command(name="run-job", hidden=True)
def run_job_command(job: str) -> None:
    """Carry out a job that a supervisor claimed."""
    from cfa.jobs.worker import run_job

    try:
        store, _ = _open()
        code = run_job(store.home, job)
    except CfaError as error:  # the store is gone, for example: the last line of the log says so
        note(f"error: {error}")
        code = FAILED
    raise typer.Exit(code)


# Helpers ---------------------------------------------------------------------------------------------------


def _open() -> tuple[Store, Queue]:
    store = Store.open()
    return store, Queue(store.home)


def _require_code(store: Store, run_id: str | None, trust_code: bool) -> None:
    """Refuse to go on with a run that names code that neither this store knows nor a person trusts."""
    if run_id is None:
        return
    names = code_of(store.find(run_id).config)
    with trust.allowing(names if trust_code else ()):
        Trusted.of(store).require(run_id, names)
        Trusted.of(store).remember(run_id, names if trust_code else ())


def _carry_out(queue: Queue, job: Job) -> int:
    """Run a job in this terminal."""
    from cfa.jobs.worker import run_job

    listener = TerminalListener(JobFolder.of(queue.home, job.id).log_file)
    code = run_job(queue.home, job.id, listener)
    listener.close()
    ended = queue.get(job.id)
    if ended.state == "paused":
        note(f"paused; go on with: cfa resume {ended.id}")
    return code


def _configurations(
    method: str,
    dataset: str,
    model: str | None,
    preset: str | None,
    epochs: int | None,
    seeds: str,
    init: str | None,
    settings: Sequence[str],
) -> list[RunConfig]:
    """Build one configuration per seed and combination of settings."""
    from cfa.methods import configure, grid

    overrides = _settings(settings)
    if epochs is not None:
        overrides["train.epochs"] = str(epochs)
    configs = [
        configure(method, dataset, model=model, preset=preset, seed=seed, init=init, overrides=chosen)
        for seed in _seeds(seeds)
        for chosen in grid(overrides)
    ]
    return list({config.key(): config for config in configs}.values())  # 20,20 is one value


def _settings(texts: Sequence[str]) -> dict[str, str]:
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text!r} is no setting; write KEY=VALUE, for example train.epochs=20")
        settings[key.strip()] = value.strip()
    return settings


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--seed {text!r} is no number; write 0, or 0,1,2 for three runs") from error
    try:
        return distinct_seeds(seeds)
    except ValueError as error:
        raise ConfigError(f"--seed {text!r} {error}") from error


def _names(store: Store, name: str | None, count: int) -> list[str | None]:
    """Name a grid's runs; taken ones are refused before the first starts."""
    if name is None or count == 1:
        return [name] * count
    names = [f"{name}-{number}" for number in range(1, count + 1)]
    taken = {run.name for run in store.runs()}.intersection(names)
    if taken:
        raise ConfigError(f"name {min(taken)!r} is taken; choose another --name")
    return list(names)


def _short(config: RunConfig) -> str:
    return f"{config.method} on {config.dataset}, {config.model}, seed {config.seed}"


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    from cfa.registry import unknown

    if value not in choices:
        raise unknown(f"--{option}", value, list(choices))


def _run_or_file(store: Store, reference: str) -> "RunFolder | WeightsFile | str":
    """Find what a reference means: a run, a weights file, or the import name of a factory."""
    from cfa.models import WeightsFile

    file = WeightsFile.of(reference)
    if file.path.is_file():
        return file
    try:
        return store.find(reference)
    except UnknownName:
        if file.path.is_dir():
            raise ConfigError(f"{reference} is a folder; name a weights file in it, or a run") from None
        if file.path.suffix in (".pt", ".pth", ".safetensors"):
            raise ConfigError(f"there is no weights file {reference}; check the path") from None
        # A name that several copied runs carry is theirs, and no code that somebody typed.
        if trust.is_import_name(reference) and all(run.name != reference for run in store.runs()):
            return reference
        raise


def _register(
    store: Store,
    queue: Queue,
    source: "WeightsFile | str",
    dataset: str | None,
    model: str | None,
    normalize: str,
) -> RunFolder:
    """Take a weights file, or what a factory makes, into the store as a run; fetch its data set before."""
    from cfa.data import dataset_info
    from cfa.jobs.submit import register_factory, register_weights, submit_fetch

    if dataset is None:
        what = "a model" if isinstance(source, str) else "a weights file"
        raise ConfigError(f"{source} is {what}; say which data set it is for: --dataset cifar10, for example")
    info = dataset_info(dataset, store.data_folder)
    if not info.available and info.download_bytes:
        job = submit_fetch(store, queue, dataset, foreground=True)
        if _carry_out(queue, job) != DONE:
            raise DataError(f"data set {dataset!r} was not fetched: {queue.get(job.id).message}")
    if not isinstance(source, str):
        run = register_weights(store, source, dataset, model, normalize)
        note(f"{run.name}: {run.status.message}")
        return run
    if model is not None:
        raise ConfigError(f"{source} makes a model already, and --model {model} names another; leave one out")
    with trust.allowing([source]):  # it is no run's name: that was looked for first
        return register_factory(store, source, dataset, normalize)


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


def _print_evaluated(store: Store, submitted: Sequence[Job], as_json: bool) -> None:
    """Print the evaluations that jobs made."""
    from cfa.results.comparison import records
    from cfa.results.evaluations import read_evaluations
    from cfa.results.frames import add_group_means, evaluations_frame, summary_frame

    made = []
    for job in submitted:
        run = store.find(job.run_id or "")
        ids = set(JobFolder.of(store.home, job.id).result().evaluations.values())
        made += [(run, evaluation) for evaluation in read_evaluations(run) if evaluation.id in ids]
    findings = [f"{run.name} ({e.weights}): {text}" for run, e in made for text in e.findings]
    per_class = evaluations_frame(made)
    checks = [(run, check) for run, evaluation in made for check in evaluation.checks]
    if as_json:
        verdicts = [{"run": run.name, **asdict(check)} for run, check in checks]
        print_json({"scores": records(per_class), "findings": findings, "checks": verdicts})
        return
    if made:
        groups = {run.id: run.class_groups for run, _ in made}
        _print_summary(records(add_group_means(summary_frame(per_class), per_class, groups)))
        print()
        _print_classes(records(per_class))
    if checks:
        print()
        _print_checks(checks)
    for finding in findings:
        note(finding)


def _print_checks(checks: Sequence[tuple[RunFolder, "Verdict"]]) -> None:
    said = {True: "holds", False: "FAILS", None: "not made"}
    rows = [
        (
            run.name,
            said[check.passed],
            check.name,
            ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in check.numbers.items()),
        )
        for run, check in checks
    ]
    print_table(rows, ("run", "verdict", "check", "accuracy"), "")
    for run, check in checks:
        if check.passed is False:
            note(f"{run.name}: {check.name}: no; {check.meaning}")


def _print_summary(summary: Sequence[Mapping[str, Any]]) -> None:
    from cfa.attacks import torchattacks_title

    def budget(row: Mapping[str, Any]) -> str:
        if row["norm"] in ("none", "linf"):
            return format_eps(row["eps"]) if row["eps"] else ""
        return f"{row['norm']} {row['eps']:g}"

    grouped = any("head" in row for row in summary)
    rows = [
        (
            row["run_name"],
            f"{row['weights']} ({row['checkpoint']})",
            torchattacks_title(row["attack"]),
            budget(row),
            f"{row['mean_accuracy']:.1%} [{row['mean_ci_low']:.1%}, {row['mean_ci_high']:.1%}]",
            f"{row['worst_accuracy']:.1%} [{row['worst_ci_low']:.1%}, {row['worst_ci_high']:.1%}]",
            row["worst_class"],
            f"{row['total']:,}",
            *([_groups_in_words(row)] if grouped else []),
        )
        for row in summary
    ]
    headings = ["run", "weights", "attack", "eps", "mean of classes", "worst class", "which", "images"]
    headings += ["head / medium / tail"] if grouped else []
    print_table(rows, headings, "no scores")


def _groups_in_words(row: Mapping[str, Any]) -> str:
    values = [row[name] for name in GROUPS]
    return "" if any(value is None for value in values) else " / ".join(f"{value:.1%}" for value in values)


def _print_classes(per_class: Sequence[Mapping[str, Any]]) -> None:
    columns = ("run_name", "weights", "attack", "class_name", "correct", "total")
    rows = [(*(row[name] for name in columns), f"{row['accuracy']:.1%}") for row in per_class]
    print_table(rows, ("run", "weights", "attack", "class", "correct", "total", "accuracy"), "")


def _print_differences(entries: Sequence[Mapping[str, Any]]) -> None:
    def points(value: float, ends: Sequence[float]) -> str:
        return f"{100 * value:+.1f} [{100 * ends[0]:+.1f}, {100 * ends[1]:+.1f}]"

    rows = [
        (
            f"{entry['run']} ({entry['weights']})",
            f"{entry['baseline']} ({entry['baseline_weights']})",
            entry["attack"],
            points(entry["mean_difference"], entry["mean_difference_ci"]),
            points(entry["worst_difference"], entry["worst_difference_ci"]),
            ", ".join(entry["classes_better"]) or "none",
            ", ".join(entry["classes_worse"]) or "none",
            _compared_images(entry),
        )
        for entry in entries
    ]
    headings = ("run", "minus", "attack", "mean, points", "worst class, points", "better", "worse", "images")
    print_table(rows, headings, "no kind of weights was evaluated for both")
    if entries:
        alike = sum(entry["paired"] for entry in entries)
        note(
            f"{alike} of {len(entries)} comparisons are paired, on the same images; a pair of runs compares "
            "two checkpoints: a statement about methods needs several seeds of each"
        )


def _compared_images(entry: Mapping[str, Any]) -> str:
    """Say on which images two runs were compared, and what they have there where each has others besides."""
    from cfa.results.comparison import on_common_images

    if not entry["paired"] and entry["run_images"] != entry["baseline_images"]:
        return f"{entry['run_images']:,} and {entry['baseline_images']:,}, not in pairs"
    return on_common_images(entry) or f"{entry['images']:,}"


def _without_job(queue: Queue, found: Sequence[ReadableRun | UnreadableRun]) -> set[str]:
    """Return the ids of runs that wait for a job that is not there."""
    from cfa.jobs.unfinished import without_job

    try:
        return without_job(queue, found)
    except CfaError as error:  # runs are listed whatever is wrong with the queue
        note(str(error))
        return set()


def _print_jobs(found: Sequence[Job], as_json: bool, alone: bool = False) -> None:
    documents = [{"name": job.title, **asdict(job)} for job in found]
    if as_json:
        print_json(documents[0] if alone else documents)
        return
    rows = [
        (job.id, job.kind, _state_in_words(job), job.ran_on or job.device or "any", job.title, job.message)
        for job in found
    ]
    print_table(rows, ("id", "kind", "state", "device", "title", "message"), "no jobs yet")


def _state_in_words(job: Job) -> str:
    return f"{job.state}, to {job.requested}" if job.requested else job.state


def _print_list(rows: Sequence[Mapping[str, Any]], shown: Sequence[str], as_json: bool, empty: str) -> None:
    if as_json:
        print_json(list(rows))
        return
    table = [[_cell(name, row[name]) for name in shown] for row in rows]
    print_table(table, [name.replace("_", " ") for name in shown], empty)


def _cell(name: str, value: Any) -> str:
    if name == "bytes":
        return size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _documented(registry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List a registry's names with the first line of what they are, where they say it."""
    return [
        {"name": name, "summary": (getattr(item, "__doc__", "") or "").strip().partition("\n")[0]}
        for name, item in registry.items()
    ]


def _device_names() -> list[str]:
    from cfa.jobs.devices import devices

    return devices()


def _can_start(job: Job, queue: Queue) -> bool:
    """Tell whether a queued job will start without anyone's help."""
    states = {other.id: other.state for other in queue.jobs()}
    hopeful = all(states.get(earlier, "done") in ("done", "queued", "running") for earlier in job.after)
    return hopeful and (job.device is None or job.device in _device_names())


def _changes(queue: Queue) -> Iterator[str | None]:
    """Give a line for every job that changed its state, then ``None``, once a second."""
    before = {job.id: job.state for job in queue.jobs()}
    while True:
        time.sleep(1.0)
        for job in queue.jobs():
            if before.get(job.id) != job.state:
                before[job.id] = job.state
                yield f"{job.state}: {job.title} ({job.id}) {job.message}".rstrip()
        yield None
