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
from cfa.methods import Knobs, Tally
from cfa.training.step import StepResult

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
    sums: dict[str, Tensor] = field(default_factory=dict)  # what the objective sums besides, by class

    NEVER = 2**62

    @classmethod
    def zero(cls, num_classes: int, device: torch.device) -> "EpochCounts":
        """Start an epoch."""
        zeros = torch.zeros(num_classes, dtype=torch.int64, device=device)
        loss = torch.zeros((), dtype=exact(device), device=device)
        return cls(zeros, zeros.clone(), loss, torch.full((), cls.NEVER, dtype=torch.int64, device=device))

    def add(self, y: Tensor, result: StepResult, step: int) -> None:
        """Add one batch, without waiting for the device."""
        self.total.index_add_(0, y, torch.ones_like(y))
        self.correct.index_add_(0, y, result.correct.to(torch.int64))
        self.loss += result.loss.to(self.loss.dtype) * len(y)
        bad = torch.where(torch.isfinite(result.loss), self.NEVER, step)
        self.first_bad_step = torch.minimum(self.first_bad_step, bad)
        for name, of_images in result.sums.items():
            summed = sum_by_class(of_images, y, len(self.total))
            self.sums[name] = self.sums[name] + summed if name in self.sums else summed

    def tally(self) -> Tally:
        """Return the sums as a rule reads them."""
        sums = {name: value.cpu() for name, value in self.sums.items()}
        return Tally(total=self.total.cpu(), correct=self.correct.cpu(), sums=sums)


def exact(device: torch.device) -> torch.dtype:
    """Return the precision of sums; Metal has no float64, and float32 is exact enough to show there."""
    return torch.float32 if device.type == "mps" else torch.float64


def sum_by_class(of_images: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Sum values of images, shape (batch,) or (batch, values), over the images of each true class.

    As a product, which repeats bit for bit on a GPU, where adding at indices does not; membership by
    comparison, because `F.one_hot` looks at the classes and so waits for the device.
    """
    member = (torch.arange(num_classes, device=y.device)[:, None] == y).to(exact(y.device))
    return member @ of_images.to(member.dtype)


@dataclass
class TrainingState:
    """The mutable part of a training run.

    Attributes:
        model: The online network, on the device.
        optimizer: Its optimiser.
        knobs: What the rule set for the coming (or current) epoch.
        rule_state: The rule's own state.
        averages: State dicts of EMA and FAWA weights; absent until the first accepted epoch.
        scores: The newest evaluated counts of every kind of weights, as lists, so that weights that did not
            change are not evaluated again.
        best: Selection score and epoch of the best checkpoint of every kind.
        epoch: The last epoch that is complete.
        step: Steps taken in the epoch after it.
        counts: Sums of those steps.
        sampler_state: State of the method's sampler, where it has one.
        companions: Networks that are trained beside the model.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    knobs: Knobs
    rule_state: Mapping[str, Tensor]
    counts: EpochCounts
    averages: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    best: dict[str, tuple[float, int]] = field(default_factory=dict)
    epoch: int = 0
    step: int = 0
    sampler_state: Mapping[str, Tensor] = field(default_factory=dict)
    companions: Mapping[str, nn.Module] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the state atomically: after a crash the file holds this state or the one before."""
        content = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{name: getattr(self, name) for name in FIELDS},
            "knobs": dict(self.knobs),
            "rule_state": dict(self.rule_state),
            "counts": vars(self.counts),
            "sampler_state": dict(self.sampler_state),
            "companions": {name: network.state_dict() for name, network in self.companions.items()},
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
        """Put every field in its place, the networks last: until then a wrong one has changed nothing."""
        given = {name: content[name] for name in ("model", "optimizer", *FIELDS)}
        counts = {"sums": {}, **given["counts"]}  # states of before have no sums
        companions = content.get("companions", {})
        sampler_state = content.get("sampler_state", {})
        knobs = {name: given["knobs"][name] for name in self.knobs}  # they had knobs that meant nothing
        _require_alike(self.knobs, knobs)
        _require_alike(_without_sums(vars(self.counts)), _without_sums(counts))
        _require_sums(counts["sums"], len(self.counts.total))
        _require_alike(self.sampler_state, sampler_state)
        for weights in given["averages"].values():
            _require_alike(self.model.state_dict(), weights)
        rule_state = {name: value.cpu() for name, value in given["rule_state"].items()}
        best = {str(kind): (float(score), int(epoch)) for kind, (score, epoch) in given["best"].items()}
        epoch, step = operator.index(given["epoch"]), operator.index(given["step"])
        networks = {"model": self.model, **self.companions}
        weights = {"model": given["model"], **{name: companions[name] for name in self.companions}}
        for name, network in networks.items():
            _require_alike(network.state_dict(), weights[name])
        for name, network in networks.items():
            network.load_state_dict(weights[name])
        self.optimizer.load_state_dict(given["optimizer"])
        self.knobs = Knobs(**{name: value.cpu() for name, value in knobs.items()})
        self.rule_state, self.counts = rule_state, EpochCounts(**counts)
        self.averages, self.scores = dict(given["averages"]), dict(given["scores"])
        self.best, self.epoch, self.step, self.sampler_state = best, epoch, step, dict(sampler_state)


def _without_sums(counts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in counts.items() if name != "sums"}


def _require_sums(sums: object, classes: int) -> None:
    if not isinstance(sums, dict) or not all(
        isinstance(value, Tensor) and tuple(value.shape) in ((classes,), (classes, classes))
        for value in sums.values()
    ):
        raise ValueError("sums of another data set")


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
