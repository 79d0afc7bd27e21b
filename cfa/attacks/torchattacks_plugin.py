"""The classifier attacks of the package torchattacks by name, ``torchattacks:MIFGSM``, where it is installed.

The package keeps the model, switches its mode, seeds global generators and prints; all of that happens behind
a fence here. Its settings are its own defaults, except for the budget: ``eps`` is the plan's, and a step size
keeps its ratio to ``eps``. Attacks without a budget are judged by the norm that they needed.
"""

import contextlib
import importlib.util
import inspect
import io
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cfa.attacks.fence import frozen_parameters, own_randomness
from cfa.attacks.losses import Model
from cfa.attacks.modes import model_mode
from cfa.errors import ConfigError
from cfa.registry import unknown

SCHEME = "torchattacks"
INSTALL = "pip install --no-deps torchattacks"
PACKAGE_NORMS = {"linf": "Linf", "l2": "L2"}
COLOURS = 3
TARGETS = 9  # runners-up that a targeted attack tries: the package would try 99 at 100 classes

Measure = Literal["linf", "l2", "l1", "l0"]


@dataclass(frozen=True)
class Kind:
    """What one of the package's attacks is.

    Attributes:
        norms: The norms of its perturbations; a result is in one of these.
        passes: About how many forward passes it takes for an image.
        budget: The parameter that takes ``eps``; empty where it looks for the smallest perturbation.
        chooses_norm: Whether a parameter ``norm`` says which of the norms.
        targeted: Whether it tries one runner-up after another, so that ``passes`` is for each of them.
        least_classes: The classes that its loss needs.
        colours: The channels that its code takes: ``any``, ``three``, or three that it treats ``alike``: then
            it is the same attack on a grey image that is shown as three equal channels.
    """

    norms: tuple[Measure, ...]
    passes: int
    budget: str = "eps"
    chooses_norm: bool = False
    targeted: bool = False
    least_classes: int = 2
    colours: Literal["any", "alike", "three"] = "any"


_EITHER: tuple[Measure, ...] = ("linf", "l2")
KINDS: dict[str, Kind] = {
    "FGSM": Kind(("linf",), 1),
    "BIM": Kind(("linf",), 10),
    "RFGSM": Kind(("linf",), 10),
    "PGD": Kind(("linf",), 10),
    "EOTPGD": Kind(("linf",), 20),
    "FFGSM": Kind(("linf",), 1),
    "TPGD": Kind(("linf",), 11),
    "MIFGSM": Kind(("linf",), 10),
    "UPGD": Kind(("linf",), 10),
    "APGD": Kind(_EITHER, 12, chooses_norm=True),
    "APGDT": Kind(_EITHER, 12, chooses_norm=True, targeted=True, least_classes=4),
    "DIFGSM": Kind(("linf",), 10),
    "TIFGSM": Kind(("linf",), 10, colours="alike"),
    "Jitter": Kind(("linf",), 10),
    "NIFGSM": Kind(("linf",), 10),
    "PGDRS": Kind(("linf",), 50),
    "SINIFGSM": Kind(("linf",), 50),
    "VMIFGSM": Kind(("linf",), 60),
    "VNIFGSM": Kind(("linf",), 60),
    "SPSA": Kind(("linf",), 256),
    "PIFGSM": Kind(("linf",), 11, budget="max_epsilon", colours="alike"),
    "PIFGSMPP": Kind(("linf",), 11, budget="max_epsilon", colours="three"),  # smooths each in its own way
    "CW": Kind(("l2",), 50, budget=""),
    "PGDL2": Kind(("l2",), 10),
    "DeepFool": Kind(("l2",), 50, budget=""),
    "PGDRSL2": Kind(("l2",), 50),
    "EADEN": Kind(("l1",), 900, budget=""),
    "EADL1": Kind(("l1",), 900, budget=""),
    "SparseFool": Kind(("l0",), 200, budget=""),
    "OnePixel": Kind(("l0",), 550, budget=""),
    "Pixle": Kind(("l0",), 200, budget=""),
    "JSMA": Kind(("l0",), 100, budget=""),
    "FAB": Kind(_EITHER, 22, chooses_norm=True),
    "Square": Kind(_EITHER, 5000, chooses_norm=True),
    "AutoAttack": Kind(_EITHER, 600, chooses_norm=True, targeted=True, least_classes=4),
}
NO_ATTACKS = {
    "VANILA": "it changes nothing; `clean` is that",
    "GN": "it adds Gaussian noise of any size; `noise` stays inside the ball",
    "MultiAttack": "it is a list of attacks; name them one by one",
    "LGV": "it needs a training set for surrogate models",
}
BLACK_BOX = ("SPSA", "OnePixel", "Pixle", "Square")  # those that ask for logits alone
TITLES = {"AutoAttack": "torchattacks AA, 10 steps, not comparable"}


def torchattacks_installed() -> bool:
    """Tell whether the package can be imported, without importing it."""
    return importlib.util.find_spec(SCHEME) is not None


def torchattacks_title(name: str) -> str:
    """Return what a result of ``torchattacks:NAME`` is to be called on a page or in a table."""
    return TITLES.get(name.removeprefix(f"{SCHEME}:"), name)


def torchattacks_builder(name: str) -> "Builder":
    """Find the attack that the package calls ``name``.

    Raises:
        ConfigError: The package is not installed, or the name is none of an attack for our purpose.
        UnknownName: The package has no such attack.
    """
    if name in NO_ATTACKS:
        raise ConfigError(f"{SCHEME}:{name} is no attack to evaluate with: {NO_ATTACKS[name]}")
    if name not in KINDS:
        raise unknown("attack", f"{SCHEME}:{name}", [f"{SCHEME}:{known}" for known in KINDS])
    if not torchattacks_installed():
        raise ConfigError(
            f"{SCHEME}:{name} needs the package torchattacks, which is not installed; run `{INSTALL}` "
            "(without its dependencies, which contradict Streamlit's)"
        )
    return Builder(name)


@dataclass(frozen=True)
class Builder:
    """Builds ``torchattacks:NAME`` for a norm."""

    name: str

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """Say in one line what the attack is, for lists."""
        kind = KINDS[self.name]
        budget = f"{' or '.join(kind.norms)}" + ("" if kind.budget else ", smallest perturbation")
        return f"{TITLES.get(self.name, f'{self.name} of the package torchattacks')} ({budget})."

    def __call__(self, norm: str) -> "TorchAttack":
        """Build it.

        Raises:
            ConfigError: The attack does not exist for this norm.
        """
        kind = KINDS[self.name]
        measure = next((known for known in kind.norms if known == norm), None)
        if measure is None:
            raise ConfigError(
                f"{SCHEME}:{self.name} does not exist for {norm}; its perturbations are measured in "
                f"{' or '.join(kind.norms)}"
            )
        return TorchAttack(self.name, measure)


@dataclass(frozen=True)
class TorchAttack:
    """One of the package's attacks, with the package's own settings, behind a fence.

    Attributes:
        name: The package's name for it.
        norm: The norm that its perturbations are judged in.
    """

    name: str
    norm: Measure

    @property
    def minimum_norm(self) -> bool:
        """Tell whether it knows no budget and is judged by the norm that it needed."""
        return not KINDS[self.name].budget

    @property
    def survivors_only(self) -> bool:
        """Tell whether images that are wrong already are left out: they need no perturbation."""
        return self.minimum_norm

    @property
    def follows_gradients(self) -> bool:
        """Tell whether it asks for gradients."""
        return self.name not in BLACK_BOX

    def passes(self, num_classes: int) -> int:
        """Return about how many forward passes an image takes."""
        kind = KINDS[self.name]
        if self.name == "AutoAttack":  # APGD, APGD-T, FAB-T, Square
            return 12 + 34 * _targets(num_classes) + KINDS["Square"].passes
        return kind.passes * (_targets(num_classes) if kind.targeted else 1)

    def described(self) -> dict[str, Any]:
        """Return its settings in plain values, as results store them."""
        own = {name: value for name, value in _defaults(self.name).items() if name != "verbose"}
        own.pop(KINDS[self.name].budget, None)
        if (ratio := _step_ratio(self.name)) is not None:
            own["alpha"] = f"{ratio:g}*eps"
        if "n_classes" in own:
            own["n_classes"] = f"at most {TARGETS + 1}"
        if "seed" in own:
            own["seed"] = "drawn for each batch"
        settings = {
            name: value if isinstance(value, int | float | str) else str(value) for name, value in own.items()
        }
        return {"title": torchattacks_title(f"{SCHEME}:{self.name}"), **settings, "norm": self.norm}

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return adversarial images; without a budget they may lie outside of the eps-ball.

        Args:
            model: Maps images in [0, 1] to logits.
            x: Clean images, shape (batch, channels, height, width).
            y: True classes, shape (batch,).
            eps: The budget, one for all images.
            generator: Source of everything random.

        Raises:
            ConfigError: It does not exist for such images or classes, or ``eps`` differs between images.
        """
        seed = _draw_seed(generator)
        channels = x.shape[1]
        with (
            model_mode(model, training=False),
            frozen_parameters(model),
            _fenced(x.device, seed),
            torch.enable_grad(),
        ):
            seen = _Seen(model, x.device, channels)
            classes = _classes(seen, x)
            self.check_images(channels, x.shape[-1], classes)
            attack = self._build(seen, classes, _one_budget(eps), seed)
            shown = x.repeat(1, COLOURS, 1, 1) if self._shows_three(channels) else x.clone()
            x_adv: Tensor = attack(shown.detach(), y.clone().detach())
        return x_adv[:, :channels].detach().to(device=x.device, dtype=x.dtype)

    def _shows_three(self, channels: int) -> bool:
        return channels == 1 and KINDS[self.name].colours == "alike"

    def check_images(self, channels: int, side: int, classes: int) -> None:
        """Refuse images that the package's code fails on.

        Raises:
            ConfigError: It needs other channels, another side, or more classes.
        """
        kind = KINDS[self.name]
        if kind.colours != "any" and channels != COLOURS and not self._shows_three(channels):
            raise ConfigError(
                f"{SCHEME}:{self.name} takes images of {COLOURS} channels and these have {channels}; choose "
                "another attack"
            )
        if classes < kind.least_classes:
            raise ConfigError(
                f"{SCHEME}:{self.name} needs {kind.least_classes} classes and the model has {classes}; "
                "use `autoattack`, which leaves out what does not exist for few classes"
            )
        self._check_side(side)

    def _check_side(self, side: int) -> None:
        """Refuse sides for which the first pattern of Square in l2 runs over the edge (a bug of theirs)."""
        tile = side // 5
        edge = (side - 5 * tile) // 2
        fits = tile < 2 or edge + side // tile * tile <= side
        if self.norm == "l2" and self.name in ("Square", "AutoAttack") and not fits:
            raise ConfigError(
                f"{SCHEME}:{self.name} fails in l2 on images of {side} pixels a side; choose another attack"
            )

    def _build(self, model: nn.Module, classes: int, eps: float, seed: int) -> Any:
        import torchattacks

        kind = KINDS[self.name]
        settings: dict[str, Any] = {kind.budget: eps} if kind.budget else {}
        known = _defaults(self.name)
        if (ratio := _step_ratio(self.name)) is not None:
            settings["alpha"] = ratio * eps
        if kind.chooses_norm:
            settings["norm"] = PACKAGE_NORMS[self.norm]
        if "seed" in known:
            settings["seed"] = seed
        if "n_classes" in known:
            settings["n_classes"] = _targets(classes) + 1
        attack = getattr(torchattacks, self.name)(model, **settings)
        if self.name == "JSMA":  # it aims at the class after the true one, of ten whatever the model
            attack.set_mode_targeted_by_function(lambda images, labels: (labels + 1) % classes, quiet=True)
        return attack


class _Seen(nn.Module):
    """What the package sees of a model: its answers, and a parameter to read the device from.

    The package switches the mode of what it is given, and takes a normalisation from a model that it knows by
    its class's name: neither reaches the model behind.
    """

    def __init__(self, model: Model, device: torch.device, channels: int) -> None:
        super().__init__()
        self._channels = channels  # of the model's images; the attack may see more, all equal
        self._answer = [model]  # in a list: a module as attribute would be a child, whose mode is switched
        self.device_of = nn.Parameter(torch.empty(0, device=device), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits."""
        return self._answer[0](x[:, : self._channels])


def _defaults(name: str) -> dict[str, Any]:
    """Return the settings of one of the package's attacks as it has them."""
    import torchattacks

    parameters = inspect.signature(getattr(torchattacks, name).__init__).parameters
    return {p.name: p.default for p in parameters.values() if p.name not in ("self", "model")}


def _step_ratio(name: str) -> float | None:
    """Return the package's own step size over its own budget; its step is not made for another budget."""
    known = _defaults(name)
    return known["alpha"] / known["eps"] if "alpha" in known and KINDS[name].budget == "eps" else None


def _targets(classes: int) -> int:
    return min(TARGETS, classes - 1)


def _classes(model: nn.Module, x: Tensor) -> int:
    with torch.no_grad():
        return int(model(x[:1]).shape[1])


def _one_budget(eps: float | Tensor) -> float:
    values = torch.as_tensor(eps, dtype=torch.float64).reshape(-1)
    if not bool((values == values[0]).all()):
        raise ConfigError(f"attacks of {SCHEME} take one eps for all images; use pgd-20 for class-wise ones")
    return float(values[0])


def _draw_seed(generator: torch.Generator | None) -> int:
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**31 - 1, (1,), generator=generator, device=device))


@contextlib.contextmanager
def _fenced(device: torch.device, seed: int) -> Iterator[None]:
    """Seed every generator that the package may draw from, swallow what it prints, and give all back."""
    import numpy as np  # Pixle and OnePixel draw from its global generator

    of_python, of_numpy = random.getstate(), np.random.get_state()
    with (
        own_randomness(device),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of the package's age
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
