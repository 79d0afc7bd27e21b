"""How scores are printed: of every run, of its classes, and what a check of them says."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cfa.commands.printing import note, print_json, print_table
from cfa.jobs.queue import Job
from cfa.notation import format_eps
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.statistics import GROUPS

if TYPE_CHECKING:
    from cfa.runs.evaluations import Verdict


def print_evaluated(store: Store, submitted: Sequence[Job], as_json: bool) -> None:
    """Print the evaluations that jobs made."""
    from cfa.jobs.made import evaluations_made, sequential_made
    from cfa.tables.comparison import records
    from cfa.tables.fresh_evaluations import FreshEvaluations

    found = FreshEvaluations(
        [one for job in submitted for one in evaluations_made(store, job)],
        [one for job in submitted for one in sequential_made(store, job)],
    )
    if as_json:
        print_json(found.document())
        return
    if found.made:
        print_summary(found.summary())
        print()
        _print_classes(records(found.per_class))
    if found.stopped:
        print_summary(found.stopped_summary())
        print()
        _print_certain(records(found.stopped_per_class))
    if found.checks:
        print()
        _print_checks(found.checks)
    for finding in found.findings:
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


def _attack_title(attack: str) -> str:
    """Return what a table calls an attack: its name, or a title where a package has the attack."""
    if ":" not in attack:
        return attack
    from cfa.attacks import torchattacks_title

    return torchattacks_title(attack)


def print_summary(summary: Sequence[Mapping[str, Any]]) -> None:
    """Print a row for every run, weights and attack; groups of classes where there are some."""
    grouped, data = any("head" in row for row in summary), several_data_sets(summary)
    rows = [
        (
            row["run_name"],
            *([row["dataset"]] if data else []),
            f"{row['weights']} ({row['checkpoint']})",
            _attack_title(row["attack"]),
            budget(row),
            _with_ends(row, "mean"),
            _with_ends(row, "worst"),
            row["worst_class"],
            f"{row['total']:,}",
            *([_groups_in_words(row)] if grouped else []),
        )
        for row in summary
    ]
    headings = ["run", *(["data set"] if data else []), "weights", "attack", "eps"]
    headings += ["mean of classes", "worst class", "which", "images"]
    headings += ["head / medium / tail"] if grouped else []
    print_table(rows, headings, "no scores")


def _with_ends(row: Mapping[str, Any], of: str) -> str:
    """Write an accuracy with the ends of its interval; nothing where it was not asked for."""
    if row[f"{of}_accuracy"] is None:
        return ""
    return f"{row[f'{of}_accuracy']:.1%} [{row[f'{of}_ci_low']:.1%}, {row[f'{of}_ci_high']:.1%}]"


def _groups_in_words(row: Mapping[str, Any]) -> str:
    values = [row[name] for name in GROUPS]
    return "" if any(value is None for value in values) else " / ".join(f"{value:.1%}" for value in values)


def _print_classes(per_class: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (
            *(row[name] for name in ("run_name", "weights", "attack")),
            budget(row),
            *(row[name] for name in ("class_name", "correct", "total")),
            f"{row['accuracy']:.1%}",
        )
        for row in per_class
    ]
    print_table(rows, ("run", "weights", "attack", "eps", "class", "correct", "total", "accuracy"), "")


def _print_certain(per_class: Sequence[Mapping[str, Any]]) -> None:
    """Print classes of which some images were attacked, with the ends that hold for all of them at once."""
    rows = [
        (
            *(row[name] for name in ("run_name", "weights", "attack", "class_name", "correct", "total")),
            f"{row['accuracy']:.1%} [{row['ci_low']:.1%}, {row['ci_high']:.1%}]",
        )
        for row in per_class
    ]
    print_table(rows, ("run", "weights", "attack", "class", "correct", "attacked", "accuracy"), "")


def budget(row: Mapping[str, Any]) -> str:
    """Write a row's budget with its norm, without which rows of one attack look alike."""
    if row["norm"] in ("none", "linf"):
        return format_eps(row["eps"]) if row["eps"] else ""
    return f"{row['norm']} {row['eps']:g}"


def several_data_sets(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether rows have to say which data set they are about."""
    return len({row["dataset"] for row in rows}) > 1
