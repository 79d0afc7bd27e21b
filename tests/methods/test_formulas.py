"""One row for each method: its loss on logits that are given, worked out by hand.

Clean logits (2, 0, -1) and (0.5, 1, 0), adversarial ones (0.5, 1, 0) and (0.2, 1.5, 0), classes 0 and 1, of
another network, a teacher or one that is trained beside it, (3, 0, -2) and (0, 2, -1); the numbers are those
of the formulas, computed apart from this project.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from cfa.methods import METHODS, Attacked, Batch, configure, parts_of
from tests.support.companions import companions_for

CLEAN = torch.tensor([[2, 0, -1], [0.5, 1, 0]], dtype=torch.float64)
ADVERSARIAL = torch.tensor([[0.5, 1, 0], [0.2, 1.5, 0]], dtype=torch.float64)
TAUGHT = torch.tensor([[3, 0, -2], [0, 2, -1]], dtype=torch.float64)
CLASSES = torch.tensor([0, 1])


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of a method's loss, with the demo's constants and the knobs of the first epoch.

    Attributes:
        loss: Of the logits above.
        unmoved: The same where the attack moved nothing: the adversarial logits are the clean ones.
        passes: Forward passes of the loss.
        targets: Forward passes of the attack before its steps: one of the clean images, for a KL to them.
    """

    loss: float
    unmoved: float
    passes: int
    targets: int = 0


# TRADES: (CE + 6 KL) / 7; 2.468442 / 7. PGD-AT: the mean cross-entropy of the adversarial logits.
# Of the clean logits the mean cross-entropy is 0.425058.
ADVERSARIAL_CE = Row(loss=0.791419, unmoved=0.425058, passes=1)
CE_AND_KL = Row(loss=0.352635, unmoved=0.425058 / 7, passes=2, targets=1)
# Of a teacher that answers (3, 0, -2) and (0, 2, -1): 900 KL / 3 at temperature 30; 5/6 and 1/6 of KL / 3.
AS_A_TEACHER = Row(loss=0.347314, unmoved=0.116759, passes=1)
SOFT_LABELS = Row(loss=0.150478, unmoved=0.051682, passes=2)
ROWS = {
    **dict.fromkeys(("pgd-at", "pgd-at-cfa", "pgd-at-awp"), ADVERSARIAL_CE),
    **dict.fromkeys(("fat", "fat-cfa"), ADVERSARIAL_CE),
    **dict.fromkeys(("trades", "trades-ccm", "trades-ccr", "trades-cfa", "trades-awp"), CE_AND_KL),
    # As many images of each class: ln n moves all logits alike. With a long tail in test_at_bsl.py
    **dict.fromkeys(("at-bsl", "at-bsl-cfa", "robust-lt", "pgd-at-robust-lt"), ADVERSARIAL_CE),
    # Weights of 1 and no edges at first; CE + 4 KL. What feedback does is in test_cgr.py
    "cgr": ADVERSARIAL_CE,
    "trades-cgr": Row(loss=1.787314, unmoved=0.425058, passes=2, targets=1),
    # CE of 10 (cosine - 0.1 of the true class) + 6 KL; classes of other sizes in test_robal.py
    **dict.fromkeys(("robal", "robal-robust-lt"), Row(loss=5.044649, unmoved=0.009136, passes=2)),
    # No image of a tail class; with one in test_reat.py
    **dict.fromkeys(("reat", "reat-robust-lt"), ADVERSARIAL_CE),
    # In its first stage; the second is in test_taet.py
    **dict.fromkeys(("taet", "taet-robust-lt"), ADVERSARIAL_CE),
    **dict.fromkeys(("ard", "fair-ard"), AS_A_TEACHER),
    **dict.fromkeys(("rslad", "fair-rslad", "absld"), SOFT_LABELS),
    **dict.fromkeys(("cfol", "pgd-at-dafa"), ADVERSARIAL_CE),
    "dafa": CE_AND_KL,
    # 1.180270 and .402569 of two classes, mean .791419, and a tenth of half the square of their difference
    "fat-var": Row(loss=0.821660, unmoved=0.438084, passes=1),
    # CE + 1.5 KL; with weights that differ between classes in test_frl.py
    "frl": Row(loss=0.935904, unmoved=0.425058, passes=2, targets=1),
    # CE .425058, 2.5 times the mean KL, and half the cross-entropy of (-1, 2, 1) and (-.1, 2, 0) as 0 and 1
    "hat": Row(loss=2.171061, unmoved=0.637587, passes=3, targets=1),
    # CE .425058 + 20 times .374444 + 4 times 1.112793
    **dict.fromkeys(("ikl", "ikl-awp"), Row(loss=12.365119, unmoved=3.513974, passes=2, targets=1)),
    # 2.202415, and 6 times the mean KL of .619910 and .061218
    "lbgat": Row(loss=4.245800, unmoved=0.820749, passes=2, targets=1),
    # (CE .791419 + 6 x .340564 + 2 x .156904) / 7; the inner example is the outer one; unmoved 2 x .326383
    "bat": Row(loss=0.449802, unmoved=0.153975, passes=3, targets=1),
    # .7 CE + 6 KL, and .3 CE(x') of the first image alone, which is taken for another class.
    "csr": Row(loss=2.517966, unmoved=0.7 * 0.425058, passes=2, targets=1),
    "csr-scratch": Row(loss=2.517966 / 7, unmoved=0.1 * 0.425058, passes=2, targets=1),
    # Only its attack is another.
    "fair-tat": ADVERSARIAL_CE,
    # One image of each of two classes: the worse one weighs 2 p with -ln(4 p (1 - p)) / 2 = .5, p = .897530,
    # the other 2 (1 - p). That is class 0 (margins .199285, -.486385), unmoved class 1 (-.729600, -.199285).
    **dict.fromkeys(("faal", "faal-awp"), Row(loss=1.100579, unmoved=0.627967, passes=1)),
    "faal-trades": Row(loss=3.598117, unmoved=0.627967, passes=2, targets=1),
    # BCE 1.886260 .603602, 5 KL (1 - p) with KL .619910 .061218, 1 - p .156205 .493520
    "mart": Row(loss=1.562545, unmoved=0.669063, passes=2),
    # weights of 1 for each class and for their mean: twice TRADES
    "wat": Row(loss=2 * 0.352635, unmoved=2 * 0.425058 / 7, passes=2, targets=1),
}


class Answers(nn.Module):
    """A network that gives the same logits whatever it sees."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits


def test_every_method_has_a_row() -> None:
    assert set(ROWS) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_of_given_logits(method: str) -> None:
    parts = parts_of(configure(method, "tiny", model="small-cnn", preset="demo"))
    _, knobs = parts.rule.initial(3)
    batch = Batch(
        x=CLEAN,
        y=CLASSES,
        index=torch.arange(2),
        knobs=knobs.at(CLASSES),
        knobs_of_class=knobs,
        class_counts=torch.full((3,), 10),
        whole_y=CLASSES,
        teacher=lambda x: TAUGHT,
        companions=companions_for(parts, lambda: Answers(TAUGHT)),
    )
    for x_adv, expected in ((ADVERSARIAL, ROWS[method].loss), (CLEAN, ROWS[method].unmoved)):
        also = {"inner": x_adv}  # of an attack with several results
        loss = parts.objective(lambda logits: logits, batch, Attacked(x_adv=x_adv, also=also))
        assert float(loss.per_sample.mean()) == pytest.approx(expected, abs=1e-5)
