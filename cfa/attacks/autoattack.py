"""AutoAttack (Croce and Hein 2020): pyautoattack's own attacks, one call per member and batch.

The package's loop over them cannot be resumed, cancelled or used below ten classes; the loop is ours
(`cfa.evaluation`), and what a member does with a batch is the package's. Settings are those of the package's
`_set_version`, as data.
"""

import dataclasses
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from cfa.attacks.fence import own_randomness
from cfa.attacks.losses import Model
from cfa.attacks.modes import model_mode
from cfa.errors import ConfigError
from cfa.notation import Norm
from cfa.registry import unknown

MemberName = Literal["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"]
Version = Literal["standard", "plus", "rand", "custom", "alone"]
MEMBERS: tuple[MemberName, ...] = get_args(MemberName)
PACKAGE_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
TARGETS = 9  # runners-up that a targeted member tries, however many classes there are
TARGETS_L1 = 5
QUERIES = 5000
ITERATIONS = 100

_LISTS: dict[str, tuple[MemberName, ...]] = {
    "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
    "plus": ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"),
    "rand": ("apgd-ce", "apgd-dlr"),
}
_NAME = re.compile(r"autoattack(?:-(?P<version>plus|rand)|\((?P<chosen>[^()]*)\))?")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One attack of AutoAttack, as pyautoattack carries it out on one batch.

    Attributes:
        name: Which one.
        norm: ``linf``, ``l2`` or ``l1``.
        iterations: Steps of a restart; Square's queries.
        restarts: Starts, per target where there are targets.
        targets: Runners-up that a targeted member tries; 0 for the others.
        eot: Gradients averaged per step (randomised models).
        larger_eps_first: L1: three tenths of the steps at 3 eps, three tenths at 2 eps, the rest at eps.
        fast: Drop images from the batch once they are broken; outcomes may differ from the package's.
    """

    name: MemberName
    norm: Norm
    iterations: int = 100
    restarts: int = 1
    targets: int = 0
    eot: int = 1
    larger_eps_first: bool = False
    fast: bool = False

    @property
    def follows_gradients(self) -> bool:
        """Tell whether it asks for gradients; Square asks for logits alone."""
        return self.name != "square"

    @property
    def one_gradient_a_pass(self) -> bool:
        """Tell whether it takes one gradient at most of a pass, before the next; FAB takes one a class.

        The lean FAB-T goes on with passes of before.
        """
        return self.name != "fab" and not (self.name == "fab-t" and self.fast)

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: torch.Generator | None = None,
        logger: logging.Logger | None = None,
    ) -> Tensor:
        """Return adversarial examples of ``x``; images that are not broken come back as they were.

        Args:
            model: Maps images in [0, 1] to logits.
            x: Clean images that the model gets right, shape (batch, channels, height, width).
            y: True classes, shape (batch,).
            eps: Radius of the ball: a number.
            generator: Its initial seed is the seed that the package is given; nothing is drawn from it.
            logger: Hears of zero gradients.
        """
        seed = generator.initial_seed() if generator is not None else 0
        with torch.no_grad(), model_mode(model, training=False), own_randomness(x.device):
            attack = self._build(model, float(eps), seed, x.device, logger or quiet_logger())
            found: Tensor = attack.perturb(x.clone(), y.clone())
        return found.detach()

    def passes(self, num_classes: int) -> int:
        """Count the forward passes that an image takes at most, the judge's included."""
        runs = self.restarts * max(self.targets, 1)
        if self.name == "square":
            return self.restarts * (self.iterations + 2) + 2
        if self.name == "fab":
            return runs * (2 * self.iterations + 2) + 2
        if self.name == "fab-t":
            return runs * (2 * self.iterations + 3) + 2
        return runs * (self.eot * (self.iterations + 1) + (self.targets > 0)) + 2

    def _build(
        self, model: Model, eps: float, seed: int, device: torch.device, logger: logging.Logger
    ) -> Any:
        common: dict[str, Any] = {
            "n_restarts": self.restarts,
            "norm": PACKAGE_NORMS[self.norm],
            "eps": eps,
            "seed": seed,
            "verbose": False,
            "device": device,
        }
        if self.name == "square":
            return self._class()(model, p_init=0.8, n_queries=self.iterations, resc_schedule=False, **common)
        if self.name in ("fab", "fab-t"):
            if self.fast:
                from cfa.attacks.fast import LeanFAB

                return LeanFAB(model, self.norm, eps, seed, self.iterations, self.restarts, self.targets)
            targeted = self.name == "fab-t"
            common |= {"n_iter": self.iterations, "targeted": targeted, "n_target_classes": self.targets}
            return self._class()(model, **common)
        common |= {"n_iter": self.iterations, "eot_iter": self.eot, "rho": 0.75, "logger": logger}
        common["use_largereps"] = self.larger_eps_first
        if self.name == "apgd-t":
            return self._class()(model, n_target_classes=self.targets, **common)
        return self._class()(model, loss=self.name.removeprefix("apgd-"), **common)

    def _class(self) -> Any:
        """Find the package's class, or our leaner one. Imported late: clean accuracy needs neither."""
        from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
        from pyautoattack.fab_pt import FABAttack_PT
        from pyautoattack.square import SquareAttack

        from cfa.attacks.fast import LeanSquare, ShrinkingAPGD, ShrinkingAPGDTargeted

        reference, fast = {
            "square": (SquareAttack, LeanSquare),
            "fab": (FABAttack_PT, None),
            "fab-t": (FABAttack_PT, None),
            "apgd-t": (APGDAttack_targeted, ShrinkingAPGDTargeted),
        }.get(self.name, (APGDAttack, ShrinkingAPGD))
        return fast if self.fast else reference


@dataclass(frozen=True)
class AutoAttack:
    """An ordered list of members, each of which attacks what the ones before left.

    Attributes:
        version: ``standard``, ``plus``, ``rand``; ``custom`` for a chosen list (with the settings that the
            package gives one), ``alone`` for a single member (with those that it has in ``standard``).
        norm: Threat model.
        members: What runs, in order.
    """

    version: Version
    norm: Norm
    members: tuple[Member, ...]

    survivors_only = True

    @property
    def composite(self) -> bool:
        """Tell a list from a single attack that was asked for by its own name."""
        return self.version != "alone"

    @property
    def follows_gradients(self) -> bool:
        """Tell whether any member asks for gradients."""
        return any(member.follows_gradients for member in self.members)

    def for_classes(self, num_classes: int) -> tuple["AutoAttack", tuple[str, ...]]:
        """Fit the members to the number of classes, and say what was changed.

        The targeted members cannot have more targets than there are wrong classes; the DLR loss needs three
        classes, its targeted form four (the package raises an IndexError there).

        Raises:
            ConfigError: Nothing is left to run.
        """
        fitted: list[Member] = []
        said: list[str] = []
        for member in self.members:
            new, sentence = _fit(member, num_classes)
            said += [sentence] if sentence else []
            if new is not None and all(new.name != other.name for other in fitted):
                fitted.append(new)
        if not fitted:
            raise ConfigError(
                f"{self.members[0].name} does not exist for {num_classes} classes: {said[0]}; "
                "choose apgd-ce, fab-t or square"
            )
        return dataclasses.replace(self, members=tuple(fitted)), tuple(said)

    def faster(self) -> "AutoAttack":
        """Return the same list in the mode that drops broken images from batches."""
        return dataclasses.replace(
            self, members=tuple(dataclasses.replace(member, fast=True) for member in self.members)
        )

    def described(self) -> dict[str, Any]:
        """Return what runs, in full."""
        from importlib.metadata import version

        members = [dataclasses.asdict(member) for member in self.members]
        return {
            "version": self.version,
            "members": members,
            "package": f"pyautoattack {version('pyautoattack')}",
        }

    def passes(self, num_classes: int) -> int:
        """Count the forward passes that an image takes at most."""
        return sum(member.passes(num_classes) for member in self.for_classes(num_classes)[0].members)

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Attack one batch with every member in turn; images that hold come back as they were."""
        x_adv = x.clone()
        with torch.no_grad(), model_mode(model, training=False):
            logits = model(x)
            holds = logits.argmax(dim=1) == y
            for member in self.for_classes(logits.shape[1])[0].members:
                if not bool(holds.any()):
                    break
                found = member(model, x[holds], y[holds], eps, generator=generator)
                broken = model(found).argmax(dim=1) != y[holds]
                where = holds.nonzero().squeeze(1)[broken]
                x_adv[where] = found[broken]
                holds[where] = False
        return x_adv


def autoattack(version: Version, norm: Norm, chosen: Iterable[str] = ()) -> AutoAttack:
    """Build a version for a norm; ``chosen`` names the members of ``custom`` and ``alone``."""
    names = tuple(chosen) or _LISTS[version]
    for name in names:
        if name not in MEMBERS:
            raise unknown("member of AutoAttack", name, list(MEMBERS))
    if len(set(names)) < len(names):
        raise ConfigError(f"autoattack({','.join(names)}) names a member twice; name each once")
    members = tuple(_member(name, version, norm, names[:i]) for i, name in enumerate(names))
    return AutoAttack(version, norm, members)


def parse_autoattack(name: str, norm: Norm) -> AutoAttack | None:
    """Read ``autoattack``, ``autoattack-plus``, ``autoattack(apgd-ce,square)`` or a member's name.

    Returns ``None`` where the name is another attack's.
    """
    if name in MEMBERS:
        return autoattack("alone", norm, (name,))
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    if match["chosen"] is not None:
        chosen = [word.strip() for word in match["chosen"].split(",")]
        return autoattack("custom", norm, chosen)
    return autoattack("standard" if match["version"] is None else _version(match["version"]), norm)


def quiet_logger() -> logging.Logger:
    """Make a logger that belongs to nobody: the package's messages reach neither screen nor root logger."""
    logger = logging.Logger("pyautoattack in cfa")  # not registered, so without parents
    logger.addHandler(logging.NullHandler())
    return logger


def _version(word: str) -> Version:
    return "plus" if word == "plus" else "rand"


def _member(name: str, version: Version, norm: Norm, before: tuple[str, ...]) -> Member:
    """Set up one member as the package's constructor and `_set_version` do."""
    named: MemberName = MEMBERS[[str(member) for member in MEMBERS].index(name)]
    as_standard, l1 = version in ("standard", "alone"), norm == "l1"
    if name in ("apgd-ce", "apgd-dlr"):
        many = version in ("plus", "custom") or (as_standard and l1)
        return Member(
            name=named,
            norm=norm,
            iterations=ITERATIONS,
            restarts=5 if many else 1,
            eot=20 if version == "rand" else 1,
            larger_eps_first=as_standard and l1,
        )
    if name == "apgd-t":
        targets = TARGETS_L1 if as_standard and l1 else TARGETS
        return Member(
            name=named, norm=norm, iterations=ITERATIONS, targets=targets, larger_eps_first=as_standard and l1
        )
    if name == "fab":
        # In the package fab-t sets the restarts of fab to one, for good.
        return Member(
            name=named,
            norm=norm,
            iterations=ITERATIONS,
            restarts=1 if as_standard or "fab-t" in before else 5,
        )
    if name == "fab-t":
        return Member(name=named, norm=norm, iterations=ITERATIONS, targets=TARGETS)
    return Member(name=named, norm=norm, iterations=QUERIES)


def _fit(member: Member, num_classes: int) -> tuple[Member | None, str]:
    """Return what stands in for a member at a number of classes, and a sentence where it is another one."""
    most = num_classes - 1
    if num_classes == 2 and member.name in ("apgd-dlr", "apgd-t"):
        return None, f"{member.name} was left out: the DLR loss needs 3 classes, there are 2"
    if num_classes == 3 and member.name == "apgd-t":
        instead = dataclasses.replace(member, name="apgd-dlr", targets=0)
        return instead, "apgd-t was replaced by apgd-dlr: the targeted DLR loss needs 4 classes, there are 3"
    if member.targets > most:
        fewer = dataclasses.replace(member, targets=most)
        return fewer, f"{member.name} tried {most} target classes instead of {member.targets}"
    return member, ""
