"""What commands share: options, the store they open, running a job here, and errors as sentences."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from cfa import trust
from cfa.commands.printing import note
from cfa.errors import CfaError, ConfigError, UnknownName
from cfa.jobs.job_folder import JobFolder
from cfa.jobs.queue import Job, Queue
from cfa.runs.folder import RunFolder
from cfa.runs.listed import problems_of
from cfa.runs.store import Store

DONE, FAILED, BAD_USAGE = 0, 1, 2

Parameters = ParamSpec("Parameters")

Reference = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, or a run for its newest job.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DeviceName = Annotated[str | None, typer.Option(help="cuda:0, mps, cpu; by default the first that is free.")]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="A setting; KEY=A,B,C makes a grid of runs.")
]
ToQueue = Annotated[bool, typer.Option("--queue", help="Hand it to the queue and return at once.")]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Run the package.module:name that the file or run names.")
]


def command_group(name: str | None = None, help: str | None = None) -> typer.Typer:
    """Make a group for the commands of a file; one with a name is called by it."""
    return typer.Typer(name=name, help=help, no_args_is_help=True, rich_markup_mode=None)


def command(
    group: typer.Typer,
    example: str,
    *,
    typed: Sequence[str] = (),
    named_in: str | None = None,
) -> Callable[[Callable[Parameters, int | None]], Callable[Parameters, None]]:
    """Add a command to a group; ``example`` ends its help.

    What the function returns is the exit code, and a CfaError becomes one sentence on stderr. ``typed`` names
    the parameters in which a person may name code of their own: only what stands there is imported, and with
    ``--trust-code`` what the suite names that the parameter ``named_in`` holds.
    """

    def add(function: Callable[Parameters, int | None]) -> Callable[Parameters, None]:
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

        name = function.__name__.strip("_").replace("_", "-")
        group.command(name=name, epilog=f"\b\nExample:\n  {example}")(run)
        return run

    return add


def _texts(values: Iterable[object]) -> Iterator[object]:
    for value in values:
        yield from value if isinstance(value, list) else (value,)


def _code_in(suites: Sequence[object]) -> Iterator[str]:
    for file in suites:
        from cfa.suites.suite_file import code_in

        yield from code_in(Path(str(file)))


def open_store() -> tuple[Store, Queue]:
    """Open the store and the queue under ``CFA_HOME``."""
    store = Store.open()
    return store, Queue(store.home)


def carry_out(queue: Queue, job: Job) -> int:
    """Run a job in this terminal, and return its exit code."""
    from cfa.commands.progress import TerminalListener
    from cfa.jobs.worker import run_job

    with closing(TerminalListener(JobFolder.of(queue.home, job.id).log_file)) as listener:
        code = run_job(queue.home, job.id, listener)
    ended = queue.get(job.id)
    if ended.state == "paused":
        note(f"paused; go on with: cfa resume {ended.id}")
    return code


def read_settings(texts: Sequence[str]) -> dict[str, str]:
    """Read what ``--set`` was given, by the settings' names.

    Raises:
        ConfigError: One is no KEY=VALUE, or a setting is given twice.
    """
    settings: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text!r} is no setting; write KEY=VALUE, for example train.epochs=20")
        name, value = key.strip(), value.strip()
        if settings.setdefault(name, value) != value:
            raise ConfigError(
                f"--set {name} is given twice, as {settings[name]} and as {value}; several values are "
                f"--set {name}={settings[name]},{value}"
            )
    return settings


def note_problems(runs: Sequence[RunFolder]) -> list[str]:
    """Say on stderr what of the results of runs cannot be read, and return it."""
    problems = problems_of(runs)
    for problem in problems:
        note(problem)
    return problems
