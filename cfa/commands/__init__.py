"""The command line: a file for each group of commands, imported when one of its commands is called.

    training    train, estimate, resume, fetch, time-steps
    evaluating  evaluate
    comparing   compare
    storage     export, import, prune
    listing     runs, jobs
    catalogue   methods, datasets, models, attacks
    queue       cancel, pause, work, run-job
    suites      suite plan, suite run, suite report

What they share is in ``shared``, what they print in ``printing``. Within these files, what needs torch or
pandas is imported by the function that works with it: the help of a command does not wait for them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


@dataclass(frozen=True)
class Listed:
    """A command as ``cfa --help`` lists it: the file that has it, and the beginning of its own help."""

    file: str
    summary: str
    hidden: bool = False


COMMANDS: Mapping[str, Listed] = {
    "train": Listed("training", "Train a run, or a grid of runs one after the other."),
    "estimate": Listed(
        "training", "Say how long a training takes and how much disk it needs, from a few measured steps."
    ),
    "resume": Listed(
        "training",
        "Go on with a paused, interrupted, failed or cancelled job, exactly where it stopped.",
    ),
    "fetch": Listed(
        "training",
        "Download a data set now; trainings and evaluations otherwise do it when they need one.",
    ),
    "evaluate": Listed(
        "evaluating",
        "Attack runs, or a weights file, on test images and count what is still right, class by class.",
    ),
    "compare": Listed(
        "comparing",
        "Compare runs with a baseline, class by class, on the test evaluations that they share.",
    ),
    "export": Listed(
        "storage",
        "Copy runs whole into a folder, with tables as CSV beside them, or their rows into a tracker.",
    ),
    "import": Listed(
        "storage",
        "Copy the runs in a folder into the store, or make a run of a log of the official CFA code.",
    ),
    "runs": Listed("listing", "List all runs."),
    "jobs": Listed("listing", "List all jobs, in the order of the queue."),
    "methods": Listed("catalogue", "List the training methods, or say what one is and can be set to."),
    "datasets": Listed(
        "catalogue", "List the data sets, whether they are here, and what is taken for what in a folder."
    ),
    "models": Listed("catalogue", "List the networks."),
    "attacks": Listed("catalogue", "List the attacks."),
    "cancel": Listed("queue", "Stop a job for good (`cfa resume` still brings it back until `cfa prune`)."),
    "pause": Listed("queue", "Ask a job to save and stop; `cfa resume` goes on exactly there."),
    "work": Listed(
        "queue",
        "Work through the queue without the dashboard, on every device; Ctrl-C leaves running jobs alone.",
    ),
    "prune": Listed(
        "storage",
        "Delete training state of finished and cancelled runs, and what crashes left half-written.",
    ),
    "time-steps": Listed("training", "Time steps for the dashboard.", hidden=True),
    "run-job": Listed("queue", "Carry out a job that a supervisor claimed.", hidden=True),
    "suite": Listed("suites", "Tables as files: plan and run benchmarks/suites/*.toml."),
}


class ImportedWhenCalled(TyperGroup):
    """A group that lists commands by what `COMMANDS` says of them, and imports the one that is called."""

    def __init__(self, **given: Any) -> None:
        """Take what typer gives a group, and list the commands."""
        super().__init__(**given)
        for name, listed in COMMANDS.items():
            self.add_command(TyperCommand(name, help=listed.summary, hidden=listed.hidden))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first word names, in the file that has it."""
        name, listed, rest = super().resolve_command(ctx, args)
        if name is None or listed is None:
            return name, listed, rest
        group = get_group(import_module(f"cfa.commands.{COMMANDS[name].file}").group)
        return name, group.commands[name], rest


def _nothing() -> None:
    """Do nothing before a command."""


app = typer.Typer(
    name="cfa",
    help="Train class-wise calibrated fair adversarial training and its rivals, and compare classes.",
    cls=ImportedWhenCalled,
    callback=_nothing,  # without one, typer makes no group where it knows of no command yet
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    # Before torch is imported: threads that wait by spinning slow a worker down many times over as soon as
    # the dashboard or a browser wants one of its cores (on two cores: 7 to 109 s an epoch against 4 s).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
