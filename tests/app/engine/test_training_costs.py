"""What trainings cost: epochs of like runs come before batches that are timed, and each says what it is."""

import threading

import pytest
import streamlit as st

from app.engine import snapshots, training_costs, training_jobs, training_settings
from cfa.jobs.queue import Queue
from cfa.runs.rows import Epoch, append_rows
from cfa.training import timing
from cfa.training.estimate import Timing


def config(method="trades-cfa", **changes):
    overrides = {name.replace("__", "."): value for name, value in changes.items()}
    return training_settings.configure(method, "fashion-mnist-mini", overrides=overrides)


def write_epochs(run, seconds):
    rows = [
        Epoch(
            epoch=epoch,
            learning_rate=0.1,
            loss=1.0,
            seconds=seconds,
            images_per_second=9000 / seconds,
            gate_worst=None,
            gate_threshold=None,
            gate_accepted=None,
        )
        for epoch in range(1, run.config.train.epochs + 1)
    ]
    append_rows(run.history_file, rows)
    run.weights_file("online", "best").write_bytes(b"0" * 1000)


@pytest.fixture
def trained(empty_home):
    """A run that was trained on cpu in this store, beside another job on another device."""
    queue = Queue(empty_home)
    first, second = training_jobs.start_training([config(train__epochs=2), config("trades")], "mine", None)
    jobs = [queue.claim(device) for device in ("cpu", "elsewhere")]
    assert [job.run_id for job in jobs] == [first.id, second.id]
    write_epochs(first, 1e-5)
    for job in jobs:
        queue.finish(job.id, "done")
    snapshots.forget_snapshots()
    return first


def test_epochs_of_a_like_run_say_what_it_costs_and_what_they_were_beside(trained):
    longer = config(train__epochs=4, attack__eps="8/255")
    cost = training_costs.training_cost([longer], "cpu")
    (source,) = cost.sources
    assert (source.run, source.beside) == (trained.name, 1)
    assert cost.seconds is not None
    assert cost.seconds > training_costs.training_cost([config(train__epochs=2)], "cpu").seconds
    assert training_costs.to_be_timed([longer], "cpu") == []


@pytest.mark.parametrize(
    ("changes", "device"),
    [
        ({"method": "pgd-at"}, "cpu"),
        ({"attack__steps": 3}, "cpu"),
        ({"train__precision": "float32"}, "cpu"),
        ({}, "elsewhere"),
    ],
)
def test_a_run_that_is_not_like_it_says_nothing(trained, changes, device):
    other = config(**changes)
    assert training_costs.training_cost([other], device).seconds is None
    assert training_costs.to_be_timed([other], device) == [other]


def test_of_what_nobody_looked_at_nothing_is_known(empty_home):
    theirs = config().model_copy(update={"dataset": "some:data"})
    assert not training_costs.names_no_code(theirs)
    assert training_costs.training_cost([theirs], None).seconds is None


def test_only_what_is_asked_last_is_timed_and_a_problem_is_said(empty_home, monkeypatch):
    begun, go_on, asked = threading.Event(), threading.Event(), []

    def timed(questions):
        for one in questions.asked:
            asked.append(one.config.method)
            begun.set()
            go_on.wait(10)
            if one.config.method == "fat":
                yield timing.Answer(problem="out of memory")
            else:
                yield timing.Answer(timing=Timing(0.001, 0.001, 1000))

    monkeypatch.setattr(timing, "ask", timed)
    training_costs.time_batches([config("pgd-at"), config("trades")], None)
    assert begun.wait(20)
    training_costs.time_batches([config("frl")], None)
    training_costs.time_batches([config("fat")], None)
    go_on.set()
    clock_is_still()
    assert asked == ["pgd-at", "fat"]
    cost = training_costs.training_cost([config("fat")], None)
    assert (cost.seconds, cost.problems) == (None, ("out of memory",))
    assert training_costs.training_cost([config("pgd-at")], None).seconds is not None
    st.cache_resource.clear()


def clock_is_still():
    for thread in threading.enumerate():
        if thread.name == "timing":
            thread.join(20)
    assert not training_costs.are_being_timed()


def test_a_real_process_times_batches():
    info = training_costs.dataset_description("fashion-mnist-mini")
    small = config(train__batch_size=4, attack__steps=1)
    question = timing.Question(config=small, info=info)
    answers = list(timing.ask(timing.Questions(device="cpu", patience=0.1, asked=(question, question))))
    assert [answer.problem for answer in answers] == ["", ""]
    assert all(answer.timing.training > 0 < answer.timing.checked for answer in answers)


def test_a_process_that_ends_is_a_problem_and_no_fault(monkeypatch):
    info = training_costs.dataset_description("fashion-mnist-mini")
    monkeypatch.setattr(timing, "COMMAND", ("python3", "-c", "import sys; sys.stdin.read(); sys.exit(3)"))
    questions = timing.Questions(
        device="cpu", patience=1, asked=(timing.Question(config=config(), info=info),)
    )
    (answer,) = timing.ask(questions)
    assert "ended with code 3" in answer.problem
