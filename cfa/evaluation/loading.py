"""A run's weights as a model that maps images in [0, 1] to logits, in eval mode."""

from dataclasses import dataclass

import torch
from torch import nn

from cfa.errors import StoreError
from cfa.models import MODELS, ModelSpec, build_model, in_eval_mode, load_into, read_weights, weights_hash
from cfa.runs.folder import RunFolder, require_weights
from cfa.stored import convert
from cfa.weights_identity import CAME_AS, WeightsIdentity, epoch_of


def model_spec(run: RunFolder) -> ModelSpec:
    """Read from the manifest what the run's network was built for."""
    manifest = run.manifest
    if manifest is None:
        raise StoreError(f"run {run.name!r} has not started yet, so it has no weights; start it first")
    try:
        spec: ModelSpec = convert(manifest.model, ModelSpec)
    except StoreError as error:
        raise StoreError(
            f"run {run.name!r}: its manifest.json does not say what its network was built for ({error})"
        ) from error
    return spec


@dataclass(frozen=True)
class LoadedWeights:
    """A model that maps images in [0, 1] to logits, in eval mode, and whose weights it has.

    ``came_as`` names the type that someone else's weights had, where they are float32 instead; of a network
    of ``ours`` it is known that an answer depends on the image alone.
    """

    model: nn.Module
    identity: WeightsIdentity
    came_as: str = ""
    ours: bool = False


def load_kept(
    run: RunFolder, weights: str, checkpoint: str, device: torch.device | str = "cpu"
) -> LoadedWeights:
    """Load one kind of a run's weights, and what identifies them.

    Raises:
        UnknownName: The run did not keep them; the message lists what it kept.
        CheckpointError: The file is damaged.
    """
    # One reading for all three: training may replace the file at any moment.
    tensors, metadata = read_weights(require_weights(run, weights, checkpoint))
    model = build_model(run.config.model, model_spec(run), seed=0)
    load_into(model, tensors, f"{run.name} ({checkpoint} {weights})")
    identity = WeightsIdentity(weights_hash(tensors), epoch_of(metadata))
    came_as = metadata.get(CAME_AS, "")
    model = model.to(device)
    ready = in_eval_mode(model.float() if came_as else model)
    return LoadedWeights(ready, identity, came_as, ours=run.config.model in MODELS)


def load_model(
    run: RunFolder, weights: str, checkpoint: str, device: torch.device | str = "cpu"
) -> nn.Module:
    """Load one kind of a run's weights as a model; raises as :func:`load_kept`."""
    return load_kept(run, weights, checkpoint, device).model
