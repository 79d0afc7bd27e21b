"""Weights as other projects name them, made by renaming ours."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cfa.errors import CheckpointError
from cfa.models import (
    ModelSpec,
    Normalise,
    NormalisedModel,
    WideResNet,
    build_model,
    load_into,
    load_weights,
)

SPEC = ModelSpec(channels=3, num_classes=4, image_size=8, mean=(0.0,) * 3, std=(1.0,) * 3)
MEAN, STD = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2471, 0.2435, 0.2616])
SHAPED = {"mean": MEAN.view(1, 3, 1, 1), "std": STD.view(1, 3, 1, 1)}
MU_SIGMA = {"mu": SHAPED["mean"], "sigma": SHAPED["std"]}


def ours(name: str, seed: int) -> NormalisedModel:
    """Build one of our networks; ``wide`` has the names of the large WideResNets and a test's size."""
    if name != "wide":
        return build_model(name, SPEC, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NormalisedModel(Normalise(SPEC.mean, SPEC.std), WideResNet(3, 4, depth=10, widen=1))


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def named(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights.items()}


def with_sub_block(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the stage that TRADES' network makes and never calls, with weights of its own."""
    stage = {
        name.replace("block1.", "sub_block1."): torch.rand(tensor.shape)
        for name, tensor in weights.items()
        if name.startswith("block1.")
    }
    return {**weights, **stage}


def mair(weights: Mapping[str, Tensor], at: str = "") -> dict[str, object]:
    """Wrap weights as MAIR does, with mean and std at a place."""
    vectors = {f"{at}mean": MEAN, f"{at}std": STD}
    return {"rmodel": {"n_classes": torch.tensor(4), **vectors, **weights}, "record_info": {"Clean": 0.8}}


# Who wrote it: our network, what they write, and whether the file says how images are normalised.
FILES = {
    "CFA": ("preact-resnet18", lambda w: w, False),
    "CFA, several GPUs": ("preact-resnet18", lambda w: named("module.", w), False),
    "Rice2020Overfitting, L2": ("preact-resnet18", lambda w: {**MU_SIGMA, **w}, True),
    "Andriushchenko2020": ("preact-resnet18-wong2020", lambda w: {"best": {}, "last": w}, False),
    "Wong2020Fast": ("preact-resnet18-wong2020", lambda w: {**MU_SIGMA, **w}, True),
    "MAIR's PRN18": ("preact-resnet18-mair", lambda w: mair(named("model.1.", w), "model.0."), True),
    "MAIR, several GPUs": (
        "preact-resnet18-mair",
        lambda w: mair(named("model.module.1.", w), "model.module.0."),
        True,
    ),
    "MAIR's ResNet18": ("resnet18", lambda w: mair(named("model.", w)), True),
    "MAIR's WRN28-10": ("wide", lambda w: mair(named("model.", w)), True),
    "TRADES": ("wide", with_sub_block, False),
    "Carmon2019Unlabeled": (
        "wide",
        lambda w: {"num_classes": 10, "state_dict": named("module.", with_sub_block(w))},
        False,
    ),
    "Chen2020Efficient": ("wide", lambda w: {**MU_SIGMA, **named("model.", with_sub_block(w))}, True),
}


@pytest.mark.parametrize("project", FILES)
def test_files_of_other_projects_are_read(project: str, tmp_path: Path) -> None:
    name, write, normalised = FILES[project]
    theirs = ours(name, 3).network
    path = tmp_path / "FAWA_123.pth"
    torch.save(write(theirs.state_dict()), path)
    model = ours(name, 0)
    load_into(model, load_weights(path), str(path), normalise_missing_ok=True)
    assert same(model.network.state_dict(), theirs.state_dict())
    x = torch.rand(2, 3, 8, 8)
    seen = (x - SHAPED["mean"]) / SHAPED["std"] if normalised else x
    assert torch.allclose(model.eval()(x), theirs.eval()(seen), atol=1e-6)


def test_batch_counters_that_were_averaged_are_read() -> None:
    # The official averages blend the counters as well, which makes floats of them in some versions.
    weights = {
        name: tensor.double() * 0.88 + 112.12 if "num_batches" in name else tensor
        for name, tensor in ours("preact-resnet18", 3).network.state_dict().items()
    }
    model = ours("preact-resnet18", 0)
    load_into(model, weights, "FAWA_123.pth", normalise_missing_ok=True)
    assert model.network.bn.num_batches_tracked.dtype == torch.int64
    assert model.network.bn.num_batches_tracked.item() == 112


def test_a_classifier_without_a_bias_gets_one_of_zeros() -> None:
    theirs = ours("wide", 3).network
    nn.init.zeros_(theirs.fc.bias)
    weights = {name: tensor for name, tensor in theirs.state_dict().items() if name != "fc.bias"}
    model = ours("wide", 0)
    nn.init.ones_(model.network.fc.bias)
    load_into(model, weights, "Wu2020Adversarial_extra.pt", normalise_missing_ok=True)
    assert same(model.network.state_dict(), theirs.state_dict())
    others = {k: v for k, v in ours("resnet18", 3).state_dict().items() if k != "network.linear.bias"}
    with pytest.raises(CheckpointError, match=r"it has no 'network\.linear\.bias'"):
        load_into(ours("resnet18", 0), others, "resnet.pt")


def test_names_that_are_idle_elsewhere_count_in_someones_own_network() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sub_block1 = nn.Linear(2, 2)

    theirs, mine = Own(), Own()
    load_into(mine, theirs.state_dict(), "own.pt")
    assert same(mine.state_dict(), theirs.state_dict())
    with pytest.raises(CheckpointError, match="it has no 'sub_block1"):
        load_into(mine, {}, "own.pt")


def deepmind() -> dict[str, Tensor]:
    return {
        "mean": MEAN,
        "std": STD,
        "init_conv.weight": torch.rand(16, 3, 3, 3),
        "layer.0.block.0.batchnorm_0.weight": torch.rand(16),
        "layer.0.block.0.conv_0.weight": torch.rand(160, 16, 3, 3),
        "logits.weight": torch.rand(10, 640),
    }


@pytest.mark.parametrize(
    ("model", "weights", "reason"),
    [
        ("wide", deepmind, "weights of DeepMind's WideResNet, which pads images at one side"),
        (
            "preact-resnet18",
            lambda: ours("preact-resnet18-mair", 1).network.state_dict(),
            r"no 'bn\.weight'; .*choose preact-resnet18-mair, or preact-resnet18-wong2020",
        ),
        (
            "preact-resnet18",
            lambda: ours("resnet18", 1).network.state_dict(),
            "choose the model and data set it was made with",
        ),
        (
            "preact-resnet18-mair",
            lambda: ours("preact-resnet18", 1).network.state_dict(),
            r"'bn\.weight', which this network has not",
        ),
        (
            "wide",
            lambda: WideResNet(3, 100, depth=10, widen=1).state_dict(),
            r"'fc\.weight' has shape \(100, 64\) there and \(4, 64\) here",
        ),
        (
            "wide",
            lambda: WideResNet(3, 4, depth=16, widen=1).state_dict(),
            r"it has 'block1\.layer\.1\.bn1\.weight', which this network has not",
        ),
    ],
    ids=["DeepMind", "no last norm", "another network", "a norm too many", "classes", "depth"],
)
def test_networks_that_only_look_alike_are_refused(model: str, weights, reason: str) -> None:
    network = ours(model, 0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=reason):
        load_into(network, weights(), "theirs.pt", normalise_missing_ok=True)
    assert same(network.state_dict(), before)
