"""What a large store and a long queue cost: CPU seconds of what pages, commands and supervisors do often.

python benchmarks/scale.py [--before FOLDER] [--runs 1000] [--jobs 3000] [--repeats 5]

FOLDER is a checkout of another commit, installed, which is measured in turn with this one. The store is made
up: runs of 200 epochs and 100 classes with three evaluations each, and jobs that wait, have ended or wait for
others. Seconds are of the processor, not of the clock, so that other processes on the machine count little;
every round is a new process, and figures are medians over the rounds.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
GOALS = {"refresh of runs": 0.2}
SUITE_SEEDS = 10
EVALUATIONS = 3


@dataclass(frozen=True)
class Size:
    """How much there is."""

    runs: int
    jobs: int
    epochs: int = 200


def main() -> None:
    """Fill a home for every round of every checkout, measure it there, and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", type=Path, metavar="HOME", help="one round, printed as JSON")
    asked = parser.parse_args()
    size = Size(asked.runs, asked.jobs)
    if asked.measure is not None:
        print(json.dumps(measure(asked.measure)))
        return
    from machine import describe_machine, write_result

    machine = describe_machine()
    checkouts = {"now": PROJECT, **({"before": asked.before.resolve()} if asked.before else {})}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / "filled"
        fill(filled, size)
        for repeat in range(asked.repeats):
            for name, checkout in checkouts.items():
                place = Path(folder) / f"{name}-{repeat}"
                # Links to the same bytes: everything here is replaced, never written in place.
                shutil.copytree(filled, place / "home", copy_function=os.link)
                found[name].append(_one_round(checkout, place))
                shutil.rmtree(place)
    write_result(
        "scale",
        {
            "what": "CPU seconds of one process, medians over rounds, on a made-up store",
            "size": {**asdict(size), "classes": 100, "evaluations a run": EVALUATIONS},
            "goals": GOALS,
            "rounds": asked.repeats,
            "cpu_seconds": {
                name: {what: statistics.median(one[what] for one in rounds) for what in rounds[0]}
                for name, rounds in found.items()
            },
            "machine": machine,
        },
    )


def _one_round(checkout: Path, place: Path) -> dict[str, float]:
    own = {"CFA_HOME": place / "home", "XDG_CONFIG_HOME": place / "configuration", "XDG_CACHE_HOME": place}
    printed = subprocess.run(
        [checkout / ".venv/bin/python", "-P", __file__, "--measure", place / "home"],
        cwd=checkout,
        env=os.environ | {name: str(value) for name, value in own.items()} | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    measured: dict[str, float] = json.loads(printed.splitlines()[-1])
    return measured


# --- one round ------------------------------------------------------------------------------------


def measure(home: Path) -> dict[str, float]:
    """Return the CPU seconds of each thing that is done."""
    from app.engine import evaluated, snapshots
    from cfa.jobs.kinds.train_run import TrainRun
    from cfa.jobs.queue import Queue
    from cfa.runs.listed import list_runs
    from cfa.runs.store import Store
    from cfa.suites.planned import plan_evaluations, plan_suite
    from cfa.suites.submission import submit_suite
    from cfa.suites.suite import Suite

    store, queue = Store.open(home, shipped=None), Queue(home)
    found = {"first look at the queue": seconds(queue.jobs)}
    jobs = queue.jobs()
    queued = [job for job in jobs if job.state == "queued"]

    def refresh_runs() -> None:
        snapshots._runs.clear()
        assert len(snapshots.runs()) >= len(list_of_runs)

    def refresh_jobs() -> None:
        snapshots._jobs.clear()
        snapshots._progress.clear()
        assert len(snapshots.jobs()) == len(jobs)
        snapshots.progress()

    list_of_runs = store.runs()
    found["list of runs, as a command makes it"] = seconds(lambda: list_runs(store))
    found["list of runs once more"] = seconds(lambda: list_runs(store))
    found["first refresh of runs"] = seconds(refresh_runs)
    time.sleep(2.5)  # what has just been written is looked at twice
    refresh_runs()
    found["refresh of runs"] = median_seconds(refresh_runs)
    snapshots.jobs()
    found["refresh of jobs and their progress"] = median_seconds(refresh_jobs)
    newest = snapshots.usable_runs()[:100]
    found["fairness of 100 runs, first"] = seconds(lambda: evaluated.fairness(newest, {}))
    found["fairness of 99 of them"] = seconds(lambda: evaluated.fairness(newest[1:], {}))
    found["Queue.get"] = median_seconds(lambda: queue.get(queued[-1].id))
    found["Queue.claim"] = median_seconds(lambda: queue.claim("cpu"))
    found["Queue.submit"] = median_seconds(lambda: queue.submit(TrainRun(), "one more"))
    suite = Suite.model_validate(
        {
            "title": "scale",
            "dataset": "fashion-mnist-mini",
            "methods": ["trades", "trades-cfa"],
            "seeds": list(range(SUITE_SEEDS)),
            "evaluations": [{"attacks": ["pgd-100"]}],
        }
    )

    def plan() -> None:
        planned = plan_suite(store, suite)
        _ = [one.is_made for one in plan_evaluations(suite, planned)]

    found["suite plan"] = seconds(plan)
    found["suite run, 20 trainings and 20 evaluations"] = seconds(
        lambda: submit_suite(store, queue, suite, tag="scale")
    )
    found["suite run once more"] = seconds(lambda: submit_suite(store, queue, suite, tag="scale"))
    return {what: round(value, 4) for what, value in found.items()}


def seconds(act: Callable[[], object]) -> float:
    """Return the CPU seconds that something takes in this process."""
    began = time.process_time()
    act()
    return time.process_time() - began


def median_seconds(act: Callable[[], object]) -> float:
    """Return the median of several times."""
    return statistics.median(seconds(act) for _ in range(5))


# --- what is measured on --------------------------------------------------------------------------


def fill(home: Path, size: Size) -> None:
    """Make a store and the folders of a queue, which the queue is then rebuilt from."""
    sys.path.insert(0, str(PROJECT))
    from cfa.methods import configure
    from cfa.runs.folder import RunFolder
    from cfa.runs.store import Store
    from tests.app.example_store import HUNDRED, finished_run

    store = Store.open(home, shipped=None)
    made: list[str] = []
    while len(made) < size.runs:
        method = ("pgd-at", "pgd-at-cfa", "trades", "trades-cfa")[len(made) // 250 % 4]
        config = configure(method, "cifar100", overrides={"train.epochs": size.epochs})
        first = finished_run(store, config, HUNDRED, name=f"run-{len(made)}")
        made.append(first.id)
        for number in range(len(made), min(size.runs, len(made) + 249)):
            copy = RunFolder(first.path.with_name(f"r{number:08x}"))
            shutil.copytree(first.path, copy.path, copy_function=os.link)
            copy.write_config(config.model_copy(update={"seed": number}))
            copy.write_label(first.label.__class__(f"run-{number}", ("example",)))
            made.append(copy.id)
    fill_queue(home, size.jobs, made)


def fill_queue(home: Path, count: int, runs: list[str]) -> None:
    """Write folders of jobs: half have ended, of the others every second waits for the one before it."""
    from cfa.jobs.job_folder import JobFolder, write_json
    from cfa.runs.folder import now

    states = ("done", "done", "done", "failed", "cancelled", *("queued",) * 5)
    for number in range(count):
        folder = JobFolder.of(home, f"j{number:08x}")
        folder.path.mkdir(parents=True)
        state = states[number * len(states) // count]
        waits = state == "queued" and number % 2
        fixed = {
            "id": folder.path.name,
            "kind": "train",
            "title": f"train run {number}",
            "spec": {"test": True},
            "after_jobs": [f"j{number - 1:08x}"] if waits else [],
            "run_id": runs[number % len(runs)],
            "created": now(),
            "estimate_seconds": None,
        }
        changing = {"state": state, "position": float(number + 1), "foreground": False, "message": ""}
        ended = now() if state != "queued" else None
        nothing = dict.fromkeys(("requested", "device", "ran_on", "pid", "host"))
        write_json(folder.spec_file, fixed)
        write_json(folder.state_file, {**changing, **nothing, "started": ended, "finished": ended})


if __name__ == "__main__":
    main()
