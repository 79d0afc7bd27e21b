"""Commands about tables as files: suite plan, suite run, suite report."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfa.commands.printing import duration, note, print_jobs, print_json, print_table, say, size
from cfa.commands.shared import (
    DONE,
    FAILED,
    AsJson,
    DeviceName,
    ToQueue,
    TrustCode,
    carry_out,
    command,
    command_group,
    in_words,
    open_store,
)
from cfa.errors import ConfigError
from cfa.files import write_text
from cfa.jobs.devices import check_device, choose_device
from cfa.jobs.queue import Job, Queue
from cfa.jobs.suite_report import report_suite
from cfa.jobs.suites import (
    PlannedEvaluation,
    PlannedRun,
    Suite,
    plan_evaluations,
    plan_suite,
    read_suite,
    submit_suite,
)
from cfa.results.listing import look_at

if TYPE_CHECKING:
    from cfa.jobs.suite_costs import SuiteCosts

group = command_group()
suite_group = command_group("suite", "Tables as files: plan and run benchmarks/suites/*.toml.")
group.add_typer(suite_group)

SuiteFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A suite, such as those in benchmarks/suites.")
]


SuiteData = Annotated[
    str | None, typer.Option("--dataset", metavar="NAME", help="Another data set than the file's.")
]


def _read_suite(file: Path, dataset: str | None) -> Suite:
    suite = read_suite(file)
    return suite.on(dataset) if dataset is not None else suite


@command(suite_group, "cfa suite plan benchmarks/suites/demo.toml", typed=("dataset",), named_in="file")
def plan(
    file: SuiteFile,
    dataset: SuiteData = None,
    device: DeviceName = None,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """List the runs and evaluations of a suite, what is done already, and what the rest takes here."""
    import torch

    from cfa.jobs.suite_costs import SuiteCosts

    store, _ = open_store()
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


def _planned_run(planned: PlannedRun, costs: "SuiteCosts") -> dict[str, Any]:
    config, run = planned.config, planned.existing
    cost = None if run is not None and run.status.state == "finished" else costs.training(config)
    variant = "".join(f", {key}={value}" for key, value in planned.variant.items())
    return {
        "method": config.method,
        "seed": config.seed,
        "settings": in_words(config) + variant,
        "run": run.name if run else None,
        "state": look_at(run).state if run else "to do",
        "starts_from": config.init or (in_words(planned.starts_from.config) if planned.starts_from else None),
        "seconds": cost.seconds if cost else 0.0,
        "disk_bytes": cost.disk_bytes if cost else 0,
    }


def _planned_evaluation(wanted: PlannedEvaluation, costs: "SuiteCosts") -> dict[str, Any]:
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


@command(suite_group, "cfa suite run benchmarks/suites/demo.toml", typed=("dataset",), named_in="file")
def run(
    file: SuiteFile,
    dataset: SuiteData = None,
    device: DeviceName = None,
    queue: ToQueue = False,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> int:
    """Run what a suite still lacks: here, one after the other, or with --queue in the background."""
    store, jobs = open_store()
    chosen = check_device(device, queued=queue)
    suite = _read_suite(file, dataset)
    made = submit_suite(store, jobs, suite, tag=f"suite:{file.stem}", device=chosen)
    code = DONE if queue else _carry_out_all(jobs, made)
    print_jobs([jobs.get(job.id) for job in made], as_json)
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
            code = max(code, carry_out(queue, queue.resume(job.id, foreground=True)))
        ended = queue.get(job.id).state
        if ended in ("paused", "cancelled"):
            return FAILED
        if ended != "done":
            code = FAILED
    return code


@command(
    suite_group,
    "cfa suite report benchmarks/suites/demo.toml --out demo.md",
    typed=("dataset",),
    named_in="file",
)
def report(
    file: SuiteFile,
    dataset: SuiteData = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.md|.csv", help="Write the table there.")] = None,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """Print a suite's table beside the published numbers, also while the suite is unfinished."""
    if out is not None and out.suffix not in (".md", ".csv"):
        raise ConfigError(f"--out {out} is neither .md nor .csv; name such a file")
    store, _ = open_store()
    reported = report_suite(store, _read_suite(file, dataset))
    if out is not None:
        write_text(out, reported.csv() if out.suffix == ".csv" else reported.markdown())
        note(f"written: {out}")
    if as_json:
        print_json(reported.document())
        return
    headings, rows = reported.table()
    say(reported.title)
    print_table(rows, headings, "no runs")
    say(f"{reported.progress}; percent, with the standard deviation over runs and 95 % intervals over images")
