"""Distillation beside its authors' scripts, for `authors.py`."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import torch
from author_steps import CLASSES, SEED, Clone, Found, Ours, between, names, network
from torch import Tensor, nn

ATTACK = {"epsilon": 8 / 255, "step_size": 2 / 255, "num_steps": 10}


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
