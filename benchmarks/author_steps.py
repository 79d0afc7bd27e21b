"""One training step of ours and what is needed to take one of the authors' scripts, for `authors.py`.

Scripts train when they are imported, so the lines of a step are taken out of their text and carried out on a
small network; nothing of them is kept here.
"""

import subprocess
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfa.config import RunConfig
from cfa.methods import Knobs, configure, parts_of
from cfa.models.heads import with_head
from cfa.training.step import Step, StepResult

CLASSES, IMAGES, SEED = 4, 32, 7
Found = Mapping[str, float]


@dataclass(frozen=True)
class Clone:
    """A repository of authors."""

    folder: Path
    name: str

    @property
    def git(self) -> list[str]:
        """The command that reads it."""
        return ["git", "--git-dir", str(self.folder / self.name.replace("/", "+") / "repo")]

    @property
    def is_there(self) -> bool:
        """Tell whether it was cloned."""
        return Path(self.git[-1]).is_dir()

    @property
    def commit(self) -> str:
        """The commit that is compared with."""
        return _said([*self.git, "rev-parse", "HEAD"])

    def text(self, path: str) -> str:
        """Read a file, made to run in float64 on the CPU."""
        found = _said([*self.git, "show", f"HEAD:{path}"])
        return found.replace(".cuda()", "").replace(".float()", "")


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def between(text: str, first: str, last: str) -> str:
    """Cut the lines from one that begins with a text to the next that does with another, included as well."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.strip().startswith(first))
    end = next(n for n, line in enumerate(lines) if n >= start and line.strip().startswith(last))
    return textwrap.dedent("\n".join(lines[start : end + 1]).expandtabs(4))


def names() -> dict[str, Any]:
    """Give what such scripts import."""
    return {"torch": torch, "nn": nn, "F": F, "Variable": lambda value, requires_grad=False: value}


@dataclass(frozen=True)
class Ours:
    """A step of one method, on images that stay within [0, 1] whatever their start."""

    config: RunConfig
    model: nn.Module
    teacher: nn.Module
    x: Tensor
    y: Tensor
    counts: Tensor

    @classmethod
    def of(cls, method: str, counts: tuple[int, ...] = (8,) * CLASSES, **settings: Any) -> "Ours":
        """Build it; the same for all, but for the method and how many training images the classes have."""
        config = configure(method, "cifar10", preset="authors", overrides=settings)
        noise = torch.Generator().manual_seed(SEED)
        x = 0.2 + 0.6 * torch.rand(IMAGES, 1, 6, 6, generator=noise)
        y = torch.randint(CLASSES, (IMAGES,), generator=noise)
        model = with_head(network(0), parts_of(config).method.head, "the network").train()
        return cls(config, model, network(1).eval().requires_grad_(False), x, y, torch.tensor(counts))

    def optimizer(self, model: nn.Module) -> torch.optim.SGD:
        """Build the optimiser of its settings."""
        own = self.config.optimizer
        return torch.optim.SGD(
            model.parameters(), own.lr, own.momentum, weight_decay=own.weight_decay, nesterov=own.nesterov
        )

    def taken(self, knobs: Mapping[str, Tensor]) -> StepResult:
        """Take the step."""
        step = Step.of(parts_of(self.config), self.model, self.counts, teacher=self.teacher)
        eps = torch.full((CLASSES,), self.config.attack.eps)
        of_classes = Knobs(**{"eps": eps, **knobs})
        index, noise = torch.arange(IMAGES), torch.Generator().manual_seed(SEED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return step(self.optimizer(self.model), self.x, self.y, index, of_classes, noise)

    def weights_differ(self, theirs: nn.Module) -> float:
        """Return the largest difference of any parameter."""
        pairs = zip(self.model.parameters(), theirs.parameters(), strict=True)
        return max(float((one - other).abs().max()) for one, other in pairs)


def network(seed: int) -> nn.Module:
    """Make a small network with BatchNorm whose answers differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, CLASSES)
        )
