"""Cosine heads against numpy, and networks that end with one."""

import numpy as np
import pytest
import torch
from torch import nn

from cfa.errors import CheckpointError, ConfigError
from cfa.methods import METHODS
from cfa.methods.features import last_layer
from cfa.models import ModelSpec, build_model, load_into
from cfa.models.heads import DAMPING, HEADS, CosineHead, with_head

SPEC = (3, 5, 32, (0.5,) * 3, (0.25,) * 3)


def test_logits_are_cosines_but_for_the_damping() -> None:
    noise = np.random.default_rng(0)
    weight, x = noise.normal(size=(4, 6)), noise.normal(size=(3, 6))
    found = CosineHead(torch.tensor(weight)).double()(torch.tensor(x)).detach().numpy()
    lengths = np.linalg.norm(x, axis=1)[:, None] * (np.linalg.norm(weight, axis=1) + DAMPING)
    np.testing.assert_allclose(found, x @ weight.T / lengths, rtol=1e-9)
    assert np.abs(found).max() < 1


def test_features_of_zeros_have_finite_logits_and_gradients() -> None:
    x = torch.zeros(2, 6, requires_grad=True)
    CosineHead(torch.ones(4, 6))(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    ("name", "layer"),
    [("small-cnn", "linear"), ("preact-resnet18", "linear"), ("resnet18", "linear"), ("wrn-28-10", "fc")],
)
def test_the_last_layer_is_replaced_and_keeps_its_weights(name: str, layer: str) -> None:
    plain, cosine = (build_model(name, ModelSpec(*SPEC, head), seed=3) for head in HEADS)
    head = cosine.network.get_submodule(layer)
    assert isinstance(head, CosineHead)
    assert last_layer(cosine) is head
    assert torch.equal(head.weight, plain.network.get_submodule(layer).weight)
    kept = plain.state_dict()
    rest = {
        key: value for key, value in cosine.state_dict().items() if not key.startswith(f"network.{layer}.")
    }
    assert all(torch.equal(value, kept[key]) for key, value in rest.items())
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(cosine.eval()(x).detach().abs().max()) <= 1


@pytest.mark.parametrize("name", ["small-cnn", "wrn-28-10"])
def test_weights_of_one_head_are_not_taken_for_those_of_another(name: str) -> None:
    """A WideResNet's classifier without a bias else counts as one with a bias of zeros."""
    plain, cosine = (build_model(name, ModelSpec(*SPEC, head), seed=3) for head in HEADS)
    for one, other in ((plain, cosine), (cosine, plain)):
        with pytest.raises(CheckpointError, match="does not fit this network"):
            load_into(one, other.state_dict(), "a file")


@pytest.mark.parametrize("network", [nn.Sequential(nn.Conv2d(3, 5, 32), nn.Flatten()), nn.Linear(4, 2)])
def test_a_network_without_a_last_linear_layer_is_refused(network: nn.Module) -> None:
    with pytest.raises(
        ConfigError, match="net has no linear layer at its end that a cosine head could replace"
    ):
        with_head(network, "cosine", "net")
    assert with_head(network, "linear", "net") is network


def test_methods_ask_for_heads_that_there_are() -> None:
    assert {method.head for method in METHODS.values()} <= set(HEADS)
    with pytest.raises(ConfigError, match="no head 'round'; choose from linear, cosine"):
        ModelSpec(*SPEC, "round")
