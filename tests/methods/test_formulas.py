"""One row for each method: its loss on logits that are given, worked out by hand.

Clean logits (2, 0, -1) and (0.5, 1, 0), adversarial ones (0.5, 1, 0) and (0.2, 1.5, 0), classes 0 and 1; the
numbers are those of the formulas, computed apart from this project.
"""

import pytest
import torch

from cfa.methods import METHODS, Attacked, Batch, configure, parts_of

CLEAN = torch.tensor([[2, 0, -1], [0.5, 1, 0]], dtype=torch.float64)
ADVERSARIAL = torch.tensor([[0.5, 1, 0], [0.2, 1.5, 0]], dtype=torch.float64)
CLASSES = torch.tensor([0, 1])

# With the demo's constants (beta 6, FRL's 1.5) and the uniform knobs of the first epoch.
# TRADES: (CE + 6 KL) / 7; 2.468442 / 7. PGD-AT: the mean cross-entropy of the adversarial logits.
CE_ADV = 0.791419
LOSSES = {
    **dict.fromkeys(("pgd-at", "pgd-at-cfa", "fat", "fat-cfa"), CE_ADV),
    **dict.fromkeys(("trades", "trades-ccm", "trades-ccr", "trades-cfa"), 0.352635),
    "frl": 0.935904,  # CE + 1.5 KL; with weights that differ between classes in test_frl.py
}


def test_every_method_has_a_row() -> None:
    assert set(LOSSES) == set(METHODS)


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
    )
    loss = parts.objective(lambda logits: logits, batch, Attacked(x_adv=ADVERSARIAL))
    assert float(loss.per_sample.mean()) == pytest.approx(LOSSES[method], abs=1e-5)
