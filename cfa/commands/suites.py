"""Commands about tables as files: suite plan, suite run, suite report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    open_store,
)
from cfa.errors import ConfigError
from cfa.files import write_text
from cfa.jobs.devices import check_device, choose_device
from cfa.suites.planned import plan_evaluations, plan_suite
from cfa.suites.report import report_suite
from cfa.suites.submission import carry_out_suite, submit_suite
from cfa.suites.suite import Suite
from cfa.suites.suite_file import read_suite

if TYPE_CHECKING:
    from cfa.suites.priced import PricedPlan

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

    from cfa.suites.costs import SuiteCosts
    from cfa.suites.priced import price

    store, _ = open_store()
    suite = _read_suite(file, dataset)
    chosen = choose_device(store.home, check_device(device, queued=False))
    costs = SuiteCosts(store.data_folder, torch.device(chosen))
    planned = plan_suite(store, suite)
    priced = price(planned, plan_evaluations(suite, planned), costs)
    if as_json:
        print_json(priced.document())
        return
    _print_plan(suite.title, priced)
    say(
        f"{len(priced.runs)} trainings, {len(priced.evaluations)} evaluations besides their closing tests; "
        f"for what is left {duration(priced.seconds)} (evaluations at most) and {size(priced.disk_bytes)}"
    )


def _print_plan(title: str, priced: "PricedPlan") -> None:
    rows = [
        (
            run.settings,
            f"{run.run} ({run.state})" if run.run else "to do",
            duration(run.seconds),
            size(run.disk_bytes),
        )
        for run in priced.runs
    ]
    attacks = dict.fromkeys(evaluation.attacks for evaluation in priced.evaluations)
    for names in attacks:
        alike = [evaluation for evaluation in priced.evaluations if evaluation.attacks == names]
        rows.append(
            (
                f"{len(alike)} evaluations with {', '.join(names)}",
                f"{sum(evaluation.done for evaluation in alike)} done",
                duration(sum(evaluation.seconds for evaluation in alike)),
                size(sum(evaluation.disk_bytes for evaluation in alike)),
            )
        )
    print_table(rows, (title, "run", f"time on {priced.device}", "disk"), "no runs")


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
    all_done = queue or carry_out_suite(jobs, made, carry_out, note)
    print_jobs([jobs.get(job.id) for job in made], as_json)
    return DONE if all_done else FAILED


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
    for said in reported.left_out:
        note(said)
    say(reported.networks)
    say(f"{reported.progress}; percent, with the standard deviation over runs and 95 % intervals over images")
