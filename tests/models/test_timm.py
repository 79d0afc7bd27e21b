import sys
import types

import pytest
import torch

from cfa.errors import ConfigError, UnknownName
from cfa.models import ModelSpec, build_model


def spec(channels: int = 3, side: int = 16) -> ModelSpec:
    return ModelSpec(channels, 7, side, (0.5,) * channels, (0.25,) * channels)


class Timm(types.ModuleType):
    """What is used of timm, for where it is not installed."""

    __version__ = "0"

    def __init__(self) -> None:
        super().__init__("timm")
        self.asked: dict = {}
        configs = {"resnet9": False, "vit": True}
        self.models = types.SimpleNamespace(
            get_pretrained_cfg=lambda name: types.SimpleNamespace(fixed_input_size=configs[name])
        )

    def is_model(self, name: str) -> bool:
        return name in self.list_models()

    def list_models(self) -> list[str]:
        return ["resnet9", "vit"]

    def create_model(self, name: str, **settings) -> torch.nn.Module:
        self.asked = settings
        if settings["in_chans"] == 2:
            raise AssertionError("two\nchannels")
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, settings["num_classes"]))


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> Timm:
    module = Timm()
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


@pytest.mark.parametrize(("name", "more"), [("resnet9", {}), ("vit", {"img_size": 16})])
def test_networks_are_built_for_the_data_and_without_weights(timm: Timm, name: str, more: dict) -> None:
    model = build_model(f"timm:{name}", spec(), seed=0)
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, 7)
    assert timm.asked == {"pretrained": False, "num_classes": 7, "in_chans": 3, **more}
    again, other = (build_model(f"timm:{name}", spec(), seed) for seed in (0, 1))
    assert torch.equal(model.network[1].weight, again.network[1].weight)
    assert not torch.equal(model.network[1].weight, other.network[1].weight)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "channels", "error", "reason"),
    [
        ("timm:resnet_9", 3, UnknownName, "timm 0 has no model 'resnet_9'; did you mean resnet9"),
        ("timm:", 3, UnknownName, r"see timm\.list_models"),
        ("timm:hf-hub:someone/weights", 3, UnknownName, "has no model 'hf-hub:someone/weights'"),
        ("timm:vit", 2, ConfigError, r"timm cannot build vit for 2 channels .* \(two channels\)"),
    ],
)
def test_what_timm_cannot_build_is_explained(name: str, channels: int, error: type, reason: str) -> None:
    with pytest.raises(error, match=reason):
        build_model(name, spec(channels), seed=0)


def test_without_timm_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"timm:resnet18 needs timm, which cannot be imported here .*pip"):
        build_model("timm:resnet18", spec(), seed=0)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_timm_itself(name: str) -> None:
    pytest.importorskip("timm", reason="timm is not installed")
    model = build_model(f"timm:{name}", spec(side=64), seed=0).eval()
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 7)
