"""A teacher teaches what it is: nothing changes it, what does not fit is refused, and it is written down."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cfa.errors import ConfigError, DataError
from cfa.progress import Observer
from cfa.runs.folder import RunFolder
from cfa.runs.origins import TrainedOn
from cfa.training import fit, split_images
from cfa.training.teachers import require_teacher
from tests.support.networks import buffers_of, same_tensors
from tests.support.teachers import teacher_of
from tests.support.tiny import CPU, Stopper, stopped, tiny_config, tiny_dataset, tiny_run

DATA = tiny_dataset(spread=2)


def test_a_teacher_has_no_gradient_and_stays_as_it_is(tmp_path: Path) -> None:
    teacher = teacher_of(DATA)
    before = buffers_of(teacher.network)
    x = torch.rand(5, 1, 8, 8, requires_grad=True)
    assert not teacher(x).requires_grad
    run = tiny_run(tmp_path, tiny_config("rslad", train__epochs=1))
    fit(run, DATA, CPU, Observer(), teacher=teacher)
    assert run.status.state == "finished"
    assert same_tensors(before, buffers_of(teacher.network))
    assert not any(module.training for module in teacher.network.modules())
    assert all(parameter.grad is None for parameter in teacher.network.parameters())


def test_its_normalisation_is_its_own() -> None:
    """The run's network gets the statistics of its images; the teacher keeps what it was built for."""
    teacher = teacher_of(DATA)
    assert teacher.network.state_dict()["normalise.mean"].flatten().tolist() == [0.5]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"num_classes": 10},
            "teacher 'teacher.pt' knows 10 classes and the data set has 4; take a network that was trained "
            "on these classes",
        ),
        (
            {"image_size": 28},
            "teacher 'teacher.pt' takes images of 28 x 28 pixels in 1 channel and the data set has images of "
            "8 x 8 pixels in 1 channel; take a network that was trained on images of this size",
        ),
        ({"channels": 3}, "images of 8 x 8 pixels in 3 channels and the data set has"),
    ],
)
def test_a_teacher_of_other_images_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    run = tiny_run(tmp_path, tiny_config("ard"))
    with pytest.raises(ConfigError, match=r"teacher 'teacher\.pt'") as caught:
        fit(run, DATA, CPU, Observer(), teacher=teacher_of(DATA, **changes))
    assert says in str(caught.value)
    assert run.status.state == "failed"


def test_a_method_without_its_teacher_is_refused() -> None:
    with pytest.raises(ConfigError, match="ard learns from a trained network, and none was given"):
        require_teacher("ard", True, None, teacher_of(DATA).spec)


def test_the_manifest_says_whose_it_is(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config("ard", train__epochs=1).model_copy(update={"teacher": "teacher.pt"}))
    teacher = teacher_of(DATA)
    fit(run, DATA, CPU, Observer(), teacher=teacher)
    manifest = RunFolder(run.path).manifest
    assert manifest is not None
    assert manifest.teacher is not None
    assert manifest.teacher.weights_hash == teacher.origin.card.weights_hash
    assert manifest.start is None
    assert run.marks == ()


@pytest.mark.parametrize("split_seed", [0, 1])
def test_a_teacher_of_another_split_has_seen_the_validation_images(tmp_path: Path, split_seed: int) -> None:
    config = tiny_config("ard", train__epochs=1).model_copy(update={"teacher": "older"})
    theirs = split_images(tiny_config("trades", data__split_seed=split_seed), DATA)
    seen = TrainedOn("older", DATA.fingerprint, frozenset(theirs.train.tolist()))
    run = tiny_run(tmp_path, config)
    fit(run, DATA, CPU, Observer(), teacher=teacher_of(DATA, trained_on=(seen,)))
    if split_seed == 0:
        assert run.marks == ()
    else:
        (mark,) = run.marks
        assert mark.startswith("its teacher has seen the validation images: older was trained on ")
        assert mark.endswith(" of its 80")


def test_a_run_does_not_go_on_with_another_teacher(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config("ard"))
    stopped(run, DATA, after=9)
    with pytest.raises(DataError, match=r"the weights of teacher 'teacher\.pt' have changed since the run"):
        fit(run, DATA, CPU, Stopper(), teacher=teacher_of(DATA, seed=10))
    fit(RunFolder(run.path), DATA, CPU, Observer(), teacher=teacher_of(DATA))
    assert run.status.state == "finished"
