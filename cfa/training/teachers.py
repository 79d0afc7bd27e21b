"""A run's teacher: a trained network that does not learn, and the conditions under which it may teach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cfa.errors import ConfigError, DataError
from cfa.runs.origins import Origin
from cfa.training.refusals import unfit_to_teach

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cfa.models import ModelSpec
    from cfa.runs.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A trained network in eval mode on the device of a run, called without gradients.

    Attributes:
        network: Maps images in [0, 1] to logits; its normalisation is its own.
        spec: What it was built for.
        origin: Whose it is, and what it has seen.
    """

    network: nn.Module
    spec: ModelSpec
    origin: Origin

    def __call__(self, x: Tensor) -> Tensor:
        """Return its logits for a batch, shape (images, classes)."""
        with torch.no_grad():
            logits: Tensor = self.network(x)
        return logits


def require_teacher(method: str, asked: bool, teacher: Teacher | None, spec: ModelSpec) -> None:
    """Refuse a training without the teacher that it needs, and a teacher of other images.

    Args:
        method: The method's name.
        asked: Whether it learns from a teacher.
        teacher: What is given.
        spec: What the run's own network is built for.

    Raises:
        ConfigError: None is given and one is needed, or it does not fit.
    """
    if teacher is None:
        if asked:
            raise ConfigError(f"{method} learns from a trained network, and none was given; name a teacher")
        return
    ours, theirs = ((one.channels, one.image_size, one.num_classes) for one in (spec, teacher.spec))
    if why := unfit_to_teach(teacher.origin.card.name, theirs, ours):
        raise ConfigError(why)


def require_same_teacher(run: RunFolder, teacher: Teacher | None) -> None:
    """Refuse to go on with another teacher than the one that a run started with.

    Raises:
        DataError: Its weights have changed.
    """
    manifest = run.manifest
    began = manifest.teacher if manifest else None
    if began and (teacher is None or teacher.origin.card.weights_hash != began.weights_hash):
        raise DataError(
            f"the weights of teacher {began.name!r} have changed since the run started; restore them, or "
            "start a new run"
        )
