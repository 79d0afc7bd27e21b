"""CFA: eps and TRADES' beta of each class follow its training robustness (CCM and CCR), FAWA weights.

Wei et al., CFA: Class-wise Calibrated Fair Adversarial Training, CVPR 2023. Weight averages never influence
training, and every run keeps them: FAWA is what CFA's methods are reported with, and no part of the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import pydantic
from pydantic import BeforeValidator, Field

from cfa.config import RunConfig, Settings
from cfa.methods.catalogue.fat import FAT, FatSettings
from cfa.methods.catalogue.pgd_at import PGD_AT
from cfa.methods.catalogue.trades import TRADES, TradesSettings
from cfa.methods.epochs import Epochs, epochs_of
from cfa.methods.interface import Method, OfficialArgument
from cfa.methods.knobs import Knobs
from cfa.methods.rules import TRAINING, ClassStats, Rule, State
from cfa.notation import Number, parse_fraction, read_budget

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "Wei et al., CFA: Class-wise Calibrated Fair Adversarial Training, CVPR 2023"
YEAR = 2023
S = TypeVar("S", bound=Settings)


def _read_bound(value: object) -> object:
    """Read a bound of ``eps``, which may be 0."""
    number = parse_fraction(value)
    return value if value is None or number == 0 else read_budget("linf", value)


Bound = Annotated[float, BeforeValidator(_read_bound)]


class WarmUp(Settings):
    """When calibration starts."""

    warmup_epochs: Annotated[Epochs, Field(gt=0), OfficialArgument("begin")] = Field(
        default=10,  # official `--begin 10`; the paper does not state it
        description="Epochs in which all classes are treated alike before calibration starts.",
    )


class CcmSettings(WarmUp):
    """Class-wise calibrated margins."""

    lambda_eps: Annotated[Number, Field(ge=0, le=2), OfficialArgument("lambda_1")] = Field(
        description="CCM: eps of class k is (lambda + its training robustness) times eps.", examples=[0.5]
    )
    eps_min: Bound | None = Field(
        default=None, description="Lower bound of a class's eps; the paper has none."
    )
    eps_max: Annotated[Bound, Field(gt=0)] | None = Field(
        default=None, description="Upper bound of a class's eps; the paper has none."
    )

    @pydantic.model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.eps_min is not None and self.eps_max is not None and self.eps_min > self.eps_max:
            raise ValueError(f"eps_min {self.eps_min} exceeds eps_max {self.eps_max}; swap them")
        return self


class CcrSettings(WarmUp):
    """Class-wise calibrated regularisation."""

    lambda_beta: Annotated[Number, Field(ge=0, le=2), OfficialArgument("lambda_2")] = Field(
        description="CCR: beta of class k is (lambda + its training robustness) times beta.", examples=[0.5]
    )


class FatCfaSettings(CcmSettings, FatSettings):
    """FAT with CCM."""


class TradesCcmSettings(CcmSettings, TradesSettings):
    """TRADES with CCM."""


class TradesCcrSettings(CcrSettings, TradesSettings):
    """TRADES with CCR."""


class TradesCfaSettings(CcmSettings, CcrSettings, TradesSettings):
    """TRADES with both."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """CFA's rule (eq. 6 and 7).

    CCM: eps_k = (lambda_eps + t_k) eps. CCR: beta_k = (lambda_beta + t_k) beta, loss
    [CE + beta_k KL] / (1 + beta_k). Epochs 1 ... ``warmup_epochs`` are uniform. It has no state.

    Attributes:
        eps: The nominal budget.
        beta: TRADES' beta; ``None`` for a loss without a clean term.
        lambda_eps: CCM's; ``None`` keeps eps.
        lambda_beta: CCR's; ``None`` keeps beta.
        warmup_epochs: Epochs before calibration starts.
        eps_min: Lower bound of eps_k (the paper has none).
        eps_max: Upper bound of eps_k (the paper has none).
    """

    eps: float
    beta: float | None = None
    lambda_eps: float | None = None
    lambda_beta: float | None = None
    warmup_epochs: int = 10
    eps_min: float | None = None
    eps_max: float | None = None

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return no state and uniform knobs."""
        import torch

        uniform = torch.ones(classes, dtype=torch.float64)
        return {}, self._knobs(uniform * self.eps, uniform * (self.beta or 0))

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Calibrate once the warm-up is over."""
        import torch

        if stats.epoch < self.warmup_epochs:
            return self.initial(len(stats.class_counts))
        t = stats.seen[TRAINING].accuracy
        eps, beta = torch.full_like(t, self.eps), torch.full_like(t, self.beta or 0)
        if self.lambda_eps is not None:
            eps = (self.lambda_eps + t) * self.eps
            eps = eps.clamp(self.eps_min or 0, self.eps_max or torch.inf)
        if self.lambda_beta is not None:
            beta = (self.lambda_beta + t) * (self.beta or 0)
        return state, self._knobs(eps, beta)

    def _knobs(self, eps: Tensor, beta: Tensor) -> Knobs:
        """Turn beta into the weights 1/(1+beta) and beta/(1+beta), where there is one."""
        if self.beta is None:
            return Knobs(eps=eps)
        return Knobs(eps=eps, clean_weight=1 / (1 + beta), robust_weight=beta / (1 + beta))


def _ccm(settings: CcmSettings, config: RunConfig) -> dict[str, Any]:
    own = {name: getattr(settings, name) for name in ("lambda_eps", "eps_min", "eps_max")}
    return {**own, "warmup_epochs": epochs_of(settings.warmup_epochs, config)}


def _ccr(settings: CcrSettings, config: RunConfig) -> dict[str, Any]:
    return {
        "lambda_beta": settings.lambda_beta,
        "warmup_epochs": epochs_of(settings.warmup_epochs, config),
    }


def calibrated_margins(settings: CcmSettings, config: RunConfig) -> Calibration:
    """Build CCM for a loss without a clean term."""
    return Calibration(eps=config.attack.eps, **_ccm(settings, config))


def _trades_ccm(settings: TradesCcmSettings, config: RunConfig) -> Calibration:
    return Calibration(eps=config.attack.eps, beta=settings.beta, **_ccm(settings, config))


def _trades_ccr(settings: TradesCcrSettings, config: RunConfig) -> Calibration:
    return Calibration(eps=config.attack.eps, beta=settings.beta, **_ccr(settings, config))


def _trades_cfa(settings: TradesCfaSettings, config: RunConfig) -> Calibration:
    return Calibration(
        eps=config.attack.eps, beta=settings.beta, **_ccm(settings, config) | _ccr(settings, config)
    )


def _presets(
    plain: Method[Any], adds: tuple[str, ...], paper_lambda_eps: float | None
) -> Mapping[str, Mapping[str, Any]]:
    """Give the lambdas of the paper (section 5.1), of the official code and of the demo."""
    lambdas = {"method.lambda_eps": paper_lambda_eps, "method.lambda_beta": 0.5 if "CCR" in adds else None}
    paper = {name: value for name, value in lambdas.items() if value is not None}
    half = dict.fromkeys(paper, 0.5)
    own = {
        "paper": paper,
        "official-code": half,
        "protocol": {"method.warmup_epochs": 10 / 200},
        "demo": {**half, "method.warmup_epochs": 4},
    }
    return {name: {**plain.presets.get(name, {}), **values} for name, values in own.items()}


def _calibrated(
    plain: Method[Any],
    name: str,
    summary: str,
    adds: tuple[str, ...],
    settings: type[Settings],
    rule: Callable[[Any, RunConfig], Rule],
    paper_lambda_eps: float | None = None,
) -> Method[Any]:
    """Make a method of a plain one: another rule, and what the paper says of it."""
    return replace(
        plain,
        name=name,
        summary=summary,
        source=SOURCE,
        year=YEAR,
        plain=plain.name,
        adds=adds,
        kind="calibrated",
        hard_eps="smaller" if "CCM" in adds else "same",
        settings=settings,
        rule=rule,
        warm_up="warmup_epochs",
        presets=_presets(plain, adds, paper_lambda_eps),
        official_arguments={**plain.official_arguments, **dict.fromkeys(map(str.lower, adds), True)},
    )


def _with_fawa(method: Method[Any]) -> Method[Any]:
    """Report a method with FAWA weights, which with them is the paper's CFA."""
    return replace(method, reported_with="fawa", reported_title=f"{method.title} + CFA")


_CCM, _CCR, _BOTH = ("CCM",), ("CCR",), ("CCM", "CCR")
OFFERED: tuple[Method[Any], ...] = (
    _with_fawa(
        _calibrated(
            PGD_AT,
            "pgd-at-cfa",
            "PGD-AT with calibrated eps per class (CCM)",
            _CCM,
            CcmSettings,
            calibrated_margins,
            0.5,
        )
    ),
    _calibrated(
        TRADES,
        "trades-ccm",
        "TRADES with calibrated eps per class",
        _CCM,
        TradesCcmSettings,
        _trades_ccm,
        0.3,
    ),
    _calibrated(
        TRADES, "trades-ccr", "TRADES with calibrated beta per class", _CCR, TradesCcrSettings, _trades_ccr
    ),
    _with_fawa(
        _calibrated(
            TRADES,
            "trades-cfa",
            "TRADES with calibrated eps and beta per class (CCM + CCR)",
            _BOTH,
            TradesCfaSettings,
            _trades_cfa,
            0.3,
        )
    ),
    _with_fawa(
        _calibrated(
            FAT,
            "fat-cfa",
            "FAT with calibrated eps per class (CCM)",
            _CCM,
            FatCfaSettings,
            calibrated_margins,
            0.7,
        )
    ),
)
