"""A network's weights are found in a file wherever they stand, and it is said where."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfa.errors import CheckpointError
from cfa.models import (
    ModelSpec,
    Normalise,
    NormalisedModel,
    Reading,
    build_model,
    load_into,
    load_weights,
)

SPEC = ModelSpec(channels=3, num_classes=4, image_size=8, mean=(0.0,) * 3, std=(1.0,) * 3)
MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
OTHER = torch.tensor([0.1, 0.1, 0.1])


def network(seed: int) -> NormalisedModel:
    return build_model("small-cnn", SPEC, seed)


def bare(seed: int = 1) -> dict[str, Tensor]:
    return dict(network(seed).network.state_dict())


def under(prefix: str, weights: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: tensor for name, tensor in weights.items()}


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def read(tmp_path: Path, content: object, key: str = "") -> tuple[NormalisedModel, Reading]:
    """Write what ``torch.save`` takes, and read it into a network."""
    file = tmp_path / "theirs.pt"
    torch.save(content, file)
    model = network(0)
    return model, load_into(model, load_weights(file), "theirs.pt", key=key, normalise_missing_ok=True)


def seed_of(model: NormalisedModel) -> int | None:
    return next((seed for seed in (1, 2, 3) if same(model.network.state_dict(), bare(seed))), None)


# Where they stand ------------------------------------------------------------------------------------------

PREFIXES = (
    *("attacker.", "student.", "ema_model.", "encoder.", "module.", "_orig_mod.", "module.attacker.model."),
    *("whatever.it.is.called.", "0.", "model.1."),
)
BRANCHES: dict[str, tuple[Callable[[], object], str]] = {
    **{f"below {prefix}": (lambda prefix=prefix: under(prefix, bare()), prefix[:-1]) for prefix in PREFIXES},
    "below our own prefix": (lambda: under("network.", bare()), ""),
    "a number inside": (lambda: {**bare(), "epoch": 3, "best": 0.5}, ""),
    "a number as a tensor": (lambda: {**bare(), "epoch": torch.tensor(3), "best": torch.tensor(0.5)}, ""),
    "n_averaged beside module": (
        lambda: {"n_averaged": torch.tensor(7), **under("module.", bare())},
        "module",
    ),
    "the only state dict, of any name": (lambda: {"ema_state_dict": bare()}, "ema_state_dict"),
    "deep": (lambda: {"a": {"b": [{"c": bare()}], "d": 3}}, "a/b/0/c"),
    "deep, with a prefix": (lambda: {"a": {"b": under("module.", bare())}}, "a/b/module"),
    "beside an optimiser": (
        lambda: {"optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}}, "net": bare()},
        "net",
    ),
    "beside tensors": (lambda: {"acc": torch.tensor(0.5), "loss": torch.ones(9), "w": bare()}, "w"),
    "arrays": (lambda: {"params": {n: w.numpy() for n, w in bare().items()}, "b": np.float64(3)}, "params"),
    "the same twice": (lambda: {"model": bare(), "net": bare()}, "model"),
}  # fmt: skip


@pytest.mark.parametrize("case", BRANCHES)
def test_weights_are_found_wherever_they_stand(tmp_path: Path, case: str) -> None:
    make, branch = BRANCHES[case]
    model, reading = read(tmp_path, make())
    assert seed_of(model) == 1
    assert (reading.branch, reading.others, reading.mean) == (branch, (), None)
    said = reading.said("theirs.pt")
    assert (f"taken from {branch!r}" in said) == bool(branch)


SEVERAL: dict[str, tuple[Callable[[], object], str, tuple[str, ...]]] = {
    "raw and EMA": (lambda: {"ema": bare(2), "model": bare(1)}, "model", ("ema",)),
    "raw and EMA, of other names": (
        lambda: {"state_dict_ema": bare(2), "state_dict": bare(1)},
        "state_dict",
        ("state_dict_ema",),
    ),
    "best and last": (lambda: {"best": bare(2), "last": bare(1)}, "last", ("best",)),
    "student and teacher": (
        lambda: {**under("teacher.", bare(2)), **under("student.", bare(1))},
        "student",
        ("teacher",),
    ),
    "an average within": (lambda: {**bare(1), **under("ema.", bare(2))}, "", ("ema",)),
    "three": (
        lambda: {"swa": bare(3), "ema": bare(2), "net": under("module.", bare(1))},
        "net/module",
        ("swa", "ema"),
    ),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_of_several_one_is_taken_and_it_is_said_which_and_how_to_choose(tmp_path: Path, case: str) -> None:
    make, branch, others = SEVERAL[case]
    model, reading = read(tmp_path, make())
    assert seed_of(model) == 1
    assert (reading.branch, reading.others) == (branch, others)
    assert f"'theirs.pt#{others[0]}' takes that" in reading.said("theirs.pt")
    chosen, reading = read(tmp_path, make(), key=others[-1])
    assert seed_of(chosen) == 2
    assert (reading.branch, reading.others) == (others[-1], ())


@pytest.mark.parametrize("key", ["run/ema", "run.ema", "run/ema/module", "run/ema/module.", "/run/ema/"])
def test_a_key_may_name_a_branch_or_what_is_around_it(tmp_path: Path, key: str) -> None:
    content = {"run": {"raw": under("module.", bare(1)), "ema": under("module.", bare(2))}}
    model, reading = read(tmp_path, content, key)
    assert seed_of(model) == 2
    assert reading.branch == "run/ema/module"


@pytest.mark.parametrize("key", ["emma", "em", "ema/module.conv1"])
def test_a_key_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, key: str) -> None:
    content = {"raw": bare(1), "ema": under("module.", bare(2))}
    with pytest.raises(
        CheckpointError, match=rf"holds no weights below '{key}'; its names begin with 'raw/' \("
    ):
        read(tmp_path, content, key)


# The file's own normalisation ------------------------------------------------------------------------------


def madry() -> dict[str, Any]:
    """Name weights as MadryLab's robustness package does: the network twice, and its normaliser twice."""
    pair = {"new_mean": MEAN.view(3, 1, 1), "new_std": STD.view(3, 1, 1)}
    names = {**under("module.normalizer.", pair), **under("module.model.", bare())}
    names |= {**under("module.attacker.normalize.", pair), **under("module.attacker.model.", bare())}
    return {"model": names, "epoch": 150}


NORMALISED: dict[str, Callable[[], object]] = {
    "MadryLab": madry,
    "beside, in a module": lambda: {"normalize.mean": MEAN, "normalize.std": STD, **under("model.", bare())},
    "beside, in the same module": lambda: {"mean": MEAN, "std": STD, **under("model.", bare())},
    "within": lambda: {"mu": MEAN.view(1, 3, 1, 1), "sigma": STD.view(1, 3, 1, 1), **bare()},
    "in a sequence": lambda: {"0.mean": MEAN, "0.std": STD, **under("1.", bare())},
    "of plurals": lambda: {"norm.means": MEAN, "norm.sds": STD, **under("net.", bare())},
    "beside in the file": lambda: {"state_dict": bare(), "mean": MEAN, "std": STD},
    "in halves": lambda: {"mean": MEAN.half(), "std": STD.half(), **bare()},
    "the nearest of two": lambda: {
        "mean": OTHER,
        "std": OTHER,
        "student.norm.mean": MEAN,
        "student.norm.std": STD,
        **under("student.net.", bare()),
    },
}


@pytest.mark.parametrize("case", NORMALISED)
def test_a_files_own_normalisation_is_used_and_said(tmp_path: Path, case: str) -> None:
    model, reading = read(tmp_path, NORMALISED[case]())
    x = torch.rand(2, 3, 8, 8)
    expected = network(1).network.eval()((x - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1))
    assert torch.allclose(model.eval()(x), expected, atol=1e-2 if case == "in halves" else 1e-6)
    assert "the file's own normalisation is used (0.5,0.4,0.3/0.2,0.3,0.4)" in reading.said("x") or (
        case == "in halves"
    )
    assert (reading.left_aside, reading.others) == ((), ()) or case == "the nearest of two"


def test_one_number_holds_for_all_channels(tmp_path: Path) -> None:
    model, reading = read(tmp_path, {"mean": torch.tensor([0.5]), "std": torch.tensor(0.25), **bare()})
    assert model.normalise.mean.flatten().tolist() == [0.5] * 3
    assert reading.std == (0.25,) * 3


@pytest.mark.parametrize(
    "content",
    [
        {**under("teacher.net.", bare(2)), "teacher.norm.mean": MEAN, "teacher.norm.std": STD,
         **under("student.net.", bare(1))},
        {"model": bare(1), "accuracy": {"mean": MEAN, "std": STD}},
        {"model": bare(1), "mean": torch.tensor(0.5), "std": torch.tensor(0.1)},
        {**bare(1), "mean": 0.5, "std": 0.1},
    ],
    ids=["the teacher's", "of results", "one number of the file", "plain numbers"],
)  # fmt: skip
def test_a_mean_of_something_else_is_not_taken_for_it(tmp_path: Path, content: object) -> None:
    model, reading = read(tmp_path, content)
    assert seed_of(model) == 1
    assert reading.mean is None
    assert torch.equal(model.normalise.std, torch.ones(1, 3, 1, 1))


@pytest.mark.parametrize(
    ("mean", "std", "reason"),
    [
        (torch.rand(4), torch.rand(4), "its normalisation 'mean' has 4 values for 3 channels"),
        (MEAN, torch.tensor([0.2, 0.0, 0.2]), "divides by 'std', which is not above 0"),
        (MEAN, torch.tensor([0.2, torch.nan, 0.2]), "'std' is not finite"),
        (torch.tensor([125.3, 123.0, 113.9]), STD, "'mean' is 125.3, for pixels that are not in"),
        (torch.tensor([1, 2, 3]), STD, "'mean' is not a plain vector of numbers"),
    ],
    ids=["channels", "zero", "not a number", "pixels up to 255", "whole numbers"],
)
def test_a_normalisation_that_cannot_be_is_refused(
    tmp_path: Path, mean: Tensor, std: Tensor, reason: str
) -> None:
    with pytest.raises(CheckpointError, match=reason):
        read(tmp_path, {"mean": mean, "std": std, **bare()})


def test_buffers_of_ones_own_network_are_its_own(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))
            self.register_buffer("std", torch.ones(3))
            self.linear = nn.Linear(3, 2)

    model, theirs = NormalisedModel(Normalise((0.0,) * 3, (1.0,) * 3), Own()), Own()
    reading = load_into(model, {**theirs.state_dict(), "mean": MEAN}, "x", normalise_missing_ok=True)
    assert reading.mean is None
    assert torch.equal(model.network.mean, MEAN)
    assert torch.equal(model.normalise.mean.flatten(), torch.zeros(3))


# What does not fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({**under("0.", bare()), "1.weight": torch.ones(4, 4)}, "it has '1.weight', which this network has"),
        ({**bare(), "extra.weight": torch.ones(3)}, "it has 'extra.weight', which this network has not"),
        ({**bare(), "scale": torch.ones(1)}, "it has 'scale', which this network has not"),
        ({"net": {n: w for n, w in bare().items() if n != "linear.bias"}}, "it has no 'net/linear.bias'"),
        ({**under("encoder.", {"a": torch.ones(1)}), **under("projector.", {"b": torch.ones(2)})},
         "its names begin with 'encoder.' (1), 'projector.' (1)"),
        ({"model": under("module.", {f"{n}.weight": torch.ones(1) for n in "abcdef"})},
         "its names begin with 'model/module.a.' (1), 'model/module.b.' (1), 'model/module.c.' (1), "
         "'model/module.d.' (1) and 2 more"),
    ],
    ids=["a next step", "one inside", "a factor", "one missing", "other prefixes", "many prefixes"],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_the_files_own_prefixes(
    tmp_path: Path, content: object, reason: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, content)
    sentence = str(caught.value)
    assert sentence.startswith("theirs.pt does not fit this network: ")
    assert reason in sentence
    assert "its names begin with" in sentence
    assert "\n" not in sentence


def test_what_stands_beside_the_branch_is_said(tmp_path: Path) -> None:
    content = {**under("encoder.", bare()), "projector.weight": torch.ones(3), "queue": torch.ones(9, 9)}
    model, reading = read(tmp_path, content)
    assert seed_of(model) == 1
    assert reading.left_aside == ("projector.weight", "queue")
    assert "not used: 'projector.weight', 'queue'" in reading.said("theirs.pt")


def test_names_that_mean_harm_to_a_terminal_are_written_out(tmp_path: Path) -> None:
    _, reading = read(tmp_path, {"ema\n\x1b[2J\u202e": bare(2), "model": bare(1)})
    assert reading.others == ("ema\n\x1b[2J\u202e",)
    assert reading.said("theirs.pt").isprintable()


UNUSABLE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "sparse": (lambda w: w.flatten(1).to_sparse(), "is sparse; save tensor.to_dense()"),
    "quantised": (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "is quantised; save"),
    "int8": (lambda w: w.to(torch.int8), r"holds whole numbers \(int8\), which mean nothing without their"),
    "int64": (lambda w: w.long(), r"holds whole numbers \(int64\)"),
    "bool": (lambda w: w > 0, r"holds whole numbers \(bool\)"),
    "complex": (lambda w: w.to(torch.complex64), "holds complex numbers where the network has real ones"),
    "meta": (lambda w: w.to("meta"), "has no values, for it was saved from the device meta"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions:UserWarning")
def test_tensors_of_no_use_are_a_sentence(case: str) -> None:
    change, reason = UNUSABLE[case]
    model, before = network(0), {name: w.clone() for name, w in network(0).state_dict().items()}
    weights = bare() | {"conv2.weight": change(bare()["conv2.weight"])}
    with pytest.raises(CheckpointError, match=rf"'module\.conv2\.weight' {reason}"):
        load_into(model, under("module.", weights), "theirs.pt", normalise_missing_ok=True)
    assert same(model.state_dict(), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precisions_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    halves = {n: w.to(dtype) if w.is_floating_point() else w for n, w in bare().items()}
    model, _ = read(tmp_path, halves)
    assert {w.dtype for w in model.parameters()} == {torch.float32}
    assert same(model.network.state_dict(), {n: w.to(bare()[n].dtype) for n, w in halves.items()})
