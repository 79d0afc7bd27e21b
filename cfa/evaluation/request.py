"""What someone asks for on a command line or in a form, made into a plan."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from cfa.config import AttackSettings, Norm, eps_for, parse_fraction
from cfa.errors import ConfigError
from cfa.evaluation.plan import TRANSFER, EvaluationPlan
from cfa.evaluation.presets import PLANS

NORMS: tuple[Norm, ...] = get_args(Norm)


def requested_threat(
    norm: str | None, eps: str | None, own: AttackSettings, dashes: str = ""
) -> tuple[Norm, float]:
    """Choose norm and budget: what was typed, else the run's own; a budget belongs to its norm.

    Args:
        norm: One of the norms, or ``None``.
        eps: A budget as typed, or ``None``.
        own: The run's settings.
        dashes: What stands before ``norm`` and ``eps`` where they were typed, for the error.

    Raises:
        ConfigError: The budget is missing, or none of its norm.
    """
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


def requested_plan(
    preset: str | None,
    attacks: Sequence[str],
    norm: Norm,
    eps: float,
    *,
    transfer_from: str | None,
    options: Mapping[str, Any],
) -> EvaluationPlan:
    """Build a plan by its name, or for a list of attacks.

    Args:
        preset: One of ``PLANS``; ``None`` takes ``attacks``.
        attacks: Names, where there is no preset.
        norm: Threat model.
        eps: Budget.
        transfer_from: Id of the run whose images ``transfer``, which is then added, uses.
        options: Other attributes of the plan, over those of the preset.

    Raises:
        CfaError: A name is unknown, or something in it cannot be carried out.
    """
    transfer = (TRANSFER,) if transfer_from is not None else ()
    if preset is None:
        return EvaluationPlan(
            attacks=(*attacks, *transfer), norm=norm, eps=eps, transfer_from=transfer_from, **options
        )
    named = PLANS[preset].build(eps, norm)
    return replace(named, attacks=(*named.attacks, *transfer), transfer_from=transfer_from, **options)
