"""A verdict as sentences: what is certain, what only went one way, and what it would take to know."""

from collections.abc import Sequence
from math import ceil, floor

from cfa.statistics import SHARED_SEEDS
from cfa.tables.comparison import ONE_NETWORK, in_points
from cfa.tables.verdicts import Basis, Change, ClassChange, PairVerdict

NO_SPREAD = "no interval: what does not differ between seeds does not say how much seeds differ"
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
MOST_NAMED = 8


def first_line(verdict: PairVerdict) -> str:
    """Say in a sentence or two which classes gain and which pay, or that none does for certain."""
    if verdict.one_network is not None:
        one = ONE_NETWORK.format(epoch=verdict.one_network)
        return f"{one[:1].upper()}{one[1:]}."
    after = f"after {_seeds(verdict)}" if verdict.of_methods else f"on {_images(verdict)}"
    certain = verdict.certain
    if not certain:
        line = f"No class is certain {after}."
    else:
        gain = _listed([one for one in certain if one.difference > 0])
        pay = _listed([one for one in certain if one.difference < 0])
        said = [
            f"{names} {does}"
            for names, does in ((gain, _does(verdict, 1)), (pay, _does(verdict, -1)))
            if names
        ]
        line = f"For certain {after}: {'; '.join(said)}."
    return " ".join(filter(None, (line, _one_way(verdict))))


def figures(verdict: PairVerdict) -> str:
    """Say how mean and worst class changed, with 95 % intervals, in points."""
    said = f"Mean {change(verdict.mean)}, worst class {change(verdict.worst)}."
    asked = len(verdict.classes)
    if not verdict.certain and asked > 1 and _moved(verdict.worst):
        said += (
            " The worst class, a question of its own, did move: its interval, not corrected for other "
            "comparisons, leaves out 0. That one of "
            f"{asked} classes did is another question, asked {asked} times at once, and not certain."
        )
    return said


def _moved(one: Change) -> bool:
    return one.interval is not None and (one.interval[0] > 0 or one.interval[1] < 0)


def change(one: Change) -> str:
    """Write a change in points with its interval, or why there is none."""
    said = in_points(one.difference, one.interval or ())
    return said if one.interval else f"{said} ({NO_SPREAD})"


def power(verdict: PairVerdict) -> str:
    """Say what such a comparison finds, and how many seeds the largest change takes; empty of networks."""
    if verdict.detectable is None:
        return ""
    if verdict.detectable >= 1:  # more than an accuracy can change
        line = "No change of a class would have been found in half of such comparisons"
    else:
        size = f"{100 * verdict.detectable:.1f}"
        line = f"A change of {size} points of a class would have been found in half of such comparisons"
    if verdict.certain:
        return f"{line}."
    takes = "more than 1,000" if verdict.takes_seeds is None else f"about {verdict.takes_seeds:,}"
    return f"{line}; the largest seen here takes {takes} new seeds of each to be found in 8 of 10."


def basis(verdict: PairVerdict) -> str:
    """Say which test decides, and about what."""
    if verdict.of_methods:
        about = "a statement about these methods on this data set and network"
    else:
        about = "a statement about these two networks, not about their methods"
    return f"{_TESTS[verdict.basis]}, Holm over the classes at 5 %: {about}"


_TESTS: dict[Basis, str] = {
    "seeds": "Welch's t over seeds",
    "paired seeds": f"Student's t over pairs of shared seeds (from {SHARED_SEEDS} on)",
    "paired images": "exact McNemar tests on the same images",
    "counts": "Fisher's exact tests on counts, since not every image is known",
}


def _does(verdict: PairVerdict, sign: int) -> str:
    if verdict.of_methods:
        return "gain" if sign > 0 else "pay"
    return "better" if sign > 0 else "worse"  # gain and pay are for methods


def _seeds(verdict: PairVerdict) -> str:
    ours, theirs = verdict.seeds
    if verdict.basis == "paired seeds":
        return f"{ours} shared seeds"
    return f"{ours} seeds of each" if ours == theirs else f"{ours} and {theirs} seeds"


def _images(verdict: PairVerdict) -> str:
    ours, theirs = verdict.images
    if verdict.basis == "paired images":
        return f"the same {ours:,} images"
    return f"{ours:,} images each" if ours == theirs else f"{ours:,} and {theirs:,} images"


def _one_way(verdict: PairVerdict) -> str:
    """Name the classes that went one way in every seed without being certain, and how many chance gives."""
    if not verdict.of_methods:
        return ""
    rest = [one for one in verdict.classes if not one.certain and one.direction != "mixed"]
    if not rest:
        return ""
    ours, theirs = verdict.seeds
    every = f"all {_NUMBERS.get(ours, ours)}" if ours == theirs else "every seed"
    parts = [
        f"{way} in {every}: {_listed([one for one in rest if one.direction == way])}"
        for way in ("up", "down")
        if any(one.direction == way for one in rest)
    ]
    said = "; ".join(parts)
    return (
        f"{said[:1].upper()}{said[1:]} (chance alone: {_about(verdict.by_chance)} of {len(verdict.classes)})."
    )


def _about(number: float) -> str:
    """Write an expected count: ``2 to 3`` of 2.5, ``about 2`` of 2.05."""
    nearest = round(number)
    if abs(number - nearest) < 0.1:
        return f"about {nearest}"
    return f"{floor(number)} to {ceil(number)}"


def _listed(classes: Sequence[ClassChange]) -> str:
    """Name classes with their changes, the largest first where there are many."""
    shown = sorted(classes, key=lambda one: -abs(one.difference))[:MOST_NAMED]
    named = [
        f"{one.name} {in_points(one.difference, ())}" for one in sorted(shown, key=lambda one: one.index)
    ]
    more = len(classes) - len(shown)
    return ", ".join(named) + (f" and {more} more" if more else "")
