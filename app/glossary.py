"""What terms of the field mean: the `?` beside a title explains those that stand there."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A term, and what it means.

    Attributes:
        name: As people write it.
        pattern: What of a text is this term, a regular expression.
        means: One sentence.
    """

    name: str
    pattern: str
    means: str


TERMS = (
    Term("Clean", r"\bclean\b", "accuracy on the images as they are, without an attack."),
    Term("Robust accuracy", r"\brobust\b", "the share of images that stay right under the attack."),
    Term(
        "Worst class",
        r"\bworst class|\bworst\b",
        "the class with the lowest accuracy; a fair classifier is one whose worst class is not far below "
        "its mean.",
    ),
    Term(
        "Mean of classes",
        r"\bmean\b(?! absolute)",
        "the average over classes, in which every class counts the same.",
    ),
    Term(
        "eps",
        r"\beps\b",
        "how far an attack may move every pixel (L∞), written as n/255, or the whole image (L2).",
    ),
    Term("beta", r"\bbeta\b", "how much TRADES' robust term weighs against its clean one."),
    Term("PGD-n", r"\bPGD-\d+", "projected gradient descent with n steps and one random start."),
    Term(
        "AutoAttack",
        r"\bAutoAttack\b",
        "four attacks one after the other (two of APGD, FAB, Square), the field's standard; an image counts "
        "as right if all fail.",
    ),
    Term("PGD-AT", r"\bPGD-AT\b", "adversarial training: cross-entropy on images attacked with PGD."),
    Term("TRADES", r"\bTRADES\b", "clean cross-entropy plus beta times how far an attack moves predictions."),
    Term("FAT", r"\bFAT\b", "adversarial training on images that the attack has only just broken."),
    Term(
        "CFA",
        r"\bCFA\b",
        "class-wise calibrated fair adversarial training (CVPR 2023): an eps (CCM) and a beta (CCR) for "
        "every class, and FAWA weights.",
    ),
    Term("CCM", r"\bCCM\b", "class-wise calibrated margin: every class has its own eps in training."),
    Term("CCR", r"\bCCR\b", "class-wise calibrated regularisation: every class has its own beta in TRADES."),
    Term("Online weights", r"\bonline\b", "the weights as training left them, not averaged."),
    Term("EMA", r"\bEMA\b", "an average of the weights over epochs, in which older ones fade."),
    Term(
        "FAWA",
        r"\bFAWA\b",
        "such an average that takes in only epochs whose worst class holds up on validation images.",
    ),
    Term(
        "FAWA gate",
        r"\bgate\b",
        "lets an epoch into the FAWA average where its worst class on validation reaches a threshold.",
    ),
    Term(
        "Best checkpoint",
        r"\bbest\b(?= checkpoint)|\bcheckpoint\b",
        "the epoch with the highest mean plus worst class on validation images, under attack.",
    ),
    Term(
        "Seed",
        r"\bseeds?\b",
        "what all chance in a training follows from; several seeds show how much is chance.",
    ),
    Term("Certain", r"\bcertain\b", "significant at 5 % over all classes at once (Holm's procedure)."),
    Term(
        "Holm",
        r"\bHolm\b",
        "a procedure that keeps the chance of any false finding among all classes below 5 %.",
    ),
    Term("Welch's t", r"\bWelch\b", "a test of two means that may spread differently."),
    Term(
        "Wilson interval",
        r"\bWilson\b",
        "where the accuracy may lie, given so many test images: 95 % of such intervals hold it.",
    ),
    Term(
        "Robust overfitting",
        r"\boverfitting\b",
        "robust accuracy on training images goes on rising while it falls on others.",
    ),
    Term(
        "Area under the curve",
        r"\barea under\b",
        "the mean accuracy over all budgets, from clean images to the largest eps.",
    ),
    Term("Confusion", r"\bconfusion\b", "how often images of one class are taken for another."),
    Term(
        "Rank",
        r"\brank\b",
        "the place of a class among all by robust accuracy; 1 is the most robust, and equal ones share it.",
    ),
    Term("Probe", r"\bprobe\b", "accuracy on test images in every epoch, drawn and never used for a choice."),
)


def explained(*said: str) -> str | None:
    """Explain the terms of the field that stand in some texts, in the order of `TERMS`; none for none."""
    text = " ".join(said)
    found = [term for term in TERMS if re.search(term.pattern, text, re.IGNORECASE)]
    return "\n\n".join(f"**{term.name}**: {term.means}" for term in found) or None
