"""Everything that training carries from one step to the next, and how it survives a crash."""

import operator
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cfa.errors import CheckpointError, StoreError
from cfa.files import make_folder, replacing
from cfa.methods import ClassKnobs
from cfa.results.rows import Knobs

_NO_STATE = (
    *(OSError, RuntimeError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError),
    pickle.UnpicklingError,
)
FIELDS = ("knobs", "rule_state", "counts", "averages", "scores", "best", "epoch", "step")


@dataclass
class EpochCounts:
    """Running sums of the epoch in progress, on the training device; no step waits for them."""

    correct: Tensor  # per class, int64
    total: Tensor  # per class, int64
    loss: Tensor  # sum over images, float64
    first_bad_step: Tensor  # first step whose loss was not finite, else a huge number; int64
    seconds: float = 0.0

    NEVER = 2**62

    @classmethod
    def zero(cls, num_classes: int, device: torch.device) -> "EpochCounts":
        """Start an epoch."""
        zeros = torch.zeros(num_classes, dtype=torch.int64, device=device)
        # Metal has no float64; a float32 sum of a mean loss is exact enough to show.
        precision = torch.float32 if device.type == "mps" else torch.float64
        loss = torch.zeros((), dtype=precision, device=device)
        return cls(zeros, zeros.clone(), loss, torch.full((), cls.NEVER, dtype=torch.int64, device=device))

    def add(self, y: Tensor, correct: Tensor, loss: Tensor, step: int) -> None:
        """Add one batch, without waiting for the device."""
        self.total.index_add_(0, y, torch.ones_like(y))
        self.correct.index_add_(0, y, correct.to(torch.int64))
        self.loss += loss.to(self.loss.dtype) * len(y)
        bad = torch.where(torch.isfinite(loss), self.NEVER, step)
        self.first_bad_step = torch.minimum(self.first_bad_step, bad)


@dataclass
class TrainingState:
    """The mutable part of a training run.

    Attributes:
        model: The online network, on the device.
        optimizer: Its optimiser.
        knobs: What the rule set for the coming (or current) epoch.
        rule_state: The calibration rule's own state.
        averages: State dicts of EMA and FAWA weights; absent until the first accepted epoch.
        scores: The newest evaluated counts of every kind of weights, as lists, so that weights that did not
            change are not evaluated again.
        best: Selection score and epoch of the best checkpoint of every kind.
        epoch: The last epoch that is complete.
        step: Steps taken in the epoch after it.
        counts: Sums of those steps.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    knobs: ClassKnobs
    rule_state: Mapping[str, Tensor]
    counts: EpochCounts
    averages: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    best: dict[str, tuple[float, int]] = field(default_factory=dict)
    epoch: int = 0
    step: int = 0

    def save(self, path: Path) -> None:
        """Write the state atomically: after a crash the file holds this state or the one before."""
        content = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{name: getattr(self, name) for name in FIELDS},
            "knobs": vars(self.knobs),
            "rule_state": dict(self.rule_state),
            "counts": vars(self.counts),
        }
        make_folder(path.parent)
        try:
            with replacing(path) as temporary, temporary.open("xb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # how torch reports a full disk
            raise StoreError(f"cannot write {path} ({error}); free disk space, then resume") from error

    def restore(self, path: Path) -> None:
        """Read a saved state back into this one, which was built from the same configuration.

        The file may be somebody else's (`cfa import`): it runs no code, and what does not fit is refused.

        Raises:
            CheckpointError: It is damaged, or of another network or data set.
        """
        device = self.counts.correct.device
        try:
            self._take(torch.load(path, map_location=device, weights_only=True))
        except _NO_STATE as error:
            raise CheckpointError(
                f"the training state {path.name} cannot be read; delete it to start the run again"
            ) from error

    def _take(self, content: Mapping[str, Any]) -> None:
        """Put every field in its place, the network last: until then a wrong one has changed nothing."""
        given = {name: content[name] for name in ("model", "optimizer", *FIELDS)}
        for mine, theirs in (
            (vars(self.knobs), given["knobs"]),
            (vars(self.counts), given["counts"]),
            *((self.model.state_dict(), weights) for weights in given["averages"].values()),
        ):
            _require_alike(mine, theirs)
        knobs = ClassKnobs(**{name: value.cpu() for name, value in given["knobs"].items()})
        rule_state = {name: value.cpu() for name, value in given["rule_state"].items()}
        best = {str(kind): (float(score), int(epoch)) for kind, (score, epoch) in given["best"].items()}
        epoch, step = operator.index(given["epoch"]), operator.index(given["step"])
        _require_alike(self.model.state_dict(), given["model"])
        self.model.load_state_dict(given["model"])
        self.optimizer.load_state_dict(given["optimizer"])
        self.knobs, self.rule_state, self.counts = knobs, rule_state, EpochCounts(**given["counts"])
        self.averages, self.scores = dict(given["averages"]), dict(given["scores"])
        self.best, self.epoch, self.step = best, epoch, step


def _require_alike(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raise unless the same names hold tensors of the same shape, or numbers."""
    if {name: _shape(value) for name, value in mine.items()} != {
        name: _shape(value) for name, value in theirs.items()
    }:
        raise ValueError("another network or data set")


def _shape(value: object) -> tuple[int, ...] | None:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if not isinstance(value, int | float):
        raise TypeError(f"{type(value).__name__} in the place of a number")
    return None


def knobs_row(epoch: int, knobs: ClassKnobs) -> Knobs:
    """Turn what a rule set for an epoch into its row."""
    return Knobs(
        epoch=epoch,
        eps=tuple(knobs.eps.tolist()),
        clean_weight=tuple(knobs.clean_weight.tolist()),
        robust_weight=tuple(knobs.robust_weight.tolist()),
    )
