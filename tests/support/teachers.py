"""Teachers for methods that learn from one: networks that nobody trained."""

from typing import Any

import torch
from torch import nn

from cfa.config import RunConfig
from cfa.data import Dataset
from cfa.methods import METHODS
from cfa.models import ModelSpec, build_model, weights_hash
from cfa.runs.origins import Origin, TrainedOn, origin_of_file
from cfa.training.teachers import Teacher


def teacher_for(config: RunConfig, dataset: Dataset, device: str | torch.device = "cpu") -> Teacher | None:
    """Give a network to learn from, where the method learns from one."""
    return teacher_of(dataset, device=device) if METHODS[config.method].needs_teacher else None


def _sure(model: nn.Module) -> nn.Module:
    """Make an untrained network as sure of its answers as a trained one is."""
    *_, weight, _ = model.parameters()
    with torch.no_grad():
        weight.mul_(20)
    return model


def teacher_of(
    dataset: Dataset,
    *,
    seed: int = 9,
    network: nn.Module | None = None,
    trained_on: tuple[TrainedOn, ...] = (),
    device: str | torch.device = "cpu",
    **changes: Any,
) -> Teacher:
    """Make a teacher for a data set; ``changes`` are of what its network was built for."""
    built_for = {"channels": dataset.channels, "num_classes": dataset.num_classes, **changes}
    spec = ModelSpec(
        **{"image_size": dataset.image_size, **built_for},
        mean=(0.5,) * built_for["channels"],
        std=(0.25,) * built_for["channels"],
    )
    model = _sure(build_model("small-cnn", spec, seed=seed)) if network is None else network
    origin = origin_of_file("teacher.pt", "small-cnn", weights_hash(model.state_dict()))
    ready = model.to(device).eval().requires_grad_(False)
    return Teacher(network=ready, spec=spec, origin=Origin(origin.card, trained_on))
