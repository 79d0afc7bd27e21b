"""Kinds of jobs: what each asks for is stored and read back; what is stored may say anything."""

import re
from pathlib import Path
from typing import Any

import pydantic
import pytest

from cfa.errors import ConfigError, StoreError
from cfa.evaluation import EvaluationPlan
from cfa.jobs import kinds
from cfa.jobs.job import Job, asking_for, jobs_like
from cfa.jobs.kinds import KINDS
from cfa.jobs.kinds.compare_runs import CompareRuns
from cfa.jobs.kinds.evaluate_run import EvaluateRun
from cfa.jobs.kinds.fetch_dataset import FetchDataset
from cfa.jobs.kinds.reproduce_images import ReproduceImages
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.kinds.unreadable_job import UnreadableJob
from cfa.jobs.observer import Listener
from cfa.jobs.queue import Queue
from cfa.jobs.submit import submit_training
from cfa.jobs.work import Work
from cfa.jobs.worker import run_job
from cfa.statistics import Targets
from cfa.trust import allowing
from tests.support.jobs import AsStored

PLAN = {"attacks": ["pgd-2"]}
SAYS: dict[str, tuple[str, dict[str, Any], str]] = {
    "train with a test that is no choice": ("train", {"test": [1]}, "test should be a valid boolean"),
    "evaluate nothing": ("evaluate", {}, "plan is missing"),
    "evaluate with a plan that is a text": ("evaluate", {"plan": "x"}, "plan should be an object"),
    "evaluate without weights": ("evaluate", {"plan": PLAN, "checkpoint": "best"}, "weights is missing"),
    "evaluate with an empty plan": (
        "evaluate",
        {"plan": {}, "weights": "online", "checkpoint": "best"},
        "attacks is missing",
    ),
    "compare nothing": ("compare", {}, "runs is missing"),
    "compare a number": ("compare", {"runs": 5, "baseline": "x"}, "runs should be a valid"),
    "reproduce nothing": ("reproduce", {}, "evaluation is missing"),
    "reproduce no image": (
        "reproduce",
        {"evaluation": "e", "column": "pgd-2", "images": []},
        "images Tuple should have at least 1 item",
    ),
    "reproduce texts": (
        "reproduce",
        {"evaluation": "e", "column": "pgd-2", "images": ["a"]},
        "images.0 should be a valid integer",
    ),
    "reproduce an object": (
        "reproduce",
        {"evaluation": "e", "column": {}, "images": [0]},
        "column should be a valid string",
    ),
    "fetch nothing": ("fetch", {}, "dataset is missing"),
}


WORKS: list[Work] = [
    TrainRun(test=False),
    EvaluateRun(plan=PLAN | {"transfer_from": "r1"}, weights="auto", checkpoint="best", dataset="cifar10"),
    EvaluateRun(plan=PLAN, weights="auto", checkpoint="best", until={"worst": 0.03}),
    CompareRuns(runs=("r1", "r2"), baseline="r1"),
    ReproduceImages(evaluation="e1", column="pgd-2", images=(0, 7)),
    FetchDataset(dataset="cifar10"),
    UnreadableJob(),
]


def submitted(queue: Queue, work: Work, run_id: str | None = "r1") -> Job:
    return queue.submit(work, "a job", run_id=run_id)


def test_a_kind_is_found_by_its_file() -> None:
    files = {file.stem for file in Path(kinds.__file__).parent.glob("[!_]*.py")}
    assert {kind.__module__.rpartition(".")[2] for kind in KINDS.values()} == files
    assert {type(work) for work in WORKS} == set(KINDS.values())


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.kind)
def test_what_a_job_asks_for_is_read_back_from_the_queue_and_from_its_folder(
    work: Work, queue: Queue, home: Path
) -> None:
    job = submitted(queue, work)
    assert (job.kind, job.work()) == (work.kind, work)
    (home / "queue.sqlite").unlink()
    assert queue.get(job.id).work() == work


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.kind)
def test_what_an_older_version_said_besides_is_passed_over(work: Work, queue: Queue) -> None:
    older = AsStored(work.kind, work.spec | {"import_from": "/somewhere"})
    assert submitted(queue, older).work() == work


def test_a_kind_of_a_newer_version_is_listed_as_unreadable(queue: Queue) -> None:
    job = submitted(queue, AsStored("dream", {}))
    assert (job.kind, job.can_be_done) == ("unreadable", False)
    assert "kind should be one of" in job.message
    assert queue.claim("cpu") is None


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.kind)
def test_a_job_trains_or_evaluates_the_run_that_it_names(work: Work, queue: Queue) -> None:
    job, of_none = submitted(queue, work), submitted(queue, work, run_id=None)
    assert (job.trains, job.evaluates) == (work.kind == "train", work.kind == "evaluate")
    assert not of_none.trains
    assert not of_none.evaluates


def test_jobs_that_ask_for_the_same_are_found(queue: Queue) -> None:
    works = [*WORKS, EvaluateRun(plan={"attacks": ["pgd-3"]}, weights="auto", checkpoint="best")]
    jobs = [submitted(queue, work) for work in works]
    jobs.append(submitted(queue, AsStored("fetch", {"dataset": 5})))
    for work, job in zip(works, jobs, strict=False):
        assert jobs_like(jobs, work) == [job]
    assert asking_for(jobs, FetchDataset) == [(jobs[5], WORKS[5])]


def test_an_evaluation_is_the_same_whatever_its_batches_are(queue: Queue) -> None:
    small, large = (EvaluationPlan(attacks=("pgd-2",), batch_size=size) for size in (10, 500))
    weaker = EvaluationPlan(attacks=("pgd-2",), eps=1 / 255)
    job = submitted(queue, EvaluateRun.of(small, weights="online", checkpoint="best"))
    for plan, found in ((small, [job]), (large, [job]), (weaker, [])):
        assert jobs_like([job], EvaluateRun.of(plan, weights="online", checkpoint="best")) == found
    assert jobs_like([job], EvaluateRun.of(small, weights="ema", checkpoint="best")) == []


def test_one_that_stops_early_is_never_the_same_as_a_full_one(queue: Queue) -> None:
    plan, targets = EvaluationPlan(attacks=("pgd-2",)), Targets(worst=0.03, which=True)
    full = EvaluateRun.of(plan, weights="online", checkpoint="best")
    early = EvaluateRun.of(plan, weights="online", checkpoint="best", until=targets)
    jobs = [submitted(queue, work) for work in (full, early)]
    assert (jobs_like(jobs, full), jobs_like(jobs, early)) == (jobs[:1], jobs[1:])
    other = EvaluateRun.of(plan, weights="online", checkpoint="best", until=Targets(mean=0.1))
    assert jobs_like(jobs, other) == []
    assert early.targets == targets
    with pytest.raises(StoreError, match="what the job stops at cannot be read"):
        _ = EvaluateRun(plan={}, weights="auto", checkpoint="best", until={"best": 1}).targets


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        (FetchDataset, {"dataset": "m" * 20_001}, "dataset String should have at most"),
        (FetchDataset, {"dataset": None}, "dataset"),
        (EvaluateRun, {"plan": {}, "weights": "w" * 301, "checkpoint": "best"}, "weights"),
        (ReproduceImages, {"evaluation": "e", "column": "c" * 301, "images": [1]}, "column"),
        (ReproduceImages, {"evaluation": "e", "column": "c", "images": [-1]}, "images.0"),
    ],
)
def test_what_no_job_can_ask_for_is_a_sentence(
    kind: type[Work], fields: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        kind.asked(fields)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["yes", 1, None])
def test_words_are_of_the_right_kind(text: object) -> None:
    with pytest.raises(pydantic.ValidationError):
        TrainRun(test=text)  # type: ignore[arg-type]
    with pytest.raises(pydantic.ValidationError):
        TrainRun().test = False  # type: ignore[misc]


class Ear(Listener):
    def log(self, message: str) -> None:
        """Hear nothing."""

    def failed(self, message: str) -> None:
        """Hear nothing."""


@pytest.mark.parametrize("case", SAYS)
def test_a_job_that_does_not_say_what_to_do_fails_with_a_sentence(
    case: str, store, queue, home, tiny_config
) -> None:
    kind, spec, said = SAYS[case]
    config = tiny_config("pgd-at")
    with allowing([config.dataset]):
        run, _ = submit_training(store, queue, config)
    job = queue.submit(AsStored(kind, spec), "of another", run_id=run.id, foreground=True)
    assert run_job(home, job.id, Ear()) == 1
    message = queue.get(job.id).message
    assert "unexpected" not in message
    assert re.search(re.escape(said), message)
