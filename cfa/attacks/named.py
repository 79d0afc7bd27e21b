"""Attacks by name: what a result's `attack` column means, in full.

An attack may say more about itself than how it is called (all optional):

- ``survivors_only``: true where an image that is wrong already need not be attacked;
- ``starts_per_image``: true where ``generator`` may also be `ImageNoise`, random numbers for each image;
- ``minimum_norm``: true where it looks for the smallest perturbation, whatever ``eps`` is;
- ``check_images(channels, side, num_classes)``: refuses, before anything runs, images that it cannot take;
- ``follows_gradients``: true where it asks for gradients of the model;
- ``passes(num_classes)``: the forward passes that an image takes at most, for progress and estimates;
- ``described()``: its settings for the result, where ``vars()`` does not tell them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor

from cfa.attacks.autoattack import MEMBERS, parse_autoattack
from cfa.attacks.early_stop import FirstBreak
from cfa.attacks.losses import Model
from cfa.attacks.minimum import SmallestPerturbation
from cfa.attacks.modes import model_mode
from cfa.attacks.noise import Noise
from cfa.attacks.pgd import PGD
from cfa.attacks.restarts import Restarts
from cfa.attacks.starts import Source
from cfa.attacks.torchattacks_plugin import KINDS, SCHEME, torchattacks_builder, torchattacks_installed
from cfa.errors import ConfigError, UnknownName
from cfa.notation import CLEAN, Norm, StepSize
from cfa.registry import Registry, instance_of, unknown


class Attack(Protocol):
    """Maps clean images to adversarial ones inside the eps-ball and [0, 1]."""

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return adversarial examples of ``x``."""
        ...


class StartsPerImage(Attack, Protocol):
    """An attack whose random starts can belong to images, not to the batch that they are in."""

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: Source = None,
    ) -> Tensor:
        """Return adversarial examples of ``x``."""
        ...


AttackBuilder = Callable[[Norm], Attack]


@dataclass(frozen=True)
class AttackSource:
    """An attack that can be asked for by name: what builds it for a norm.

    Somebody's own one is made by writing ``@AttackSource`` above the function that takes the norm.

    Attributes:
        build: Builds the attack for a norm, or raises a ConfigError where it has none for it.
        summary: What it is, in a line.
    """

    build: AttackBuilder
    summary: str = ""

    def __call__(self, norm: Norm) -> Attack:
        """Build the attack."""
        return self.build(norm)


ATTACKS: Registry[AttackBuilder] = Registry(
    "attack",
    instance_of(AttackSource, "write @cfa.attacks.AttackSource above the function that builds your attack"),
)
_PGD = re.compile(r"(?P<loss>pgd|cw|kl)-(?P<steps>[1-9]\d{0,3})(?P<best>-best)?(?:-r(?P<restarts>[1-9]\d?))?")
_LOSS_OF = {"pgd": "cross-entropy", "cw": "margin", "kl": "kl"}


def pgd(steps: int, *, best: bool = False, loss: str = "cross-entropy", restarts: int = 1) -> AttackBuilder:
    """Build ``pgd-n``: cross-entropy, one uniform start, step eps/4, judged at the last iterate.

    ``pgd-n-best`` is judged at every iterate: a broken image keeps the iterate that broke it.
    ``pgd-n-r5`` starts five times, each time on the images that still hold; ``cw-n`` raises the margin
    (Carlini and Wagner 2017) and ``kl-n`` the divergence from the clean prediction instead.
    """
    quarter = StepSize(value=0.25, relative=True)

    def build(norm: Norm) -> Attack:
        kind = FirstBreak if best else PGD
        once = kind(norm=norm, steps=steps, step_size=quarter, loss=loss)
        return once if restarts == 1 else Restarts(once, restarts)

    return build


def _fgsm(norm: Norm) -> PGD:
    """Goodfellow et al. 2015: one step of length eps from the image itself."""
    return PGD(norm=norm, steps=1, step_size=StepSize(value=1, relative=True), start="none")


def _listed(name: str) -> AttackBuilder:
    """Build one of AutoAttack's names; `parse_autoattack` knows them all."""

    def build(norm: Norm) -> Attack:
        attack = parse_autoattack(name, norm)
        assert attack is not None
        return attack

    build.__doc__ = _SUMMARIES[name]
    return build


_SUMMARIES = {
    "autoattack": "AutoAttack standard: apgd-ce, apgd-t, fab-t, square (Croce and Hein 2020).",
    "autoattack-plus": "AutoAttack plus: also apgd-dlr and fab, with five restarts.",
    "autoattack-rand": "AutoAttack rand, for randomised models: apgd-ce and apgd-dlr, 20 gradients a step.",
    "apgd-ce": "PGD with its own step size schedule on the cross-entropy, 100 steps.",
    "apgd-dlr": "The same on the difference of logits ratio.",
    "apgd-t": "The same on the targeted ratio, towards nine runners-up.",
    "fab": "FAB: the nearest decision boundary, 100 steps.",
    "fab-t": "FAB towards nine runners-up.",
    "square": "Square: random squares, 5,000 queries, no gradients.",
}

ATTACKS.register("fgsm", _fgsm)
for _steps in (10, 20, 50, 100):
    ATTACKS.register(f"pgd-{_steps}", pgd(_steps))
    ATTACKS.register(f"pgd-{_steps}-best", pgd(_steps, best=True))
ATTACKS.register("pgd-50-r5", pgd(50, restarts=5))
ATTACKS.register("cw-30", pgd(30, loss="margin"))
ATTACKS.register("kl-20", pgd(20, loss="kl"))
for _name in _SUMMARIES:
    ATTACKS.register(_name, _listed(_name))
ATTACKS.register("fab-min", SmallestPerturbation)
ATTACKS.register("noise", Noise)
ATTACKS.register_scheme(SCHEME, torchattacks_builder)
for _name in KINDS if torchattacks_installed() else ():
    ATTACKS.register(f"{SCHEME}:{_name}", torchattacks_builder(_name))


def named_attack(name: str, norm: Norm) -> Attack | None:
    """Build the attack called ``name`` for a norm; ``clean`` is ``None``.

    Besides the registered names: any ``pgd-N``, ``cw-N``, ``kl-N`` with ``-best`` and ``-rR`` behind it, and
    ``autoattack(MEMBER,MEMBER,...)``.

    Raises:
        UnknownName: Nothing has this name.
        ConfigError: The attack does not exist for this norm.
    """
    if name == CLEAN:
        return None
    if norm == "l0" and ":" not in name:
        _exists_for(name, norm)
    if (listed := parse_autoattack(name, norm)) is not None:
        return listed
    if match := _PGD.fullmatch(name):
        _exists_for(name, norm)
        restarts = int(match["restarts"] or 1)
        builder = pgd(
            int(match["steps"]),
            best=match["best"] is not None,
            loss=_LOSS_OF[match["loss"]],
            restarts=restarts,
        )
        return builder(norm)
    try:
        builder = ATTACKS[name]
    except UnknownName as error:
        if ":" in name:
            raise
        raise unknown("attack", name, [CLEAN, *ATTACKS]) from error
    if name in ATTACKS and not name.startswith(f"{SCHEME}:"):  # those say it themselves
        _exists_for(name, norm)
    return builder(norm)


def survivors_only(attack: Attack | None) -> bool:
    """Tell whether an attack is only run on the images that the model gets right."""
    return bool(getattr(attack, "survivors_only", False))


def starts_per_image(attack: Attack) -> TypeGuard[StartsPerImage]:
    """Tell whether an attack takes random numbers for each image."""
    return bool(getattr(attack, "starts_per_image", False))


def finds_minimum(attack: Attack | None) -> bool:
    """Tell whether an attack is judged by the norm that it needed."""
    return bool(getattr(attack, "minimum_norm", False))


def check_images(attack: Attack | None, channels: int, side: int, num_classes: int) -> None:
    """Refuse images that an attack cannot take, before hours are spent.

    Raises:
        ConfigError: It does not exist for such images.
    """
    check = getattr(attack, "check_images", None)
    if check is not None:
        check(channels, side, num_classes)


def follows_gradients(attack: Attack | None) -> bool:
    """Tell whether an attack says that it cannot do without the model's gradients."""
    return bool(getattr(attack, "follows_gradients", False))


def one_gradient_a_pass(attack: Attack) -> bool:
    """Tell whether an attack says that it takes one gradient at most of a pass, before the next pass."""
    return bool(getattr(attack, "one_gradient_a_pass", False))


def passes_of(attack: Attack | None, num_classes: int) -> int:
    """Return the forward passes that an image takes at most; a guess for attacks that do not say."""
    if attack is None:
        return 1
    count = getattr(attack, "passes", None)
    return int(count(num_classes)) if count is not None else _GUESSED_PASSES


def described(attack: Attack | None) -> dict[str, Any]:
    """Return the settings of an attack in plain values."""
    if attack is None:
        return {}
    own = getattr(attack, "described", None)
    shown = own() if own is not None else vars(attack) if hasattr(attack, "__dict__") else {}
    return {key: value if _is_plain(value) else str(value) for key, value in shown.items()}


_GUESSED_PASSES = 50


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return value is None or isinstance(value, bool | int | float | str)


def _exists_for(name: str, norm: Norm) -> None:
    if norm == "l1":
        raise ConfigError(f"{name} does not exist for l1; there are autoattack and {', '.join(MEMBERS)}")
    if norm == "l0":
        raise ConfigError(f"{name} does not exist for l0; there are only attacks of the package torchattacks")


def predict(model: Model, x: Tensor) -> Tensor:
    """Return the predicted classes of images in a float32 forward pass in eval mode, shape (batch,)."""
    with torch.no_grad(), model_mode(model, training=False):
        return model(x).argmax(dim=1)


def predict_under(
    model: Model,
    attack: Attack | None,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the predicted classes under an attack (``None``: of the clean images), shape (batch,)."""
    return predict(model, x if attack is None else attack(model, x, y, eps, generator=generator))
