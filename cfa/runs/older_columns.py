"""Columns of evaluations that were made before these were stored, told from their names; nobody else does so.

They were named ``ATTACK``, of a composite attack's member ``ATTACK/MEMBER``, of what broke an image
``ATTACK/by``; where the attack had a budget of its own, ``@EPS`` stood behind all that:
``autoattack/square@8/255``. Behind the whole of it stood ``/norm`` for the norms of smallest perturbations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfa.notation import format_eps, parse_fraction
from cfa.runs.columns import Column, Columns, Holds
from cfa.runs.rows import Scores

_NORM, _BY = "/norm", "/by"
_OF_NO_ATTACK = ("image", "label")


@dataclass(frozen=True)
class _Read:
    """What a name says: the whole attack's column, and which part of it this is."""

    whole: str
    holds: Holds
    member: str = ""


def older_columns(
    names: Sequence[str], scores: Sequence[Scores], plan: Mapping[str, Any], asked: Sequence[str]
) -> Columns:
    """Describe the columns of a table by their names.

    Args:
        names: Of the table's columns, in order.
        scores: Of the evaluation.
        plan: What was asked for, as it is stored; may be empty.
        asked: The attacks' names as settings are stored under.

    Raises:
        ValueError: A part of an attack stands there without the attack.
    """
    composite = {base.removesuffix(_BY) + at for base, at in map(_parted, names) if base.endswith(_BY)}
    found: list[Column] = []
    last: dict[str, str] = {}  # of a sweep: the column of the budget before, by attack
    for name in names:
        if name in _OF_NO_ATTACK:
            continue
        read = _read(name, composite)
        attack, at = _parted(read.whole)
        norm, eps = _threat(attack, at, scores, plan)
        is_whole = read.whole == name
        found.append(
            Column(
                name=name,
                holds=read.holds,
                attack=attack,
                norm=norm,
                eps=eps,
                asked=next((name for name in asked if _as_in_columns(name) == read.whole), attack),
                whole="" if is_whole else read.whole,
                member=read.member,
                after=last.get(attack, "") if is_whole else "",
            )
        )
        if is_whole and at and plan.get("eps_sweep"):
            last[attack] = name
    return Columns(tuple(found))


def older_settings(settings: Mapping[str, Mapping[str, Any]], scores: Scores) -> Mapping[str, Any]:
    """Find the settings of the attack of some scores, which a plan may name with its budget."""
    named = [found for name, found in settings.items() if scores.attack in (name, name.rpartition("@")[0])]
    exact = [found for found in named if found.get("eps") == scores.eps]
    return next(iter(exact or named), {})


def _read(name: str, composite: set[str]) -> _Read:
    if name.endswith(_NORM):
        return _Read(name.removesuffix(_NORM), "norms")
    base, at = _parted(name)
    before, slash, last = base.rpartition("/")
    whole = before + at
    if not slash or whole not in composite:
        return _Read(name, "classes")
    return _Read(whole, "members") if f"/{last}" == _BY else _Read(whole, "classes", last)


def _threat(attack: str, at: str, scores: Sequence[Scores], plan: Mapping[str, Any]) -> tuple[str, float]:
    """Return norm and budget: those of the scores, which are exact; a name has two digits of n/255."""
    own = [row for row in scores if row.attack == attack]
    named = [row for row in own if at == f"@{format_eps(row.eps)}"] if at else own
    if not at and len(own) > 1:
        named = [row for row in own if row.eps == plan.get("eps")] or own
    if named:
        return named[0].norm, named[0].eps
    attacked = [row for row in scores if row.norm != "none"]
    read = parse_fraction(at.removeprefix("@"))
    eps = read if isinstance(read, float) else max((row.eps for row in attacked), default=0.0)
    return (attacked[0].norm if attacked else "none"), eps


def _as_in_columns(asked: str) -> str:
    """Write an attack as a plan names it as its column is named: ``fgsm@0.03`` is ``fgsm@7.65/255``."""
    base, at = _parted(asked)
    eps = parse_fraction(at.removeprefix("@"))
    return f"{base}@{format_eps(eps)}" if isinstance(eps, float) else asked


def _parted(name: str) -> tuple[str, str]:
    """Split a name into what stands before its budget, and the budget with its ``@`` (or nothing)."""
    base, at, eps = name.partition("@")
    return base, at + eps
