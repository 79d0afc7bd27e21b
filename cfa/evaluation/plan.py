"""An evaluation plan: which attacks, how strong, on which images."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import ConfigDict
from torch import Tensor

from cfa.attacks import AutoAttack, check_images, described, follows_gradients, named_attack
from cfa.errors import ConfigError, StoreError
from cfa.notation import CLEAN, TRANSFER, Norm, eps_for, format_eps, parse_fraction
from cfa.stored import convert

Mode = Literal["reference", "fast"]
Starts = Literal["image", "batch"]


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """Attacks on the test images; ``clean`` always comes first, named or not.

    Attributes:
        attacks: Names (``pgd-20``, ``autoattack``, ...); ``pgd-20@255/255`` has an ``eps`` of its own.
        norm: Threat model; ``l1`` for AutoAttack and its members only.
        eps: Budget: in (0, 1] for linf, a positive length for l2 and l1.
        limit: About how many images: the first limit/classes of each class in file order; ``None`` is all.
        seed: Seed of random starts.
        batch_size: Images per batch; what is random in foreign attacks depends on it.
        mode: How AutoAttack runs: ``reference`` is pyautoattack's image for image, ``fast`` drops broken
            images from batches, so that a few images may come out differently.
        eps_sweep: Attack at each of these budgets instead of ``eps``, smallest first; an image that is broken
            at one counts as broken at every larger one.
        keep_megabytes: How much room the adversarial images may take that are kept for looking at.
        starts: Whether a random start belongs to its ``image``, so that ``pgd-20-best`` starts as ``pgd-20``,
            or to its place in the ``batch``, as in evaluations that do not say.
        transfer_from: Id of the run whose model makes the adversarial images of ``transfer``.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    attacks: tuple[str, ...]
    norm: Norm = "linf"
    eps: float = 8 / 255
    limit: int | None = None
    seed: int = 0
    batch_size: int = 500
    mode: Mode = "reference"
    eps_sweep: tuple[float, ...] = ()
    keep_megabytes: float = 20.0
    transfer_from: str | None = None
    starts: Starts = "image"

    def __post_init__(self) -> None:
        """Put ``clean`` first and refuse what cannot be carried out, before hours are spent."""
        for name in ("limit", "seed", "batch_size"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, _whole(name, value))
        object.__setattr__(self, "eps_sweep", tuple(sorted(float(eps) for eps in self.eps_sweep)))
        for eps in (self.eps, *self.eps_sweep):
            eps_for(self.norm, eps)
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit={self.limit} leaves no image; ask for at least one per class")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size={self.batch_size} is not positive")
        if self.mode not in ("reference", "fast"):
            raise ConfigError(f"mode={self.mode!r} is unknown; use 'reference' or 'fast'")
        if self.starts not in ("image", "batch"):
            raise ConfigError(f"starts={self.starts!r} is unknown; use 'image' or 'batch'")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed={self.seed} lies outside of 0 to 2147483647; take a smaller one")
        if not self.keep_megabytes >= 0:
            raise ConfigError(f"keep_megabytes={self.keep_megabytes} is negative; use 0 to keep no images")
        self._check_names()
        others = tuple(dict.fromkeys(name for name in self.attacks if name != CLEAN))
        object.__setattr__(self, "attacks", (CLEAN, *others))

    def _check_names(self) -> None:
        if len({format_eps(eps) for eps in self.eps_sweep}) < len(self.eps_sweep):
            raise ConfigError("eps_sweep names a budget twice (to two digits of n/255); name each once")
        for name in self.attacks:
            base, own = split_eps(name)
            if own is not None:
                eps_for(self.norm, name.rpartition("@")[2])
                if self.eps_sweep:
                    raise ConfigError(f"{name} has an eps of its own, and eps_sweep gives it others; choose")
            if base != TRANSFER:
                named_attack(base, self.norm)
            elif self.transfer_from is None:
                raise ConfigError("transfer needs another run's model; name the run in transfer_from")

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "EvaluationPlan":
        """Read a plan back from what is stored of it: JSON, which has lists for tuples, and may say anything.

        Raises:
            StoreError: It is no plan.
            ConfigError: It is one that cannot be carried out.
        """
        try:
            plan: EvaluationPlan = convert({"starts": "batch", **fields}, cls)
            return plan
        except StoreError as error:
            raise StoreError(f"the stored plan cannot be read ({error}); evaluate again") from error

    def count_images(self, test_images: int, num_classes: int) -> int:
        """Count the images that are attacked, of a test part with as many of every class.

        Raises:
            ConfigError: ``limit`` is smaller than the number of classes.
        """
        if self.limit is None:
            return test_images
        return min(test_images, _per_class(self.limit, num_classes) * num_classes)

    def check_images(self, channels: int, side: int, num_classes: int) -> None:
        """Refuse images that one of the attacks cannot take.

        Raises:
            ConfigError: It does not exist for such images.
        """
        for name in self.attacks:
            base, _ = split_eps(name)
            if base != TRANSFER:
                check_images(named_attack(base, self.norm), channels, side, num_classes)

    def gradient_attacks(self) -> tuple[str, ...]:
        """Return the names of the attacks that follow the model's own gradients."""
        own = [name for name in self.attacks if split_eps(name)[0] != TRANSFER]
        return tuple(name for name in own if follows_gradients(named_attack(split_eps(name)[0], self.norm)))

    def settings(self, name: str, num_classes: int | None = None) -> dict[str, Any]:
        """Describe an attack of the plan in full, as results store it.

        Args:
            name: One of the plan's attacks.
            num_classes: Where it is given, AutoAttack is described as it runs for so many classes.
        """
        base, own = split_eps(name)
        common: dict[str, Any] = {"eps": self.eps if own is None else own, "batch_size": self.batch_size}
        if self.eps_sweep:
            common["eps_sweep"] = list(self.eps_sweep)
        if base == TRANSFER:
            return {"attack": "Transfer", "norm": self.norm, "from": self.transfer_from, **common}
        attack = named_attack(base, self.norm)
        if attack is None:
            return {}
        if isinstance(attack, AutoAttack):
            common |= {"mode": self.mode, "norm": self.norm, "seed": self.seed}
            if num_classes is not None:
                attack, changed = attack.for_classes(num_classes)
                common["changed"] = list(changed)
        return {"attack": type(attack).__name__, **common, **described(attack)}


def split_eps(name: str) -> tuple[str, float | None]:
    """Split ``pgd-20@16/255`` into its name and its own ``eps``; ``None`` where it has none."""
    base, at, text = name.rpartition("@")
    if not at:
        return name, None
    value = parse_fraction(text)
    if not isinstance(value, float):
        raise ConfigError(f"{name!r} has no readable eps behind @; write {base}@16/255")
    return base, value


def chosen_images(labels: Tensor, num_classes: int, limit: int | None) -> Tensor:
    """Return the positions of the images to evaluate, ascending, int64.

    Raises:
        ConfigError: ``limit`` is smaller than the number of classes.
    """
    if limit is None:
        return torch.arange(len(labels))
    per_class = _per_class(limit, num_classes)
    members = [(labels == k).nonzero().squeeze(1)[:per_class] for k in range(num_classes)]
    return torch.cat(members).sort().values


def _per_class(limit: int, num_classes: int) -> int:
    if limit < num_classes:
        raise ConfigError(f"limit={limit} is less than one image for each of {num_classes} classes; raise it")
    return limit // num_classes


def _whole(name: str, value: object) -> int:
    """Return a whole number, NumPy's among them."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise ConfigError(f"{name}={value!r} is no whole number") from error
