"""What a reader must know about a number: sentences that stand beside it, with what they mean and what to do.

Randomised and dynamic models, probabilities and Square beating the others are pyautoattack's checks, which it
only prints.
"""

import logging
import re
from collections.abc import Iterator, Sequence

import numpy as np

from cfa.attacks import CLEAN, Member, Noise
from cfa.evaluation.outcomes import Outcomes
from cfa.evaluation.probe import Closing, Gradients, Probe
from cfa.evaluation.trials import Transfer, Trial

SAME_BESIDE_OTHERS = 1e-2  # of an image's spread of logits: kernels for other sizes of batch round otherwise
MEMORY = 0.01  # of the images: a few lie so close to another class that rounding tells
FEW = 0.05  # of the images: no finding for fewer
# Guidance of the cross-entropy: networks trained by any of the methods have 0.83 (an epoch) to 1.
ASTRAY = 0.4
CRUSHED = 0.05  # spread of logits: every class is then as likely as any other to a twentieth
UNTRUE = 0.2  # of the images: kinks of sound networks are met at fewer
ENOUGH = 8  # images, of which more than half do not lie next to each other's largest logit by chance
UNSURE = 1.5  # times the confidence: an accuracy beyond is not that of a network which has hardly learnt
SQUARE_MARGIN = 0.002  # pyautoattack's: Square should not find more than this after the gradient attacks
_COUNT = re.compile(r"there are (\d+) points with zero gradient")


class WarningListener(logging.Logger):
    """A logger without parents or handlers that remembers what pyautoattack warns of."""

    def __init__(self) -> None:
        """Start with an empty memory."""
        super().__init__("pyautoattack in cfa")
        self.messages: list[str] = []

    def handle(self, record: logging.LogRecord) -> None:
        """Remember a message; nothing is printed."""
        self.messages.append(record.getMessage())

    def zero_gradients(self) -> int:
        """Sum the images whose gradient was zero at the start of an attack."""
        counts = [_COUNT.search(message) for message in self.messages]
        return sum(int(match[1]) for match in counts if match)


def probe_findings(seen: Probe, no_gradient: str, *, randomised_ok: bool) -> tuple[str, ...]:
    """Say what the probe saw that a reader of any number of this model must know.

    Args:
        seen: What the probe saw.
        no_gradient: Why the model has no gradient; ``""`` where it has.
        randomised_ok: Whether all attacks are made for randomised models.
    """
    found = [*_of_answers(seen, randomised_ok), *_of_logits(seen)]
    if no_gradient:
        found.append(
            f"no gradient: the model has none ({no_gradient}), so no gradient attack can be run on it; what "
            "holds under black-box attacks is an upper bound"
        )
    if seen.gradients is not None:
        found += _of_gradients(seen.gradients)
    return tuple(found)


def _of_answers(seen: Probe, randomised_ok: bool) -> Iterator[str]:
    """Say what else than the image the answers depend on."""
    if seen.changed:
        yield (
            f"model with a memory: a forward pass changes {', '.join(seen.changed[:3])}, so every number "
            "depends on what was passed before; keep that as it is in eval mode"
        )
    elif seen.randomised and not randomised_ok:
        yield (
            "randomised model: the same images get other logits each time (by chance, or by a state that it "
            "keeps), which misleads attacks; use autoattack-rand, or switch that off"
        )
    if seen.beside_others > SAME_BESIDE_OTHERS:
        yield _BESIDE_OTHERS.format(seen.beside_others)
    if seen.dynamic:
        yield (
            "dynamic model: its forward pass computes gradients, so AutoAttack may be too weak; "
            "an attack made for it is needed"
        )


def closing_findings(seen: Closing, found: Sequence[str]) -> tuple[str, ...]:
    """Say what was seen after the attacks that the probe before them did not see.

    Args:
        seen: What was seen.
        found: Findings of the probe: of what is randomised nothing more is said.
    """
    if any(text.startswith(("randomised", "model with a memory", "answers depend")) for text in found):
        return ()
    if seen.otherwise > MEMORY * seen.images:
        return (
            f"model with a memory: after the attacks {seen.otherwise} of {seen.images} images are predicted "
            "otherwise than before, so every number depends on what was passed before; keep what changes as "
            "it is in eval mode",
        )
    if seen.beside_others > SAME_BESIDE_OTHERS:
        return (_BESIDE_OTHERS.format(seen.beside_others),)
    return ()


_BESIDE_OTHERS = (
    "answers depend on the other images of the batch: an image's logits move by up to {:.0%} of their "
    "spread, so every number is one of this batch size and order; let BatchNorm use its running statistics"
)


def _of_logits(seen: Probe) -> Iterator[str]:
    """Say whether the answers are probabilities, or such that the cross-entropy tells attacks too little."""
    if seen.probabilities:
        yield (
            "softmax outputs: the model answers with probabilities, whose gradients vanish; "
            "take the softmax off, attacks need logits"
        )
    elif seen.gradients is not None and seen.gradients.no_cross_entropy > FEW * seen.gradients.images:
        yield (
            f"vanishing gradients: at {seen.gradients.no_cross_entropy} of {seen.gradients.images} images "
            f"looked at the cross-entropy has none: logits reach {seen.largest:.2g}, where a soft-max is one "
            f"class only; {_CROSS_ENTROPY}; scale the logits down, or run cw-30, apgd-t, fab-t or square"
        )
    else:
        yield from _of_scale(seen, 1.0 if seen.gradients is None else seen.gradients.guidance)


def _of_scale(seen: Probe, guidance: float) -> Iterator[str]:
    """Say whether logits are so close, or so bent, that losses hardly lead where the margin ends."""
    unsure = seen.accuracy > UNSURE * seen.confidence
    if unsure and seen.spread < CRUSHED:
        yield (
            f"squeezed logits: they are {seen.spread:.2g} apart within an image (median), so the "
            f"cross-entropy hardly tells wrong classes apart; {_CROSS_ENTROPY}; take off what squeezes or "
            "scales them, or run cw-30, fab-t or square"
        )
    elif seen.images >= ENOUGH and seen.at_bound > seen.images / 2:
        yield (
            f"bounded logits: for {seen.at_bound} of {seen.images} images looked at the largest lies next to "
            "the same bound, as behind a tanh, a sigmoid or clipping, where gradients fade; take that off, "
            f"since {_GRADIENTS}"
        )
    elif guidance < ASTRAY:
        yield (
            f"misleading cross-entropy: a step along its gradient gains {max(guidance, 0):.0%} of what one "
            f"along the margin's gains (median); {_CROSS_ENTROPY}; run cw-30, fab-t or square"
        )


def _of_gradients(gradients: Gradients) -> Iterator[str]:
    """Say where gradients are missing or are not those of the answers."""
    of_all, enough = f"of {gradients.images} images looked at", FEW * gradients.images
    if gradients.infinite > enough:
        yield (
            f"infinite gradients: at {gradients.infinite} {of_all} they are NaN or overflow, and attacks "
            f"give such images back; {_GRADIENTS}"
        )
    if gradients.no_margin > enough:
        yield (
            f"zero gradients: at {gradients.no_margin} {of_all} the margin does not change with the image "
            f"(rounding, clipping or another step inside); {_GRADIENTS}"
        )
    untrue, looked_at = gradients.untrue
    if gradients.other_answers > enough:
        yield (
            f"other answers with gradients: at {gradients.other_answers} {of_all} the logits are others as "
            f"soon as a gradient is asked for, so attacks follow another function; {_GRADIENTS}"
        )
    elif untrue > UNTRUE * looked_at:
        yield (
            f"untrue gradients: at {untrue} of {looked_at} images looked at a step changes the logits by far "
            f"more or less than their gradient says (detach or a straight-through step inside); {_GRADIENTS}"
        )


_GRADIENTS = (
    "what gradient attacks leave is no evidence of robustness; run square, or transfer from another run"
)
_CROSS_ENTROPY = "what fgsm, pgd-N, apgd-ce and others that raise it leave is no evidence of robustness"


def more_right_finding(trial: Trial, outcomes: Outcomes) -> str | None:
    """Say whether more images are right under an attack than without."""
    clean, attacked = (outcomes.predictions[name] == outcomes.label for name in (CLEAN, trial.column.name))
    gained, lost = int((attacked & ~clean).sum()), int((clean & ~attacked).sum())
    # Noise and the images of another model may help some by chance: up to two standard deviations.
    by_chance = any(isinstance(step.attack, Noise | Transfer) for step in trial.steps)
    if gained - lost <= (2 * np.sqrt(gained + lost) if by_chance else 0):
        return None
    return (
        f"more images are right under {trial.column.name} than without an attack (by {gained - lost}): "
        f"it lowers the loss that it should raise; {_GRADIENTS}"
    )


def came_as_finding(kind: str) -> str:
    """Say that weights came in another type than they are evaluated in."""
    return f"weights in {kind}: evaluated in float32, so some predictions may differ from those in {kind}"


def own_type_finding(kind: str) -> str:
    """Say that a model casts what it is given."""
    return f"weights in {kind}: the model computes in {kind} by itself, and only its answers are float32"


def zero_gradient_finding(column: str, starts: int) -> str:
    """Say how often an attack began with a gradient of zero (once per image, restart and target)."""
    return (
        f"zero gradients: {column} met a gradient that is exactly zero at {starts} of its starts; "
        "gradient attacks say little about those images"
    )


def square_finding(trial: Trial, outcomes: Outcomes) -> str | None:
    """Say whether Square broke images that the gradient attacks before it had left."""
    names = [step.attack.name for step in trial.steps if isinstance(step.attack, Member)]
    if trial.by is None or "square" not in names[1:]:
        return None
    count = int(np.sum(outcomes.broken_by[trial.by.name] == "square"))
    share = count / len(outcomes.label)
    if share <= SQUARE_MARGIN:
        return None
    return (
        f"Square beat the gradient attacks: it broke {count} more images ({share:.1%}); "
        "gradients may be masked, try Square with more queries or an attack made for the model"
    )


def not_allowed_finding(column: str, images: int) -> str:
    """Say that an attack left the ball."""
    return f"{column} returned {images} images outside of the eps-ball or [0, 1]; they do not count as broken"
