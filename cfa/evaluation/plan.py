"""An evaluation plan: which attacks, how strong, on which images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfa.attacks import CLEAN, named_attack
from cfa.config import Norm, eps_in_unit_range
from cfa.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """Attacks on the test images; ``clean`` always comes first, named or not.

    Attributes:
        attacks: Names (``pgd-20``, ...).
        norm: Threat model.
        eps: Budget, in (0, 1].
        limit: About how many images: the first limit/classes of each class in file order; ``None`` is all.
        seed: Seed of random starts.
        batch_size: Images per batch; random starts depend on it.
    """

    attacks: tuple[str, ...]
    norm: Norm = "linf"
    eps: float = 8 / 255
    limit: int | None = None
    seed: int = 0
    batch_size: int = 500

    def __post_init__(self) -> None:
        """Put ``clean`` first and refuse what cannot be carried out, before hours are spent."""
        eps_in_unit_range(self.eps)
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit={self.limit} leaves no image; ask for at least one per class")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size={self.batch_size} is not positive")
        for name in self.attacks:
            named_attack(name, self.norm)
        others = tuple(dict.fromkeys(name for name in self.attacks if name != CLEAN))
        object.__setattr__(self, "attacks", (CLEAN, *others))

    def settings(self, name: str) -> dict[str, Any]:
        """Describe an attack of the plan in full, as results store it."""
        attack = named_attack(name, self.norm)
        if attack is None:
            return {}
        shown: Mapping[str, Any] = vars(attack) if hasattr(attack, "__dict__") else {}
        described = {key: value if _is_plain(value) else str(value) for key, value in shown.items()}
        return {"attack": type(attack).__name__, "eps": self.eps, "batch_size": self.batch_size, **described}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def chosen_images(labels: Tensor, num_classes: int, limit: int | None) -> Tensor:
    """Return the positions of the images to evaluate, ascending, int64.

    Raises:
        ConfigError: ``limit`` is smaller than the number of classes.
    """
    if limit is None:
        return torch.arange(len(labels))
    per_class = limit // num_classes
    if per_class == 0:
        raise ConfigError(f"limit={limit} is less than one image for each of {num_classes} classes; raise it")
    members = [(labels == k).nonzero().squeeze(1)[:per_class] for k in range(num_classes)]
    return torch.cat(members).sort().values
