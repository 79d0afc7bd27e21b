"""The command that compares runs: compare."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cfa.commands.printing import note, print_json, print_table
from cfa.commands.scores import budget, print_summary, several_data_sets
from cfa.commands.shared import AsJson, command, command_group, note_problems, open_store
from cfa.runs.listed import named_or_tagged
from cfa.tables.written import check_format, make_report, write_report

group = command_group()


@command(group, "cfa compare my-trades my-trades-cfa --out classes.csv")
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
    from cfa.runs.choice import left_out
    from cfa.tables.comparison import compare as compare_runs
    from cfa.tables.comparison import records
    from cfa.tables.frames import add_group_means

    store, _ = open_store()
    if out is not None:
        check_format(out)
    found = named_or_tagged(store, runs or [], tag or [])
    base = store.find(baseline) if baseline else found[0]
    everyone = [base, *(run for run in found if run.id != base.id)]
    problems = note_problems(everyone)
    unused = [text for run in everyone for text in left_out(run)]
    if out is None:
        comparison = compare_runs(found, base, default_weights)
    else:
        report = make_report(found, base)
        comparison = report.comparison
        note(f"written: {' and '.join(map(str, write_report(report, out)))}")
    if as_json:
        print_json(
            comparison.document()
            | ({"problems": problems} if problems else {})
            | ({"left_out": unused} if unused else {})
        )
        return
    groups = {run.id: run.class_groups for run in everyone}
    print_summary(records(add_group_means(comparison.summary, comparison.per_class, groups)))
    print()
    _print_differences(comparison.entries)
    marks = [f"{run.name}: {mark}" for run in everyone for mark in run.marks]
    for said in (*comparison.refused, *marks, *unused):
        note(said)


def _print_differences(entries: Sequence[Mapping[str, Any]]) -> None:
    from cfa.tables.comparison import ONE_NETWORK, in_points

    data = several_data_sets(entries)
    rows = [
        (
            f"{entry['run']} ({entry['weights']})",
            f"{entry['baseline']} ({entry['baseline_weights']})",
            *([entry["dataset"]] if data else []),
            entry["attack"],
            budget(entry),
            *(
                ("one network", "one network")
                if entry["one_network"] is not None
                else (
                    in_points(entry["mean_difference"], entry["mean_difference_ci"]),
                    in_points(entry["worst_difference"], entry["worst_difference_ci"]),
                )
            ),
            ", ".join(entry["classes_better"]) or "none",
            ", ".join(entry["classes_worse"]) or "none",
            _compared_images(entry),
        )
        for entry in entries
    ]
    headings = ["run", "minus", *(["data set"] if data else []), "attack", "eps", "mean, points"]
    headings += ["worst class, points", "better", "worse", "images"]
    print_table(rows, headings, "no kind of weights was evaluated for both")
    if entries:
        for run, epoch in sorted(
            {(e["run"], e["one_network"]) for e in entries if e["one_network"] is not None}
        ):
            note(f"{run}: {ONE_NETWORK.format(epoch=epoch)}")
        alike = sum(entry["paired"] for entry in entries)
        note(
            f"{alike} of {len(entries)} comparisons are paired, on the same images; a pair of runs compares "
            "two checkpoints: a statement about methods needs several seeds of each"
        )


def _compared_images(entry: Mapping[str, Any]) -> str:
    """Say on which images two runs were compared, and what they have there where each has others besides."""
    from cfa.tables.comparison import on_common_images

    if not entry["paired"] and entry["run_images"] != entry["baseline_images"]:
        return f"{entry['run_images']:,} and {entry['baseline_images']:,}, not in pairs"
    return on_common_images(entry) or f"{entry['images']:,}"
