"""What a run's folder says of it, and what people change there: its label, or that it is there at all."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.engine.snapshots import Run, forget_snapshots, jobs
from app.process.brief import kept_for
from app.process.opened import store
from app.process.rights import acts, looks
from app.process.stamps import stamp_of
from cfa.errors import ConfigError
from cfa.jobs.job_folder import tail
from cfa.runs.folder import Label, Manifest, RunFolder
from cfa.statistics import Group


@looks
def manifest(run: Run) -> Manifest | None:
    """Return how a run was made, or ``None`` before it started."""
    return run.folder.manifest


@looks
def class_groups(run: Run) -> tuple[Group, ...]:
    """Return the group of each class, head, medium or tail; empty where classes are equally large."""
    return run.folder.class_groups


@looks
def run_log(run: Run, lines: int = 200) -> str:
    """Return the last lines of a run's log (of its last megabyte); empty before the first."""
    return tail(run.folder.log_file, lines)


@looks
def disk_use(run: Run) -> int:
    """Return the bytes that a run takes."""
    return _disk_use(str(run.folder.path), stamp_of(run.folder.history_file), run.state)


@kept_for(60, max_entries=2000)
def _disk_use(path: str, stamp: tuple[int, int], state: str) -> int:
    try:
        return RunFolder(Path(path)).bytes_used()
    except FileNotFoundError:  # deleted, or a file replaced, while it was summed up
        return 0


@acts
def relabel(run: Run, name: str, tags: Sequence[str], notes: str) -> None:
    """Change a run's name, tags and notes."""
    store().relabel(run.folder, Label(name.strip(), tuple(tags), notes))
    forget_snapshots()


@acts
def delete_runs(chosen: Sequence[Run]) -> None:
    """Delete runs for good; one that is being trained is refused."""
    for run in chosen:
        if any(job.run_id == run.id and job.state not in ("done", "failed", "cancelled") for job in jobs()):
            raise ConfigError(
                f"run {run.name!r} has a job in the queue; cancel that job, then delete the run"
            )
        run.folder.delete()
        forget_snapshots()


@acts
def tag_runs(chosen: Sequence[Run], add: Sequence[str], remove: Sequence[str]) -> None:
    """Give tags to runs and take others away; names and notes stay."""
    for run in chosen:
        label = run.folder.label
        tags = dict.fromkeys([*(tag for tag in label.tags if tag not in remove), *add])
        store().relabel(run.folder, replace(label, tags=tuple(tags)))
        forget_snapshots()
