import inspect
import itertools
import math
import sys
import types

import pytest
import torch
import torchvision
from torch.nn import functional as F

from cfa.errors import ConfigError, UnknownName
from cfa.models import MODELS, ModelSpec, PreActResNet18, ResNet18, build_model, channel_statistics
from cfa.trust import allowing
from tests.support.preact import Names, assert_equals_by_hand


def spec(channels: int = 3, num_classes: int = 10, image_size: int = 32) -> ModelSpec:
    return ModelSpec(channels, num_classes, image_size, (0.5,) * channels, (0.25,) * channels)


def test_preact_resnet18_has_the_known_number_of_parameters() -> None:
    model = build_model("preact-resnet18", spec(), seed=0)
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_172_170


def test_preact_resnet18_names_its_weights_as_published_ones_do() -> None:
    names = set(PreActResNet18(3, 10).state_dict())
    for name in (
        "conv1.weight",
        "layer1.0.bn1.weight",
        "layer1.0.conv2.weight",
        "layer2.0.shortcut.0.weight",
    ):
        assert name in names
    assert {"bn.running_mean", "linear.weight", "linear.bias"} <= names
    assert sorted(name for name in names if "shortcut" in name) == [
        f"layer{stage}.0.shortcut.0.weight" for stage in (2, 3, 4)
    ]


def test_resnet18_has_the_known_number_of_parameters_and_names() -> None:
    model = ResNet18(3, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_173_962
    names = set(model.state_dict())
    block = ("conv1.weight", "bn1.running_mean", "conv2.weight", "bn2.bias")
    assert {"conv1.weight", "bn1.running_var", "linear.weight", "linear.bias"} <= names
    assert {f"layer{stage}.{b}.{name}" for stage in (1, 2, 3, 4) for b in (0, 1) for name in block} <= names
    assert {name.rpartition(".")[0] for name in names if "shortcut" in name} == {
        f"layer{stage}.0.shortcut.{part}" for stage in (2, 3, 4) for part in (0, 1)
    }
    assert len(names) == 122


def test_resnet18_equals_torchvisions_but_for_its_stem() -> None:
    ours = ResNet18(3, 10).double().eval()
    generator = torch.Generator().manual_seed(0)
    for name, buffer in ours.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = torch.nn.Identity()
    names = {
        name.replace("shortcut", "downsample").replace("linear", "fc"): value
        for name, value in ours.state_dict().items()
    }
    theirs.load_state_dict(names)
    x = torch.rand(2, 3, 32, 32, generator=generator).double()
    assert torch.allclose(ours(x), theirs.double().eval()(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "channels", "num_classes", "image_size"),
    [
        *(("small-cnn", *sizes) for sizes in itertools.product((1, 3), (2, 100), (8, 9, 28, 33))),
        *(("preact-resnet18", *sizes) for sizes in itertools.product((1, 3), (2, 100), (28,))),
        ("preact-resnet18", 3, 10, 32),
        ("preact-resnet18", 3, 200, 64),
        ("preact-resnet18", 4, 3, 96),
        *(("resnet18", *sizes) for sizes in ((1, 2, 8), (3, 10, 32), (3, 200, 64), (4, 3, 33))),
    ],
)
def test_any_channels_classes_and_sizes_give_logits(name, channels, num_classes, image_size) -> None:
    model = build_model(name, spec(channels, num_classes, image_size), seed=0)
    assert model(torch.rand(2, channels, image_size, image_size)).shape == (2, num_classes)


def test_preact_resnet18_equals_the_paper_network_written_by_hand() -> None:
    names = Names("layer{stage}.{block}", 4, 2, "shortcut.0", "bn", "linear", pool=4)
    assert_equals_by_hand(PreActResNet18(3, 10), names)


@pytest.mark.parametrize("raw", [False, True])
def test_variants_without_the_last_norm_differ_where_they_say(raw: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    network = PreActResNet18(3, 10, last_norm=False, raw_shortcut=raw).double().eval()
    block = network.layer2[0]
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.rand(module.num_features, generator=generator))
    x = torch.randn(2, 64, 8, 8, generator=generator).double()
    activated = torch.relu(block.bn1(x))
    residual = block.conv2(torch.relu(block.bn2(block.conv1(activated))))
    assert torch.allclose(block(x), residual + block.shortcut(x if raw else activated), rtol=1e-12)
    images = torch.rand(2, 3, 32, 32, generator=generator).double()
    features = network.layer4(network.layer3(network.layer2(network.layer1(network.conv1(images)))))
    assert torch.allclose(network(images), network.linear(F.avg_pool2d(features, 4).flatten(1)), rtol=1e-10)
    assert not any(name.startswith("bn.") for name in network.state_dict())


@pytest.mark.parametrize("name", list(MODELS))
def test_seeds_reproduce_and_leave_the_global_generator(name: str) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (build_model(name, spec(), seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_network_has_batch_norm_and_gradients_reach_the_image(name: str) -> None:
    model = build_model(name, spec(image_size=16), seed=0)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    x = torch.rand(4, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    assert gradient.abs().flatten(1).sum(1).min() > 0


def test_normalisation_is_the_first_layer_and_part_of_the_weights() -> None:
    statistics = ModelSpec(3, 10, 32, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    model = build_model("small-cnn", statistics, seed=0).eval()
    x = torch.rand(2, 3, 32, 32)
    by_hand = torch.stack([(x[:, 0] - 0.1) / 0.5, (x[:, 1] - 0.2) / 0.25, (x[:, 2] - 0.3) / 2.0], dim=1)
    assert torch.allclose(model.normalise(x), by_hand)
    assert torch.equal(model(x), model.network(model.normalise(x)))
    assert model.state_dict()["normalise.mean"].shape == (1, 3, 1, 1)


def test_channel_statistics_equal_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (50, 3, 6, 6), generator=generator, dtype=torch.uint8)
    images[:, 1] //= 3
    images[:, 2] = 17
    mean, std = channel_statistics(images)
    pixels = images.double().div(255).transpose(0, 1).flatten(1)
    assert mean == pytest.approx(pixels.mean(1).tolist(), rel=1e-12)
    assert std[:2] == pytest.approx(pixels.std(1, correction=0)[:2].tolist(), rel=1e-10)
    assert math.isclose(std[2], 1 / 255)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"channels": 0}, "0 channels"),
        ({"num_classes": 1}, "1 classes"),
        ({"image_size": 0}, "0 pixels"),
        ({"mean": (0.5,)}, "1 means and 3 standard deviations"),
        ({"std": (0.5, 0.5, 0.0)}, "each must be above 0"),
    ],
)
def test_an_impossible_specification_is_refused(changes: dict, reason: str) -> None:
    settings = {"channels": 3, "num_classes": 10, "image_size": 32, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    with pytest.raises(ConfigError, match=reason):
        ModelSpec(**(settings | changes))


@pytest.mark.parametrize("name", list(MODELS))
def test_images_that_are_too_small_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} needs images of at least 8 pixels a side, these have 7"):
        build_model(name, spec(image_size=7), seed=0)


def own_models(monkeypatch: pytest.MonkeyPatch, **items: object) -> None:
    """Put a module in place in which somebody wrote these, functions as if they stood in it."""
    module = types.ModuleType("my_models")
    for name, item in items.items():
        if inspect.isfunction(item) and item.__module__ == __name__:
            monkeypatch.setattr(item, "__module__", "my_models")
        setattr(module, name, item)
    monkeypatch.setitem(sys.modules, "my_models", module)


WHOLE = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5))


class Own(torch.nn.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


@pytest.mark.parametrize(
    "factory", [lambda: WHOLE, lambda pretrained=True: WHOLE, lambda *a, **k: WHOLE, Own]
)
def test_a_factory_that_asks_for_nothing_makes_a_whole_model(factory, monkeypatch) -> None:
    own_models(monkeypatch, make=factory)
    none = ModelSpec(1, 5, 8, mean=(0.0,), std=(1.0,))
    with allowing(["my_models:make"]):
        model = build_model("my_models:make", none, seed=0)
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(model(x), model.network(x))  # nothing is done to the images
    assert model.network is WHOLE or isinstance(model.network, Own)


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (WHOLE, "is Sequential, not a function that returns a model"),
        (17, "is int, not a function"),
        (
            lambda spec, path: WHOLE,
            r"asks for spec, path; it may ask for a cfa\.models\.ModelSpec, or nothing",
        ),
        (lambda *, path: WHOLE, "asks for path"),
        (lambda: {"state_dict": 1}, "returned dict; return an nn.Module"),
        (int, "is type, not a function"),
        (torch.hub.load, r"is defined in torch\.hub, not in my_models; name it there: torch\.hub:load"),
    ],
)
def test_what_makes_no_model_is_refused(factory, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own_models(monkeypatch, make=factory)
    with allowing(["my_models:make"]), pytest.raises(ConfigError, match=reason):
        build_model("my_models:make", spec(1, 5, 8), seed=0)


def test_a_users_own_network_is_built_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def linear(s: ModelSpec) -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(s.channels * s.image_size**2, s.num_classes)
        )

    own_models(monkeypatch, linear=linear, wrong=lambda s: "a network")
    with allowing(["my_models:linear", "my_models:wrong"]):
        model = build_model("my_models:linear", spec(1, 5, 8), seed=0)
        assert model(torch.rand(2, 1, 8, 8)).shape == (2, 5)
        with pytest.raises(ConfigError, match="'my_models:wrong' returned str"):
            build_model("my_models:wrong", spec(), seed=0)


def test_an_unknown_network_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="preact-resnet18"):
        build_model("preact-resnet", spec(), seed=0)
