"""What users call around what they were handed: commands, and what pages read (`tests.fuzz.pages`)."""

import sqlite3
from collections.abc import Callable, Sequence

import cfa
from app.engine import outside
from cfa.data import dataset_info, load_dataset
from cfa.jobs.database import VERSION
from cfa.jobs.observer import Listener as PrintingListener
from cfa.jobs.queue import Queue
from cfa.jobs.worker import run_job
from cfa.tables.papers import read_published
from tests.fuzz.artefacts import DATASET
from tests.fuzz.pages import FORMS, read_each, read_jobs, read_list, read_tables, upload
from tests.fuzz.places import Place

AS: Sequence[tuple[str, ...]] = (  # what a comparison is written as
    *(("--json",), (), ("--out", "OUT/table.csv"), ("--out", "OUT/table.md")),
    *(("--out", "OUT/table.tex"), ("--json",), ("--out", "OUT/table.html")),
)
QUEUED = ("--attack", "pgd-2", "--limit", "20", "--queue")
LOG = "OUT/../work/log/models/official/cw_log.pth"


class Listener(PrintingListener):
    """Hears what a job tells and prints nothing."""

    def log(self, message: str) -> None:
        """Hear a line."""

    def failed(self, message: str) -> None:
        """Hear why a job failed."""


def list_all(place: Place) -> None:
    """List runs and jobs: whatever one of them says, the others are there."""
    for words in (("runs",), ("runs", "--json")):
        if "beta" not in place.command(*words, must_work=True).stdout:
            place.problems.append("cfa runs does not list the neighbour")
    place.command("jobs", must_work=True)
    read_list(place)


def _compare(place: Place) -> None:
    written = [word.replace("OUT", str(place.out)) for word in AS[place.number // 8 % len(AS)]]
    place.command("compare", *written, "--", place.typed, place.artefacts.beta)


def _evaluate(place: Place) -> None:
    place.command("evaluate", *QUEUED, "--", place.typed)
    place.command("resume", "--queue", "--", place.typed)
    place.command("evaluate", place.artefacts.beta, *QUEUED, must_work=True)
    place.command("jobs", "--json", must_work=True)


def _export(place: Place) -> None:
    place.command("export", "--out", str(place.out / "one"), "--", place.typed)
    other = place.out / f"other-{len(list(place.out.glob('other-*')))}"  # one may look twice
    place.command("export", place.artefacts.beta, "--out", str(other), must_work=True)


def _carry_out(place: Place) -> None:
    """Attack at once, and ask for the model in Python: by now whatever is named has to be there."""
    place.command("evaluate", *QUEUED[:-1], "--device", "cpu", "--", place.typed)
    place.call(lambda: cfa.load(place.typed, home=place.home))


LOOKS: Sequence[Callable[[Place], None]] = (_compare, _export, read_each, read_tables, _carry_out)


def look(place: Place) -> None:
    """List everything, evaluate and resume, then look in one way of several, which the change decides."""
    list_all(place)
    _evaluate(place)
    LOOKS[place.number % len(LOOKS)](place)


def tidy(place: Place) -> None:
    """Prune; it deletes, so it comes last."""
    place.command("prune", "--dry-run", must_work=True)
    place.command("prune", must_work=True)


# Around a change -------------------------------------------------------------------------------------


def around_a_run(place: Place) -> None:
    place.typed = place.artefacts.alpha
    look(place)
    tidy(place)


def around_a_config(place: Place) -> None:
    """Carry an evaluation out as well, always: to list and to queue imports nothing that is named."""
    place.typed = place.artefacts.alpha
    look(place)
    _carry_out(place)
    tidy(place)


def around_a_name(place: Place) -> None:
    look(place)
    place.typed = place.typed[:4]
    look(place)
    tidy(place)


def around_the_queue(place: Place) -> None:
    newer = _version(place)
    place.command("jobs")
    if newer is not None:  # a newer version wrote it, and can still read it
        place.command("evaluate", "beta", *QUEUED)
        if _version(place) != newer:
            place.problems.append(f"a queue of version {newer} was overwritten")
        return
    place.command("jobs", "--json")
    place.command("runs", must_work=True)
    place.call(read_jobs, place)
    (_command_jobs, _work)[place.number % 2](place)
    for job in place.call(Queue(place.home).jobs) or ():
        place.call(Queue(place.home).remove, job.id)
    for run in (place.artefacts.alpha, place.artefacts.beta):
        if not (place.home / "runs" / run / "config.json").exists():
            place.problems.append(f"run {run} was deleted with a job")
    tidy(place)


def _command_jobs(place: Place) -> None:
    for job in place.call(Queue(place.home).jobs) or ():
        for words in (("pause",), ("resume", "--queue"), ("cancel",), ("resume", "--queue")):
            if job.kind != "train":
                place.command(*words, "--", str(job.id))


def _version(place: Place) -> int | None:
    """Return the version of a queue that is newer than this one; ``None`` of others and of what is none."""
    file = place.home / "queue.sqlite"
    if not file.is_file():  # of a pipe SQLite would wait for the other end
        return None
    try:
        address = f"{file.as_uri()}?mode=ro"
        with sqlite3.connect(address, uri=True) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error:
        return None
    return version if version > VERSION else None


def _work(place: Place) -> None:
    """Take jobs as a supervisor does and carry them out here; what fails ends with a sentence."""
    queue = Queue(place.home)
    for _ in range(6):
        job = place.call(queue.claim, "cpu")
        if job is None:
            return
        if job.kind != "train":  # that would take minutes
            place.call(run_job, place.home, job.id, Listener())
            ended = place.call(queue.get, job.id)
            if ended is not None and "unexpected" in str(ended.message):
                place.problems.append(f"job of kind {job.kind}: {ended.message[:300]}")


def around_a_suite(place: Place) -> None:
    for words in (("plan",), ("plan", "--json"), ("report",), ("run", "--queue"), ("report", "--json")):
        place.command("suite", *words, str(place.changed))


def around_weights(place: Place) -> None:
    place.command("evaluate", str(place.changed), "--dataset", DATASET, *QUEUED)
    if place.changed.is_file():
        upload(place, place.changed.name, place.changed.read_bytes())
    place.command("runs", must_work=True)


def around_images(place: Place) -> None:
    name = f"folder:{place.root / 'work' / 'images'}"
    place.call(dataset_info, name, place.home / "data")
    place.call(load_dataset, name, place.home / "data")
    place.call(outside.look_at, name)
    place.command("evaluate", str(place.root / "work" / "weights.safetensors"), "--dataset", name, *QUEUED)
    place.command("datasets")


def around_an_import(place: Place) -> None:
    place.command("import", str(place.root / "work" / "export"))
    place.command("import", str(place.root / "work" / "export"), "--json")
    imported = place.home / "runs" / "rffffffff"
    for path in imported.rglob("*") if imported.exists() else ():
        if path.is_symlink() or path.suffix in (".py", ".pyc", ".so"):
            place.problems.append(f"imported: {path.relative_to(imported)}")
    place.typed = "rffffffff"
    look(place)


def around_a_log(place: Place) -> None:
    place.command("import", LOG.replace("OUT", str(place.out)))
    place.command("import", LOG.replace("OUT", str(place.out)), "--method", "pgd-at", "--json")
    place.command("runs", must_work=True)


def around_published(place: Place) -> None:
    place.call(read_published, place.changed)


def typing_on_a_page(place: Place) -> None:
    name, text = place.words
    FORMS[name](place, text)
    place.typed = place.artefacts.alpha
    look(place)


def typing(place: Place) -> None:
    place.command(*place.words)
    place.command("runs", must_work=True)
