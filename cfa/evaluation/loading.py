"""A run's weights as a model that maps images in [0, 1] to logits, in eval mode."""

from typing import Any

import torch
from torch import nn

from cfa.errors import StoreError
from cfa.methods import known_recipe
from cfa.models import ModelSpec, build_model, load_into, load_metadata, load_weights
from cfa.results.evaluations import read_evaluations
from cfa.results.runs import RunFolder, require_weights


def model_spec(run: RunFolder) -> ModelSpec:
    """Read from the manifest what the run's network was built for."""
    manifest = run.manifest
    if manifest is None:
        raise StoreError(f"run {run.name!r} has not started yet, so it has no weights; start it first")
    fields: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in manifest.model.items()
    }
    return ModelSpec(**fields)


def load_model(
    run: RunFolder, weights: str, checkpoint: str, device: torch.device | str = "cpu"
) -> nn.Module:
    """Load one kind of a run's weights.

    Raises:
        UnknownName: The run did not keep them; the message lists what it kept.
        CheckpointError: The file is damaged.
    """
    file = require_weights(run, weights, checkpoint)
    model = build_model(run.config.model, model_spec(run), seed=0)
    load_into(model, load_weights(file), f"{run.name} ({checkpoint} {weights})")
    return model.to(device).eval()


def weights_epoch(run: RunFolder, weights: str, checkpoint: str) -> int:
    """Return the epoch that weights come from; 0 where that is unknown (foreign weights)."""
    return int(load_metadata(require_weights(run, weights, checkpoint)).get("epoch", "0"))


def default_weights(run: RunFolder) -> str:
    """Return the kind a run is reported with: FAWA for `-cfa` methods if the gate opened, else online."""
    kept = {weights for weights, _ in run.kept_weights()}
    # Runs that ship keep their results without the weights.
    kept |= {evaluation.weights for evaluation in read_evaluations(run)}
    method = run.config.method
    recipe = known_recipe(method)
    if recipe is not None and recipe.gated and "fawa" in kept:
        return "fawa"
    return "file" if method == "external" else "online"
