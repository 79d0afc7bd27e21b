"""What a network hands to its last layer, against a network that is taken apart."""

import pytest
import torch
from torch import nn

from cfa.methods.features import features_and_logits, last_layer, predictions
from cfa.models import ModelSpec, build_model
from tests.support.worked import same

SPEC = ModelSpec(3, 7, 32, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


@pytest.mark.parametrize(
    ("name", "layer"),
    [("small-cnn", "network.linear"), ("preact-resnet18", "network.linear"), ("resnet18", "network.linear")],
)
def test_features_are_what_the_classifier_is_given(name: str, layer: str) -> None:
    model = build_model(name, SPEC, seed=0).eval()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features, logits = features_and_logits(model, x)
    head = model.get_submodule(layer)
    assert last_layer(model) is head
    torch.testing.assert_close(head(features), logits)
    torch.testing.assert_close(logits, model(x))
    assert not head._forward_pre_hooks


def test_features_have_gradients_and_logits_stand_in_where_there_is_no_last_layer() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    features, _ = features_and_logits(model, torch.ones(5, 1, 2, 2))
    assert features.shape == (5, 3)
    features.sum().backward()
    assert model[1].weight.grad is not None
    x = torch.ones(2, 3)
    for without in (same, nn.Flatten()):
        features, logits = features_and_logits(without, x)
        assert features is logits


def test_a_compiled_network_is_looked_into_as_it_was() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    compiled = torch.compile(model)
    features, logits = features_and_logits(compiled, torch.ones(5, 1, 2, 2))
    torch.testing.assert_close(model[3](features), logits)


def test_predictions_are_counted_once_each() -> None:
    found = predictions(torch.tensor([[0.1, 2.0, 1.0], [3.0, 0.0, 0.0]]))
    assert found.tolist() == [[0, 1, 0], [1, 0, 0]]
