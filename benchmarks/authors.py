"""One training step beside the authors' own scripts, in float64: weights afterwards, and what the rule reads.

python benchmarks/authors.py --clones FOLDER     # with a git directory OWNER+NAME/repo of each repository

Scripts train when they are imported, so the lines of a step are taken out of their text and carried out on a
small network; nothing of them is kept here. A repository that is absent is skipped. A further method adds a
function to ``COMPARISONS``.
"""

import argparse
import subprocess
import textwrap
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from machine import write_result
from torch import Tensor, nn
from torch.nn import functional as F

from cfa.config import RunConfig
from cfa.methods import Knobs, configure, parts_of
from cfa.training.step import Step, StepResult

CLASSES, IMAGES, SEED = 4, 32, 7
ATTACK = {"epsilon": 8 / 255, "step_size": 2 / 255, "num_steps": 10}
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


# A step of ours -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ours:
    """A step of one method, on images that stay within [0, 1] whatever their start."""

    config: RunConfig
    model: nn.Module
    teacher: nn.Module
    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, method: str, **settings: Any) -> "Ours":
        """Build it; the same for all, but for the method."""
        config = configure(method, "cifar10", preset="authors", overrides=settings)
        noise = torch.Generator().manual_seed(SEED)
        x = 0.2 + 0.6 * torch.rand(IMAGES, 1, 6, 6, generator=noise)
        y = torch.randint(CLASSES, (IMAGES,), generator=noise)
        return cls(config, network(0).train(), network(1).eval().requires_grad_(False), x, y)

    def optimizer(self, model: nn.Module) -> torch.optim.SGD:
        """Build the optimiser of its settings."""
        own = self.config.optimizer
        return torch.optim.SGD(
            model.parameters(), own.lr, own.momentum, weight_decay=own.weight_decay, nesterov=own.nesterov
        )

    def taken(self, knobs: Mapping[str, Tensor]) -> StepResult:
        """Take the step."""
        step = Step.of(parts_of(self.config), self.model, torch.full((CLASSES,), 8), teacher=self.teacher)
        eps = torch.full((CLASSES,), self.config.attack.eps)
        index, noise = torch.arange(IMAGES), torch.Generator().manual_seed(SEED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return step(self.optimizer(self.model), self.x, self.y, index, Knobs(eps=eps, **knobs), noise)

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


# Distillation ---------------------------------------------------------------------------------------------


class _Bar(list[Any]):
    """Stand for a progress bar around batches."""

    def set_description(self, text: str) -> None:
        """Show nothing."""


def ard(clone: Clone) -> Found:
    """Take an epoch of one batch of ARD."""
    text = clone.text("main.py")
    ours = Ours.of("ard")
    ours.taken({})

    theirs = network(0)
    space = _as_ard(ours, theirs) | {
        "args": Namespace(temp=30.0, alpha=1.0, save_period=100),
        "tqdm": lambda batches, **more: _Bar(batches),
    }
    exec(between(text, "class AttackPGD", "return self.basic_net(x), x"), space)
    exec(between(text, "def train(", "return train_loss"), space)
    space["net"] = space["AttackPGD"](theirs, ATTACK)
    torch.manual_seed(SEED)
    space["train"](0, ours.optimizer(theirs))
    return {"weights after a step": ours.weights_differ(theirs)}


def _as_ard(ours: Ours, theirs: nn.Module) -> dict[str, Any]:
    """Give what ARD and Fair-ARD call their networks and their batches."""
    return names() | {
        "device": "cpu",
        "trainloader": [(ours.x, ours.y)],
        "teacher_net": ours.teacher,
        "basic_net": theirs,
        "KL_loss": nn.KLDivLoss(),
        "XENT_loss": nn.CrossEntropyLoss(),
    }


def fair_ard(clone: Clone) -> Found:
    """Take an epoch of one batch of Fair-ARD, and weigh its classes."""
    text = clone.text("Fair-ARD.py")
    weights = torch.tensor([1.0, 0.9, 1.3, 2.0])
    ours = Ours.of("fair-ard")
    result = ours.taken({"weight": weights})

    theirs = network(0)
    space = _as_ard(ours, theirs) | {
        "num_classes": CLASSES,
        "args": Namespace(temp=30.0, alpha=1.0, beta=2.0, save_period=100),
    }
    exec(between(text, "class AttackPGD", "return self.basic_net(x), x, Kappa"), space)
    exec(between(text, "def weight_assign", "return reweight"), space)
    exec(between(text, "def train(", "return Kappa_total"), space)
    space["net"] = space["AttackPGD"](theirs, ATTACK)
    torch.manual_seed(SEED)
    survived = torch.tensor(space["train"](0, ours.optimizer(theirs), weights), dtype=torch.float64)
    return {
        "weights after a step": ours.weights_differ(theirs),
        "steps survived": _sums_differ(ours, result.sums["steps_survived"], survived),
        "weights of classes": _weights_of_classes_differ(space["weight_assign"]),
    }


def fair_rslad(clone: Clone) -> Found:
    """Take one step of Fair-RSLAD."""
    text = clone.text("Fair-RSLAD.py")
    weights = torch.tensor([1.0, 0.9, 1.3, 2.0])
    ours = Ours.of("fair-rslad")
    result = ours.taken({"weight": weights})

    theirs = network(0)
    space = _as_rslad(ours, theirs) | {
        "reweight": weights,
        "Kappa_total": [0] * CLASSES,
        "epoch": 1,
        "num_classes": CLASSES,
        "args": Namespace(beta=2.0),
    }
    for first, last in (
        ("def rslad_inner_loss", "return logits, Kappa"),
        ("def kl_loss", "return"),
        ("def weight_assign", "return reweight"),
    ):
        exec(between(text, first, last), space)
    torch.manual_seed(SEED)
    exec(between(text, "with torch.no_grad():", "optimizer.step()"), space)
    survived = torch.tensor(space["Kappa_total"], dtype=torch.float64)
    return {
        "weights after a step": ours.weights_differ(theirs),
        "steps survived": _sums_differ(ours, result.sums["steps_survived"], survived),
        "weights of classes": _weights_of_classes_differ(space["weight_assign"]),
    }


def rslad(clone: Clone) -> Found:
    """Take one step of RSLAD; their loss has a constant besides."""
    ours = Ours.of("rslad")
    ours.taken({})
    theirs = network(0)
    space = _as_rslad(ours, theirs)
    exec(between(clone.text("rslad_loss.py"), "def rslad_inner_loss", "return logits"), space)
    text = clone.text("resnet18_rslad_cifar10.py")
    exec(between(text, "def kl_loss", "return"), space)
    torch.manual_seed(SEED)
    exec(between(text, "with torch.no_grad():", "optimizer.step()"), space)
    return {"weights after a step": ours.weights_differ(theirs)}


def absld(clone: Clone) -> Found:
    """Take one step of ABSLD as coded, and move the temperatures by its losses."""
    warm = {
        "adversarial_temperature": torch.tensor([0.8, 1.2, 1.0, 2.0]),
        "natural_temperature": torch.tensor([1.1, 0.9, 1.5, 0.7]),
    }
    ours = Ours.of("absld", **{"method.shared_temperatures": True})
    result = ours.taken(warm)

    theirs = network(0)
    text = clone.text("resnet18_absld_cifar10.py")
    space = _as_rslad(ours, theirs) | {
        "class_labels_temp_adv": warm["adversarial_temperature"],
        "class_labels_temp_nat": warm["natural_temperature"],
        "class_labels_total_loss_adv": torch.zeros(CLASSES),
        "class_labels_total_loss_nat": torch.zeros(CLASSES),
        "class_labels_temp_rate": 0.1,
        "temp_max": 5,
        "temp_min": 0.5,
        "ce_loss": nn.CrossEntropyLoss(reduction="none"),
    }
    exec(between(clone.text("absld_loss.py"), "def absld_inner_loss", "return logits"), space)
    exec(between(text, "def kl_loss", "return"), space)
    torch.manual_seed(SEED)
    exec(between(text, "with torch.no_grad():", "optimizer.step()"), space)
    found = {"weights after a step": ours.weights_differ(theirs)}
    for ours_name, name in (("adversarial", "adv"), ("natural", "nat")):
        found[f"sums of losses, {ours_name}"] = _sums_differ(
            ours, result.sums[f"cross_entropy_{ours_name}"], space[f"class_labels_total_loss_{name}"]
        )
    exec(between(text, "# update temp", "class_labels_temp_nat = torch.clamp"), space)
    return found | {"temperatures": _temperatures_differ(space, warm)}


def _as_rslad(ours: Ours, theirs: nn.Module) -> dict[str, Any]:
    """Give what the loops of RSLAD and of its children call their networks and their batch."""
    optimizer = ours.optimizer(theirs)
    batch = {"train_batch_data": ours.x, "train_batch_labels": ours.y, "epsilon": 8 / 255}
    return names() | batch | {"student": theirs, "teacher": ours.teacher, "optimizer": optimizer}


def _sums_differ(ours: Ours, of_images: Tensor, theirs: Tensor) -> float:
    summed = torch.zeros(CLASSES).index_add(0, ours.y, of_images.to(torch.float64))
    return float((summed - theirs).abs().max())


def _weights_of_classes_differ(theirs: Callable[[Tensor], Tensor]) -> float:
    from cfa.methods.catalogue.fair_ard import WeighingSettings, weights_by_steps

    survived = torch.tensor([7.5, 5.0, 3.8, 4.6])
    return float((weights_by_steps(survived, WeighingSettings()) - theirs(survived)).abs().max())


def _temperatures_differ(space: Mapping[str, Any], warm: Mapping[str, Tensor]) -> float:
    from cfa.methods.catalogue.absld import AbsldSettings, moved

    pairs = (("adversarial_temperature", "adv"), ("natural_temperature", "nat"))
    return max(
        float(
            (
                moved(warm[knob], space[f"class_labels_total_loss_{name}"], 0.1, AbsldSettings())
                - space[f"class_labels_temp_{name}"]
            )
            .abs()
            .max()
        )
        for knob, name in pairs
    )


COMPARISONS: Mapping[str, tuple[str, Callable[[Clone], Found]]] = {
    "absld": ("zhaoshiji123/ABSLD", absld),
    "ard": ("goldblum/AdversariallyRobustDistillation", ard),
    "fair-ard": ("NISP-official/Fair-ARD", fair_ard),
    "fair-rslad": ("NISP-official/Fair-ARD", fair_rslad),
    "rslad": ("zibojia/RSLAD", rslad),
}


def main() -> None:
    """Compare what is there, and write down repository, commit and differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True)
    folder = parser.parse_args().clones
    torch.set_default_dtype(torch.float64)
    rows = {}
    for method, (name, compare) in COMPARISONS.items():
        clone = Clone(folder, name)
        if not clone.is_there:
            print(f"{method}: {name} is not there")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            differences = compare(clone)
        rows[method] = {"repository": name, "commit": clone.commit, "largest_difference": dict(differences)}
        print(method, dict(differences))
    what = "one step beside the authors' own code, float64: largest difference"
    write_result("authors", {"what": what, "methods": rows})


if __name__ == "__main__":
    main()
