"""What someone asks for on a command line or in a form, made into a plan."""

import re
from dataclasses import dataclass, replace
from typing import Any, get_args

from cfa.config import AttackSettings
from cfa.errors import ConfigError
from cfa.evaluation.named_plans import PLANS
from cfa.evaluation.plan import EvaluationPlan
from cfa.notation import TRANSFER, Norm, eps_for, parse_fraction
from cfa.registry import unknown
from cfa.statistics import Targets

NORMS: tuple[Norm, ...] = get_args(Norm)


def requested_threat(
    norm: str | None, eps: str | float | None, own: AttackSettings, dashes: str = ""
) -> tuple[Norm, float]:
    """Choose norm and budget: what was typed, else the run's own; a budget belongs to its norm.

    Args:
        norm: One of the norms, or ``None``.
        eps: A budget as typed, a number, or ``None``.
        own: The run's settings.
        dashes: What stands before ``norm`` and ``eps`` where they were typed, for the error.

    Raises:
        UnknownName: There is no such norm.
        ConfigError: The budget is missing, or none of its norm.
    """
    if norm is not None and norm not in NORMS:
        raise unknown(f"{dashes}norm", norm, list(NORMS))
    chosen: Norm = next((known for known in NORMS if known == norm), own.norm)
    if eps is None:
        if chosen != own.norm:
            example = {"linf": "8/255", "l0": "5 (pixels)"}.get(chosen, "0.5")
            raise ConfigError(
                f"{dashes}norm {chosen} needs a budget of its own, for example {dashes}eps {example}"
            )
        return chosen, own.eps
    return chosen, eps_for(chosen, eps)


def requested_sweep(text: str, norm: Norm, dashes: str = "") -> tuple[float, ...]:
    """Read budgets separated by commas or spaces: ``2/255, 4/255``.

    Args:
        text: As typed.
        norm: Whose budgets they are.
        dashes: What stands before ``sweep`` where it was typed, for the error.

    Raises:
        ConfigError: A part is not a number, or none of this norm.
    """
    parts = re.sub(r"\s*/\s*", "/", text).replace(",", " ").split()
    if not parts or not all(isinstance(parse_fraction(part), float) for part in parts):
        raise ConfigError(f"{dashes}sweep {text!r} is not a list of budgets; write 2/255,4/255,8/255")
    return tuple(eps_for(norm, part) for part in parts)


def requested_targets(text: str, dashes: str = "") -> Targets:
    """Read what has to be certain: ``0.03`` (of the worst class), ``worst=0.03,mean=0.03``, ``which``.

    Args:
        text: As typed.
        dashes: What stands before ``until`` where it was typed, for the error.

    Raises:
        ConfigError: It names no target, one that does not exist or stands there twice, or no half-width.
    """
    found: dict[str, Any] = {}
    for part in re.sub(r"\s*=\s*", "=", text).replace(",", " ").split():
        name, equals, half = part.partition("=")
        if not equals and parse_fraction(part) != part:
            name, half = "worst", part
        width = parse_fraction(half)
        if name in found or name not in ("worst", "mean", "which") or (name == "which") == (half != ""):
            raise ConfigError(f"{dashes}until {text!r}: {part!r} is no target; {_EXAMPLES}")
        if name != "which" and not isinstance(width, float):
            raise ConfigError(f"{dashes}until {text!r}: {half!r} is no half-width; {_EXAMPLES}")
        found[name] = width if half else True
    try:
        return Targets(**found)
    except ValueError as error:
        raise ConfigError(f"{dashes}until {text!r}: {error}") from error


_EXAMPLES = "write 0.03, worst=0.03,mean=0.03 or which"


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What somebody asks for on a page or in a command, before it is said of which run.

    Attributes:
        weights: Kinds, ``auto`` for each run's own.
        checkpoint: ``best`` or ``last``.
        preset: A plan's name; ``None`` takes ``attacks``.
        attacks: Names, where there is no preset.
        norm: ``None`` takes each run's own.
        eps: As typed, or a number; ``None`` takes each run's own.
        sweep: Budgets as typed, or ``None``.
        limit: ``None`` takes the preset's, or all images.
        mode: How AutoAttack runs.
        keep_megabytes: Room for adversarial images.
        transfer_from: Id of the run whose images ``transfer`` uses.
        seed: Of random starts.
        batch_size: Images per batch.
        until: What has to be certain before it stops, as typed; ``None`` attacks all images.
    """

    weights: tuple[str, ...] = ("auto",)
    checkpoint: str = "best"
    preset: str | None = None
    attacks: tuple[str, ...] = ()
    norm: str | None = None
    eps: str | float | None = None
    sweep: str | None = None
    limit: int | None = None
    mode: str = "reference"
    keep_megabytes: float = 20.0
    transfer_from: str | None = None
    seed: int = 0
    batch_size: int = 500
    until: str | None = None

    def targets(self, dashes: str = "") -> Targets | None:
        """Read what has to be certain before it stops; ``None`` where all images are attacked.

        Args:
            dashes: What stands before an option where it was typed, for the error.

        Raises:
            ConfigError: It cannot be read.
        """
        return None if self.until is None else requested_targets(self.until, dashes)

    def plan(self, own: AttackSettings, dashes: str = "") -> EvaluationPlan:
        """Build the plan for a run with these attack settings.

        Args:
            own: The run's settings.
            dashes: What stands before an option where it was typed, for the error.

        Raises:
            CfaError: Something in it cannot be carried out.
        """
        if self.preset is None and not self.attacks:
            raise ConfigError("no attack is chosen; choose at least one, such as pgd-20")
        norm, eps = requested_threat(self.norm, self.eps, own, dashes)
        options: dict[str, Any] = {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "mode": self.mode,
            "keep_megabytes": self.keep_megabytes,
        }
        options |= {"limit": self.limit} if self.limit is not None else {}
        if self.sweep is not None:
            options["eps_sweep"] = requested_sweep(self.sweep, norm, dashes)
        transfer = (TRANSFER,) if self.transfer_from is not None else ()
        if self.preset is None:
            return EvaluationPlan(
                attacks=(*self.attacks, *transfer),
                norm=norm,
                eps=eps,
                transfer_from=self.transfer_from,
                **options,
            )
        named = PLANS[self.preset].build(eps, norm)
        return replace(
            named, attacks=(*named.attacks, *transfer), transfer_from=self.transfer_from, **options
        )
