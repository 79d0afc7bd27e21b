"""A data set that is not there is refused before a job waits for it, in the words of that job."""

from pathlib import Path

import pytest

from cfa.data import load_dataset
from cfa.errors import DataError, Untrusted
from cfa.evaluation import EvaluationPlan
from cfa.jobs.queue import Queue
from cfa.jobs.submit import submit_evaluation, submit_training
from cfa.runs.store import Store
from cfa.trust import allowing
from tests.support.resumed import make_run


@pytest.mark.parametrize("where", ["nothing", "a file", "nothing-lt", "empty", "words", "empty classes"])
@pytest.mark.parametrize("work", ["train", "evaluate"])
def test_it_is_refused_and_leaves_nothing_behind(
    store: Store, queue: Queue, tiny_config, tmp_path: Path, where: str, work: str
) -> None:
    (tmp_path / "a file").write_text("x")
    for folder in ("empty", "words/train/ant", "empty classes/train/ant", "empty classes/train/bee"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "words/train/ant/notes.txt").write_text("x")
    name = f"folder:{tmp_path / where}"
    run = make_run(store, "one")
    config = tiny_config("trades").model_copy(update={"dataset": name})

    def submit() -> None:
        if work == "train":
            submit_training(store, queue, config)
        else:
            how = {"weights": "auto", "checkpoint": "best", "plan": EvaluationPlan(attacks=("clean",))}
            submit_evaluation(store, queue, run, dataset=name, **how)

    with allowing([name]):
        with pytest.raises(DataError) as of_the_job:
            load_dataset(name, store.data_folder)
        with pytest.raises(DataError) as refused:
            submit()
    assert str(refused.value) == str(of_the_job.value)
    assert (queue.jobs(), [one.id for one in store.runs()]) == ([], [run.id])


def test_no_path_is_not_the_working_folder(cfa, home: Path) -> None:
    for name in ("folder:", "folder: "):
        options = ("--dataset", name, "--model", "small-cnn", "--queue")
        assert "folder needs a path" in cfa("train", "--method", "trades", *options, code=1).stderr
    assert Queue(home).jobs() == []


def test_nobody_learns_from_it_whether_a_folder_is_there(
    store: Store, queue: Queue, tiny_config, tmp_path: Path
) -> None:
    for place in (tmp_path, tmp_path / "nothing"):
        config = tiny_config("trades").model_copy(update={"dataset": f"folder:{place}"})
        with pytest.raises(Untrusted):
            submit_training(store, queue, config)


def test_the_command_says_it_and_queues_nothing(cfa, home: Path, tmp_path: Path) -> None:
    options = ("--dataset", f"folder:{tmp_path / 'nothing'}", "--model", "small-cnn", "--queue")
    said = cfa("train", "--method", "trades", *options, code=1).stderr
    assert f"{tmp_path / 'nothing'} does not exist; folder:PATH takes" in said
    assert Queue(home).jobs() == []


@pytest.mark.parametrize(
    "given",
    [
        ("--set", "attack.steps=1", "--set", "attack.steps=2"),
        ("--epochs", "1", "--set", "train.epochs=2"),
    ],
)
def test_a_setting_that_is_given_twice_is_refused(cfa, home: Path, given: tuple[str, ...]) -> None:
    options = ("--dataset", "fashion-mnist-mini", "--queue", *given)
    assert "is given twice, as 1 and as 2" in cfa("train", "--method", "pgd-at", *options, code=2).stderr
    assert Queue(home).jobs() == []
