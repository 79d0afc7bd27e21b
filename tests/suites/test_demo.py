"""The demo: a suite that comes with the program, then a comparison."""

from cfa.jobs.queue import Queue
from cfa.methods import METHODS, plain_methods
from cfa.runs.store import Store
from cfa.suites.demo import DEMO_TAG, demo_suite, submit_demo


def test_the_demo_is_the_trainings_of_its_suite_then_a_comparison(store: Store, queue: Queue) -> None:
    *trainings, comparison = submit_demo(store, queue, settings={"train.epochs": 1})
    assert [job.kind for job in (*trainings, comparison)] == ["train"] * 4 + ["compare"]
    assert [run.config.method for run in store.runs()] == ["pgd-at", "pgd-at-cfa", "trades", "trades-cfa"]
    assert {run.config.train.epochs for run in store.runs()} == {1}
    assert {run.label.tags for run in store.runs()} == {(DEMO_TAG,)}
    assert comparison.after == tuple(job.id for job in trainings)
    assert comparison.title.endswith(" with demo trades")
    again = submit_demo(store, queue)  # a second press makes a second set, under free names
    assert len({run.name for run in store.runs()}) == 8
    assert again[0].id != trainings[0].id


def test_what_the_demo_trains_can_be_compared_with_a_plain_method() -> None:
    methods = demo_suite().methods
    assert set(plain_methods()) & set(methods)
    assert all(METHODS[method].compared_with in methods for method in methods)
