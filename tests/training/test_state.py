"""The saved state: whole or the one before, and never unpickled blindly."""

import errno
import io
import os
import pickle
from pathlib import Path

import pytest
import torch

from cfa.errors import CheckpointError, StoreError
from cfa.methods import Knobs
from cfa.training.state import EpochCounts, TrainingState
from cfa.training.step import StepResult
from tests.support.networks import batch_norm_network, images_and_labels, same_tensors

CPU = torch.device("cpu")


def stepped(loss: torch.Tensor, correct: torch.Tensor, **sums: torch.Tensor) -> StepResult:
    return StepResult(loss=loss, correct=correct, sums=sums)


def a_state(seed: int = 0) -> TrainingState:
    model = batch_norm_network(seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    uniform = torch.ones(4, dtype=torch.float64)
    return TrainingState(
        model,
        optimizer,
        Knobs(eps=uniform, clean_weight=uniform, robust_weight=uniform),
        {},
        EpochCounts.zero(4, CPU),
    )


def moved(seed: int = 0) -> TrainingState:
    """Take two steps, and fill every field with something of its own."""
    state = a_state(seed)
    x, y = images_and_labels()
    for _ in range(2):
        state.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(state.model(x), y)
        loss.backward()
        state.optimizer.step()
        state.counts.add(y, stepped(loss.detach(), y == 1), 1)
    state.knobs = Knobs(
        eps=torch.tensor([0.1, 0.2, 0.3, 1 / 3], dtype=torch.float64),
        clean_weight=torch.zeros(4, dtype=torch.float64),
        robust_weight=torch.ones(4, dtype=torch.float64),
    )
    state.rule_state = {"multiplier": torch.tensor([1.5])}
    state.averages = {"ema": {name: value.clone() for name, value in state.model.state_dict().items()}}
    state.scores = {"online": {"val": {"clean": (1, 2), "robust": (0, 1), "total": (2, 2)}}}
    state.best = {"online": (0.75, 3)}
    state.epoch, state.step = 5, 2
    return state


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    saved, file = moved(), tmp_path / "state" / "state.pt"
    saved.save(file)
    restored = a_state(seed=1)
    restored.restore(file)
    assert same_tensors(restored.model.state_dict(), saved.model.state_dict())
    assert same_tensors(restored.averages["ema"], saved.averages["ema"])
    for name in ("eps", "clean_weight", "robust_weight"):
        assert torch.equal(restored.knobs[name], saved.knobs[name])
        assert restored.knobs[name].dtype == torch.float64
    for name in ("correct", "total", "loss", "first_bad_step"):
        assert torch.equal(getattr(restored.counts, name), getattr(saved.counts, name))
        assert getattr(restored.counts, name).dtype == getattr(saved.counts, name).dtype
    assert torch.equal(restored.rule_state["multiplier"], torch.tensor([1.5]))
    assert restored.scores == saved.scores
    assert restored.best == {"online": (0.75, 3)}
    assert (restored.epoch, restored.step) == (5, 2)
    momenta = [
        [state["momentum_buffer"] for state in optimizer.state.values()]
        for optimizer in (saved.optimizer, restored.optimizer)
    ]
    assert all(torch.equal(one, other) for one, other in zip(*momenta, strict=True))
    assert [path.name for path in file.parent.iterdir()] == ["state.pt"]


def test_counts_by_hand() -> None:
    counts = EpochCounts.zero(3, CPU)
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [0.25, 0.25, 0.5]])
    first = stepped(torch.tensor(0.5), torch.tensor([True, False, True]), p=probabilities, n=torch.ones(3))
    counts.add(torch.tensor([0, 2, 2]), first, 1)
    second = stepped(torch.tensor(2.0), torch.tensor([True]), p=torch.ones(1, 3), n=torch.tensor([4.0]))
    counts.add(torch.tensor([2]), second, 2)
    assert counts.sums["n"].tolist() == [1, 0, 2 + 4]
    assert counts.sums["p"].tolist() == [[0.5, 0.25, 0.25], [0, 0, 0], [1.25, 1.75, 2.0]]
    assert counts.correct.tolist() == [1, 0, 2]
    assert counts.total.tolist() == [1, 0, 3]
    assert float(counts.loss) == 3 * 0.5 + 2.0
    assert int(counts.first_bad_step) == EpochCounts.NEVER
    for step, loss in ((3, "nan"), (4, "inf"), (5, "1.0")):
        counts.add(torch.tensor([1]), stepped(torch.tensor(float(loss)), torch.tensor([True])), step)
    assert int(counts.first_bad_step) == 3


def torch_bytes(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, ("exit 1",))


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: b"garbage",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"\x80\x02" + whole[:50],
        lambda whole: pickle.dumps(Evil(), protocol=2),
        lambda whole: pickle.dumps({"model": {}}, protocol=2),
        lambda whole: torch_bytes({"model": {}}),
        lambda whole: torch_bytes(torch.ones(3)),
    ],
    ids=["empty", "garbage", "truncated", "pickle-like", "evil", "pickle", "foreign", "tensor"],
)
def test_a_damaged_state_is_a_sentence_and_changes_nothing(tmp_path: Path, damage) -> None:
    file = tmp_path / "state.pt"
    moved().save(file)
    file.write_bytes(damage(file.read_bytes()))
    state = a_state()
    with pytest.raises(CheckpointError, match=r"state\.pt cannot be read; delete it to start the run again"):
        state.restore(file)
    assert same_tensors(state.model.state_dict(), a_state().model.state_dict())


def other(**fields: object):
    """Make a file that is a state of this network but for some fields."""

    def change(whole: bytes) -> bytes:
        content = torch.load(io.BytesIO(whole), weights_only=True)
        return torch_bytes(content | fields)

    return change


def without(field: str):
    def change(whole: bytes) -> bytes:
        content = torch.load(io.BytesIO(whole), weights_only=True)
        return torch_bytes({name: value for name, value in content.items() if name != field})

    return change


WEIGHTS = a_state().model.state_dict()
FOREIGN = {
    "a list": lambda whole: torch_bytes([1]),
    "a number": lambda whole: torch_bytes(1),
    "no network": without("model"),
    "no knobs": without("knobs"),
    "no epoch": without("epoch"),
    "another network": other(model={"a": torch.ones(2)}),
    "another shape": other(model={name: torch.ones(99) for name in WEIGHTS}),
    "a network of text": other(model=dict.fromkeys(WEIGHTS, "x")),
    "averages of another network": other(averages={"ema": {"a": torch.ones(2)}}),
    "averages of text": other(averages="ema"),
    "knobs of other classes": other(
        knobs=dict.fromkeys(("eps", "clean_weight", "robust_weight"), torch.ones(9))
    ),
    "other knobs": other(knobs={"gift": torch.ones(4)}),
    "knobs of text": other(knobs=dict.fromkeys(("eps", "clean_weight", "robust_weight"), "x")),
    "counts of text": other(counts="x"),
    "a rule's state of text": other(rule_state={"a": "x"}),
    "an epoch of text": other(epoch="5"),
    "half an epoch": other(epoch=0.5),
    "best without an epoch": other(best={"online": (0.5,)}),
    "best of text": other(best={"online": ("x", "y")}),
    "scores of text": other(scores=7),
    "no optimiser": other(optimizer=3),
    "another optimiser": other(optimizer={"state": {}, "param_groups": []}),
}


@pytest.mark.parametrize("damage", FOREIGN.values(), ids=FOREIGN)
def test_somebody_elses_state_is_refused_in_a_sentence(tmp_path: Path, damage) -> None:
    file = tmp_path / "state.pt"
    moved().save(file)
    file.write_bytes(damage(file.read_bytes()))
    state = a_state()
    with pytest.raises(CheckpointError, match=r"state\.pt cannot be read; delete it to start the run again"):
        state.restore(file)
    assert (state.epoch, state.step) == (0, 0)


def test_a_full_disk_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.pt"
    moved().save(file)
    before = file.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for target, name in ((os, "fsync"), (os, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, full_disk)
            with pytest.raises(StoreError, match=r"cannot write .*state\.pt .*No space.*or resume"):
                moved(seed=1).save(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]
