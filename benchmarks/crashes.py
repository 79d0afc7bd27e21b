"""Kill trainings and evaluations at random moments, go on as a user would, and compare with never killed.

python benchmarks/crashes.py [--kills 150] [--seed 0] [--minutes 60] [--at-once 2]

References are made once without a kill: a training (with its closing test) of every method, and an
evaluation with PGD-20 and a small AutoAttack. Then trials do the same in homes of their own while SIGKILL
hits the command in the terminal (`cfa train`, `evaluate`, `resume`), or the worker, the supervisor (`cfa
work`), or both. After every kill the runs are listed; then the command, `cfa resume` or `cfa work` goes on.
At the end of a trial every tensor, row and outcome has to equal the reference's bit for bit, no job may be
left unfinished, and `cfa prune` has to find every half-written file. The same seed draws the same trials and
moments; where a moment hits depends on the machine. Ends with 1 where there is a fault.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crashes_compared import Pieces, counted, differences, half_written, kept, unfinished_jobs
from crashes_home import Home, Moment, Started, alive, wait_for, where_it_hit

from cfa.jobs.queue import Queue

METHODS = ("pgd-at", "trades-cfa", "fat-cfa", "wat")  # the last: a rule with a state, and passes
EVALUATED = "trades-cfa"
VICTIMS = ("foreground", "worker", "supervisor", "both")
IMAGES = {"train": 32, "test": 10}  # of each class
SETTINGS = {
    "attack.eps": "0.1",
    "attack.steps": "3",
    "averaging.gate": "mean",
    "averaging.start_epoch": "2",
    "averaging.threshold": "0.3",  # opens the gate in some epochs
    "data.val_fraction": "0.25",
    "train.batch_size": "32",
    "train.epochs": "4",
    "train.keep_every": "2",
}
ATTACKS = ("pgd-20", "autoattack(apgd-ce,square)")
TRIES = 8  # to end a trial once nobody kills any more


@dataclass(frozen=True)
class Trial:
    """One home in which one thing is done while something is killed at these moments."""

    number: int
    task: str  # a method, or "evaluation"
    kills: tuple[tuple[str, Moment], ...]  # who is killed, and when


@dataclass
class Campaign:
    """References, where trials are, and what they came to."""

    folder: Path
    expected: dict[str, Pieces] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: threading.Event = field(default_factory=threading.Event)

    def command(self, task: str, *options: str) -> tuple[str, ...]:
        """Return the command that does a task from its start."""
        images = f"folder:{self.folder / 'images'}"
        if task == "evaluation":
            attacks = [option for name in ATTACKS for option in ("--attack", name)]
            chosen = (
                "--eps",
                "0.15",
                "--limit",
                "10",
                "--trust-code",
            )  # the run was copied here, its images not
            return ("evaluate", EVALUATED, *attacks, *chosen, *options)
        settings = SETTINGS | ({"rule.warmup_epochs": "1"} if task.endswith("-cfa") else {})
        typed = [option for key, value in settings.items() for option in ("--set", f"{key}={value}")]
        chosen = ("--dataset", images, "--model", "small-cnn", "--preset", "demo")
        return ("train", "--method", task, *chosen, "--name", task, *typed, *options)

    def home(self, name: str, task: str) -> Home:
        """Make a home; for an evaluation the reference of what is evaluated is copied into it."""
        home = Home(self.folder / name / "home")
        (home.path / "runs").mkdir(parents=True)
        if task == "evaluation":
            for run in (self.folder / f"reference-{EVALUATED}" / "home" / "runs").glob("[!.]*"):
                shutil.copytree(run, home.path / "runs" / run.name)
        return home

    def refer(self, pool: Executor) -> None:
        """Do every task once without a kill."""
        make_images(self.folder / "images")
        list(pool.map(self._refer_to, METHODS))
        self._refer_to("evaluation")

    def _refer_to(self, task: str) -> None:
        home = self.home(f"reference-{task}", task)
        started = time.monotonic()
        home.finish(home.start(*self.command(task)))
        self.seconds[task] = time.monotonic() - started
        self.expected[task] = kept(home.path)
        if problems := home.faults + unfinished_jobs(home.path):
            raise SystemExit(f"the reference of {task} failed: {problems}")

    def work(self, drawn: Iterator[Trial], kills: int, end: float) -> None:
        """Carry out trials until there were so many kills, or the time is over."""
        while self.kills.total() < kills and time.monotonic() < end and not self.stopping.is_set():
            with self.lock:
                trial = next(drawn)
            try:
                self.carry_out(trial)
            except Exception:  # what nobody thought of is a fault, and the others go on
                self.faults.append(f"trial {trial.number} ({trial.task}): {traceback.format_exc()}")
                print(self.faults[-1], flush=True)

    def carry_out(self, trial: Trial) -> None:
        """Carry out a trial and count what it came to."""
        home = self.home(f"trial-{trial.number:03d}", trial.task)
        hits: Counter[tuple[str, str]] = Counter()
        if trial.kills[0][0] == "foreground":
            in_a_terminal(self, home, trial, hits)
        else:
            through_the_queue(self, home, trial, hits)
        home.listed()
        home.check_logs()
        found, left = kept(home.path), half_written(home.path)
        prune(home, left)
        faults = [*home.faults, *unfinished_jobs(home.path), *differences(self.expected[trial.task], found)]
        with self.lock:
            self.kills += hits
            self.totals.update(trials=1, listings=home.listings, half_written=len(left), **counted(found))
            self.faults += [f"trial {trial.number} ({trial.task}): {fault}" for fault in faults]
            print(
                f"trial {trial.number} ({trial.task}, {trial.kills[0][0]}): {dict(hits)} {faults}", flush=True
            )
        if not faults:
            shutil.rmtree(home.path.parent)


def trials(seed: int, seconds: dict[str, float]) -> Iterator[Trial]:
    """Draw trials without end; the number of each seeds it, so that they may run side by side."""
    for number in range(10**6):
        rng = random.Random(f"{seed} {number}")
        task = rng.choice((*METHODS, "evaluation"))
        victims = VICTIMS[:1] if rng.random() < 0.45 else VICTIMS[1:]
        length = seconds[task] / 5  # so that several kills fit into what one training takes
        kills = tuple((rng.choice(victims), Moment.draw(rng, length)) for _ in range(rng.randint(3, 9)))
        yield Trial(number, task, kills)


def in_a_terminal(campaign: Campaign, home: Home, trial: Trial, hits: Counter[tuple[str, str]]) -> None:
    """Type the command, then `cfa resume`, each killed; at last let it go on to its end."""
    for _, moment in trial.kills:
        command = next_command(campaign, home, trial.task)
        if command is None:
            return
        started = home.start(*command)
        wait_for(moment, home.path, started.moment, lambda started=started: started.ended)
        if started.ended:
            home.finish(started)
            continue
        started.kill()
        hits[f"cfa {command[0]}", where_it_hit(home.path, started.moment, started.half_written)] += 1
        home.listed()
    for _ in range(TRIES):
        command = next_command(campaign, home, trial.task)
        if command is None:
            return
        home.finish(home.start(*command))
    home.faults.append("it does not come to its end")


def next_command(campaign: Campaign, home: Home, task: str) -> tuple[str, ...] | None:
    """Say what a user types next; ``None`` when everything is done."""
    jobs = home.jobs(kind="evaluate" if task == "evaluation" else "train")
    if jobs:
        return None if jobs[-1].state == "done" else ("resume", jobs[-1].id)
    if task != "evaluation" and any(run["name"] == task for run in home.listed()):
        return ("resume", task)  # its maker was killed before the run had a job
    return campaign.command(task)


def through_the_queue(campaign: Campaign, home: Home, trial: Trial, hits: Counter[tuple[str, str]]) -> None:
    """Queue the task and work through the queue; kill the worker, the supervisor, or both, and go on."""
    home.finish(home.start(*campaign.command(trial.task, "--queue")))
    work: Started | None = None
    for victim, moment in trial.kills:
        requeue(home)
        if all(job.state == "done" for job in home.jobs()):
            break
        if work is None or work.ended:
            work = home.start("work", "--until-empty")
        killed, where = kill_behind(home, work, victim, moment)
        if killed:
            hits[victim, where] += 1
            home.listed()
            work = work if victim == "worker" else None
    for _ in range(TRIES):
        if work is not None:
            home.finish(work)
        requeue(home)
        if all(job.state == "done" for job in home.jobs()):
            return
        work = home.start("work", "--until-empty")
    home.faults.append("the queue does not come to its end")


def requeue(home: Home) -> None:
    """Resume what was interrupted, as the button beside it does."""
    for job in home.jobs():
        if job.state == "interrupted":
            Queue(home.path).resume(job.id)


def kill_behind(home: Home, work: Started, victim: str, moment: Moment) -> tuple[bool, str]:
    """Kill the worker, the supervisor or both at a moment; tell whether there was one, and where it hit."""
    before = half_written(home.path)
    workers = home.workers()
    while victim != "supervisor" and not workers and not work.ended:
        time.sleep(0.1)
        workers = home.workers()
    started = time.time()

    def ended() -> bool:
        return work.ended or (victim != "supervisor" and not any(map(alive, workers)))

    wait_for(moment, home.path, started, ended)
    if ended():
        return False, ""
    if victim != "worker":
        work.kill()
    for worker in home.workers() if victim != "supervisor" else ():
        worker.kill()
    while victim != "supervisor" and any(map(alive, workers)):
        time.sleep(0.01)
    return True, where_it_hit(home.path, started, before)


def prune(home: Home, left: set[Path]) -> None:
    """Let `cfa prune` delete what was half-written, made two hours older first: it spares what is young."""
    for path in left:
        os.utime(path, (time.time() - 7200,) * 2)
    home.finish(home.start("prune"))
    home.faults += [f"{path.name} is half-written; `cfa prune` left it" for path in half_written(home.path)]


def make_images(folder: Path) -> None:
    """Write a few real images of every class as files."""
    from PIL import Image

    from cfa.data import load_dataset

    dataset = load_dataset("fashion-mnist-mini", folder.parent / "data")
    parts = {
        "train": (dataset.train_images, dataset.train_labels),
        "test": (dataset.test_images, dataset.test_labels),
    }
    for part, (images, labels) in parts.items():
        for index, name in enumerate(dataset.class_names):
            place = folder / part / name.replace("/", " ")
            place.mkdir(parents=True)
            for image in (labels == index).nonzero().flatten()[: IMAGES[part]].tolist():
                Image.fromarray(images[image, 0].numpy()).save(place / f"{image:05d}.png")


def result(campaign: Campaign, settings: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    """Say what the campaign came to."""
    by_kind: Counter[str] = Counter()
    by_place: Counter[str] = Counter()
    for (kind, place), count in campaign.kills.items():
        by_kind[kind] += count
        by_place[place] += count
    return {
        "what": "SIGKILLs at random moments, gone on with as a user would; weights, rows, knobs, outcomes "
        "and documents compared bit for bit with references that were never killed",
        "settings": settings,
        "kills": campaign.kills.total(),
        "kills_of": dict(by_kind.most_common()),
        "kills_in": dict(by_place.most_common()),
        "trials": campaign.totals["trials"],
        "compared": {k: v for k, v in campaign.totals.items() if k not in ("trials", "listings")},
        "listings": campaign.totals["listings"],
        "reference_seconds": {task: round(value, 1) for task, value in campaign.seconds.items()},
        "faults": campaign.faults,
        "machine": machine,
    }


def main() -> None:
    """Make references, then carry out trials until there were enough kills; SIGTERM ends it before."""
    from machine import describe_machine, write_result

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--at-once", type=int, default=2, help="trials side by side")
    parser.add_argument("--keep", action="store_true", help="keep the homes of trials with faults")
    settings = parser.parse_args()
    machine = describe_machine()
    campaign = Campaign(Path(tempfile.mkdtemp(prefix="cfa-crashes-")))
    signal.signal(signal.SIGTERM, lambda *_: campaign.stopping.set())
    with ThreadPoolExecutor(settings.at_once) as pool:
        campaign.refer(pool)
        drawn, end = trials(settings.seed, campaign.seconds), time.monotonic() + 60 * settings.minutes
        list(pool.map(lambda _: campaign.work(drawn, settings.kills, end), range(settings.at_once)))
    write_result("crashes", result(campaign, vars(settings), machine))
    if campaign.faults and settings.keep:
        print(f"kept: {campaign.folder}")
    else:
        shutil.rmtree(campaign.folder)
    sys.exit(1 if campaign.faults else 0)


if __name__ == "__main__":
    main()
