"""Commands that move runs out of the store, into it, and clean it: export, import, prune."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cfa.commands.printing import note, print_json, print_table, say, size
from cfa.commands.shared import (
    AsJson,
    Settings,
    command,
    command_group,
    note_problems,
    open_store,
    read_settings,
)
from cfa.errors import ConfigError
from cfa.foreign.official_log import import_official_log, read_official_log
from cfa.jobs.cleanup import prune as prune_store
from cfa.runs.imports import Imported, import_runs
from cfa.runs.listed import require_readable
from cfa.runs.regular_files import listed, told
from cfa.tables.trackers import to_mlflow, to_tensorboard
from cfa.typed_paths import leads_to_file

group = command_group()


@command(group, "cfa export my-trades my-trades-cfa --out results")
def export(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names, ids, or starts of ids.")],
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
    from cfa.tables.exports import export_runs

    store, _ = open_store()
    if out is None and tensorboard is None and mlflow is None:
        raise ConfigError("say where to: --out FOLDER, --tensorboard FOLDER or --mlflow URI")
    found = [store.find(reference) for reference in runs]
    require_readable(found)
    document: dict[str, Any] = {"runs": [run.id for run in found], "problems": note_problems(found)}
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


@command(group, "cfa import results")
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
    store, _ = open_store()
    if leads_to_file(folder):
        log = read_official_log(folder, method=method, overrides=read_settings(settings))
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


@command(group, "cfa prune --dry-run")
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete training state of finished and cancelled runs, and what crashes left half-written."""
    store, _ = open_store()
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
