"""Numbers as people read them: percent with one digit, eps as n/255, durations, sizes.

Spaces between a number and its unit do not break.
"""

import math
from datetime import UTC, datetime


def percent(fraction: float | None) -> str:
    """Write a fraction in [0, 1] as percent with one digit; a dash where there is none."""
    if fraction is None or math.isnan(fraction):
        return "–"
    return f"{100 * fraction:.1f}\u00a0%"


def points(difference: float) -> str:
    """Write a difference of fractions in percentage points, with its sign."""
    # Rounded twice, as sentences are, so that a half is one number however it was summed up; no minus zero.
    return f"{round(round(100 * difference, 9), 1) + 0.0:+.1f}".replace("-", "−")


def percent_range(low: float, high: float) -> str:
    """Write an interval of fractions as ``12.3 – 45.6 %``."""
    return f"{100 * low:.1f}\u00a0–\u00a0{100 * high:.1f}\u00a0%"


def eps_255(eps: float) -> str:
    """Write an eps in [0, 1] as n/255, the unit of the field."""
    return f"{round(eps * 255, 2):g}/255"


def attack_title(attack: str) -> str:
    """Write an attack's name as papers do: ``pgd-20`` is PGD-20, ``apgd-ce`` is APGD-CE."""
    attack, unusual, marks = attack.partition(" (")  # as tables tell one attack from another of its name
    base, at, eps = attack.partition("@")
    if base in _TITLES:
        title = _TITLES[base]
    elif base.startswith("autoattack(") and base.endswith(")"):
        title = f"AutoAttack ({', '.join(map(attack_title, base[11:-1].split(',')))})"
    elif "/" in base:
        whole, _, member = base.rpartition("/")
        title = f"{attack_title(whole)}: {attack_title(member)}"
    elif base.startswith("torchattacks:"):
        title = f"torchattacks {base.partition(':')[2]}"
    else:
        first, *rest = base.split("-")
        steps = first in ("pgd", "cw", "kl")
        title = " ".join(["-".join([first.upper(), *rest[:1]]), *rest[1:]]) if steps else base
    return (f"{title}, {eps}" if at else title) + unusual + marks


_TITLES = {
    "fgsm": "FGSM",
    "autoattack": "AutoAttack",
    "autoattack-plus": "AutoAttack plus",
    "autoattack-rand": "AutoAttack rand",
    "apgd-ce": "APGD-CE",
    "apgd-dlr": "APGD-DLR",
    "apgd-t": "APGD-T",
    "fab": "FAB",
    "fab-t": "FAB-T",
    "fab-min": "smallest perturbation (FAB)",
    "square": "Square",
    "worst case": "Worst case",
    # It shares no more than its name with AutoAttack.
    "torchattacks:AutoAttack": "torchattacks AA, 10 steps, not comparable",
}


def norm_title(norm: str) -> str:
    """Write a norm as people do."""
    return {"linf": "L∞", "l0": "pixels"}.get(norm, norm.upper())


def budget(norm: str, eps: float) -> str:
    """Write a budget as its norm is written: 8/255 for linf, 0.5 L2, 5 pixels."""
    if norm == "linf":
        return eps_255(eps)
    return f"{eps:g} pixels" if norm == "l0" else f"{eps:.4g} {norm.upper()}"


def condition(attack: str, norm: str, eps: float) -> str:
    """Say in a few words what was attacked with: ``PGD-20, 8/255`` or ``clean``."""
    if norm == "none":
        return attack.replace("clean", "clean images", 1)
    return f"{attack_title(attack.partition('@')[0])}, {budget(norm, eps)}"


def duration(seconds: float | None) -> str:
    """Write a time span in its two largest units; a dash where it is unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def rate(per_second: float, unit: str) -> str:
    """Write a speed the way round that is at least 1: ``812 images/s``, or ``4.2 s per epoch``."""
    if per_second >= 1 or per_second <= 0:
        return f"{per_second:,.0f}\u00a0{unit}/s"
    return f"{1 / per_second:.1f}\u00a0s per {unit.removesuffix('s')}"


def at_work(phase: str, epoch: int | None, epochs: int | None) -> list[str]:
    """Say what a job is at: ``epoch 3 of 20``, and what it does in it."""
    return [*([f"epoch {epoch} of {epochs}"] if epoch is not None else []), phase]


def file_size(count: float) -> str:
    """Write a number of bytes with a fitting unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def moment(iso: str | None) -> str:
    """Write an ISO time as ``2026-11-25 03:14`` UTC; a dash where there is none."""
    if not iso:
        return "–"
    try:
        return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return iso


def count(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: ``1 run``, ``3 runs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
