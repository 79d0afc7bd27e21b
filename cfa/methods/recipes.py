"""A method is a recipe, not a script: objective + training attack + calibration rule, by name.

Weight averages are no part of a recipe: every run carries online, EMA and FAWA weights, so "TRADES + EMA" is
`trades` with its EMA weights and "TRADES + CFA" is `trades-cfa` (CCM + CCR) with its FAWA weights.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cfa.attacks import CLEAN, LOSSES, PGD, named_attack
from cfa.config import BatchNormMode, RunConfig, setting_names
from cfa.errors import ConfigError
from cfa.methods.constraints import FairConstraints
from cfa.methods.objectives import Objective, adversarial_cross_entropy, trades
from cfa.methods.rules import Calibration, Rule
from cfa.registry import Registry, instance_of, unknown

OF_CONSTRAINTS = (
    "rule.clean_bound",
    "rule.boundary_bound",
    "rule.weight_rate",
    "rule.eps_rate",
    "rule.weight_limit",
)
# Settings that may be ``None`` in a configuration, but only for methods that have no use for them; each with
# a usual value.
NEEDED: Mapping[str, str] = {
    "objective.beta": "6",
    "objective.tau": "3",
    "rule.lambda_eps": "0.5",
    "rule.lambda_beta": "0.5",
}
PASSES = ("clean", "logging")  # extra forward passes that training knows


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The parts of a method.

    Parts that contradict each other are refused with a ConfigError: one of them would do nothing.

    Attributes:
        name: Registry key.
        title: Short name of the base method, for people.
        summary: One line on what it does.
        objective: The loss terms.
        attack_loss: What the training attack maximises.
        start: Where the training attack starts, in the official code and so by default.
        bn_mode: The model's mode while attacking, in the official code and so by default.
        uses_beta: The loss has a clean term, weighed against the robust one by ``objective.beta``.
        uses_tau: The training attack stops early (FAT), after ``objective.tau`` steps.
        ccm: The rule calibrates ``eps`` per class.
        ccr: The rule calibrates ``beta`` per class.
        gated: FAWA weights are the method's own ("+ CFA").
        constrained: The rule is FRL's, and ``eps`` and weights follow its constraints. It is asked before
            epoch 1 as well, about the weights that training starts from, which should be robust already.
        batch_weights: Each loss term is divided by the sum of its weights in the batch (FRL), not by the
            number of images.
        shared_step: A relative step is relative to the largest ``eps`` in the batch (FRL).
        settings: What the method's official code does whatever is trained; of our methods presets may say
            otherwise.
        validation_attack: What validation images are attacked with after every epoch: for the gate, for
            choosing checkpoints, and where the rule reads them.
        official_passes: Extra forward passes of the method's official code, ``clean`` with the loss and
            ``logging`` after the step; made only where `train.official_passes` asks for them.
        official_loop: The official code's attack has a loop of its own, followed where they are asked for.
    """

    name: str
    title: str
    summary: str
    objective: Objective
    attack_loss: str = "cross-entropy"
    start: str = "uniform"
    bn_mode: BatchNormMode = "train"
    uses_beta: bool = False
    uses_tau: bool = False
    ccm: bool = False
    ccr: bool = False
    gated: bool = False
    constrained: bool = False
    batch_weights: bool = False
    shared_step: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    validation_attack: str = "pgd-10"  # at the nominal eps, step eps/4, as most papers validate
    official_passes: tuple[str, ...] = ()
    official_loop: bool = False

    def __post_init__(self) -> None:
        """Refuse parts that contradict each other, or that do not exist."""
        named_attack(self.validation_attack, "linf")
        for sentence in self._contradictions():
            raise ConfigError(f"recipe {self.name!r}: {sentence}")

    def _contradictions(self) -> Iterator[str]:
        if self.ccr and not self.uses_beta:
            yield "ccr calibrates beta, and there is none; set uses_beta=True or leave ccr out"
        if self.constrained and not self.uses_beta:
            yield "constrained weighs a clean term against a robust one; set uses_beta=True"
        if self.constrained and (self.ccm or self.ccr):
            yield "constrained sets eps and weights of each class by itself; leave ccm and ccr out"
        if self.official_loop and not self.uses_tau:
            yield "official_loop is FAT's, which stops early; set uses_tau=True"
        if self.validation_attack == CLEAN:
            yield "validation_attack is clean; name an attack such as pgd-10"
        if self.attack_loss not in LOSSES:
            yield str(unknown("attack_loss", self.attack_loss, list(LOSSES)))
        for name in self.official_passes:
            if name not in PASSES:
                yield str(unknown("official pass", name, list(PASSES)))
        for name in self.settings:
            if name not in setting_names():
                yield str(unknown("setting", name, setting_names()))
            elif name in unused_settings(self):
                yield f"its settings give {name}, for which its flags have no use; set the flag that uses it"

    def require_settings(self, config: RunConfig) -> None:
        """Refuse a configuration without a number that the method needs: it would train as another method.

        Raises:
            ConfigError: One is missing.
        """
        flat, unused = config.flat(), unused_settings(self)
        for name, usual in NEEDED.items():
            if name not in unused and flat[name] is None:
                raise ConfigError(
                    f"{config.method} needs {name}, which neither its recipe nor the preset "
                    f"{config.preset!r} gives it; set it, for example --set {name}={usual}"
                )

    def attack(self, config: RunConfig) -> PGD:
        """Build the training attack.

        Raises:
            ConfigError: A setting that the method needs is missing.
        """
        self.require_settings(config)
        settings = config.attack
        return PGD(
            norm=settings.norm,
            steps=settings.steps,
            step_size=settings.step_size,
            loss=self.attack_loss,
            start=settings.start,
            bn_mode=settings.bn_mode,
            tau=config.objective.tau if self.uses_tau else None,
            official_loop=self.official_loop and config.train.official_passes,
            shared_step=self.shared_step,
        )

    def rule(self, config: RunConfig) -> Rule:
        """Build the calibration rule.

        Raises:
            ConfigError: A setting that the method needs is missing.
        """
        self.require_settings(config)
        settings = config.rule
        if self.constrained:
            assert config.objective.beta is not None  # it is required
            return FairConstraints(
                eps=config.attack.eps,
                beta=config.objective.beta,
                clean_bound=settings.clean_bound,
                boundary_bound=settings.boundary_bound,
                weight_rate=settings.weight_rate,
                eps_rate=settings.eps_rate,
                weight_limit=settings.weight_limit,
            )
        return Calibration(
            eps=config.attack.eps,
            beta=config.objective.beta if self.uses_beta else None,
            lambda_eps=settings.lambda_eps if self.ccm else None,
            lambda_beta=settings.lambda_beta if self.ccr else None,
            warmup_epochs=settings.warmup_epochs,
            eps_min=settings.eps_min,
            eps_max=settings.eps_max,
        )


def unused_settings(recipe: Recipe) -> set[str]:
    """List the settings that a method has no use for."""
    unused = set()
    if not recipe.uses_beta:
        unused.add("objective.beta")
    if not recipe.uses_tau:
        unused.add("objective.tau")
    if not recipe.ccm:
        unused |= {"rule.lambda_eps", "rule.eps_min", "rule.eps_max"}
    if not recipe.ccr:
        unused.add("rule.lambda_beta")
    if not (recipe.ccm or recipe.ccr):
        unused.add("rule.warmup_epochs")
    if not recipe.constrained:
        unused |= set(OF_CONSTRAINTS)
    return unused


METHODS: Registry[Recipe] = Registry(
    "method", instance_of(Recipe, "make a cfa.methods.Recipe of your method and name that")
)

_PGD_AT = Recipe(
    name="pgd-at",
    title="PGD-AT",
    summary="Cross-entropy on PGD examples (Madry et al. 2018)",
    objective=adversarial_cross_entropy,
    official_passes=("logging",),
)
_TRADES = Recipe(
    name="trades",
    title="TRADES",
    summary="Clean cross-entropy plus beta times the KL to adversarial predictions (Zhang et al. 2019)",
    objective=trades,
    attack_loss="kl",
    start="normal",
    bn_mode="eval",
    uses_beta=True,
    official_passes=("clean", "logging"),
)
_FAT = Recipe(
    name="fat",
    title="FAT",
    summary="PGD-AT that stops tau steps after a sample is misclassified (Zhang et al. 2020)",
    objective=adversarial_cross_entropy,
    uses_tau=True,
    official_passes=("logging",),
    official_loop=True,
)
_FRL = Recipe(
    name="frl",
    title="FRL",
    summary="Fine-tunes a robust network (init) under constraints on class errors (Xu et al. 2021)",
    objective=trades,
    attack_loss="kl",
    start="normal",
    bn_mode="eval",
    uses_beta=True,
    constrained=True,
    batch_weights=True,
    shared_step=True,
    settings={
        "attack.step_size": "eps/4",
        "objective.beta": 1.5,
        "optimizer.lr": 0.001,
        "optimizer.milestones": (),
        "train.epochs": 40,
    },
    validation_attack="pgd-20",  # their step of 2/255 is a quarter of 8/255
    official_passes=("clean",),  # they count nothing while they train, so that there is no logging pass
)


def _variant(base: Recipe, name: str, summary: str, *, ccm: bool, ccr: bool, gated: bool) -> Recipe:
    return Recipe(**{**vars(base), "name": name, "summary": summary, "ccm": ccm, "ccr": ccr, "gated": gated})


for _recipe in (
    _PGD_AT,
    _variant(
        _PGD_AT, "pgd-at-cfa", "PGD-AT with calibrated eps per class (CCM)", ccm=True, ccr=False, gated=True
    ),
    _TRADES,
    _variant(_TRADES, "trades-ccm", "TRADES with calibrated eps per class", ccm=True, ccr=False, gated=False),
    _variant(
        _TRADES, "trades-ccr", "TRADES with calibrated beta per class", ccm=False, ccr=True, gated=False
    ),
    _variant(
        _TRADES,
        "trades-cfa",
        "TRADES with calibrated eps and beta per class (CCM + CCR)",
        ccm=True,
        ccr=True,
        gated=True,
    ),
    _FAT,
    _variant(_FAT, "fat-cfa", "FAT with calibrated eps per class (CCM)", ccm=True, ccr=False, gated=True),
    _FRL,
):
    METHODS.register(_recipe.name, _recipe)


def title_of_ours(recipe: Recipe) -> str | None:
    """Return the title of one of our own methods; somebody's own recipe may have the same by accident."""
    return recipe.title if recipe.name in METHODS and METHODS[recipe.name] is recipe else None


def known_recipe(method: str) -> Recipe | None:
    """Return the recipe registered as ``method``; ``None`` for foreign weights and for somebody's own method.

    A list or a table never imports anything (`cfa.trust`).
    """
    if method not in METHODS:
        return None
    return METHODS[method]


def display_name(method: str, weights: str) -> str:
    """Name a method with one kind of its weights as the paper does: "TRADES + EMA", "TRADES + CFA", ..."""
    recipe = known_recipe(method)
    if recipe is not None and recipe.gated and weights == "fawa":
        return f"{recipe.title} + CFA"
    parts = [recipe.title if recipe else method.rpartition(":")[2]]
    if recipe is not None:
        parts += ["CCM"] * recipe.ccm + ["CCR"] * recipe.ccr
    if weights in ("ema", "fawa"):
        parts.append(weights.upper())
    return " + ".join(parts)
