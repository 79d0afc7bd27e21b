"""WAT against the numbers of its formulas, computed apart from this project (methods2, example 2)."""

import numpy as np
import pytest
import torch

from cfa.methods import ClassStats, Tally, configure, parts_of
from cfa.methods.catalogue.wat import VALIDATION_KL, CumulatedLosses
from tests.support.worked import adversarial, batch_of, of, same

WEIGHTS = (0.655214, 0.719072, 0.880035, 0.745679)


def test_classes_and_their_mean_weigh_by_cumulated_losses() -> None:
    """Equally many validation images of each class."""
    rule = CumulatedLosses(eps=0.1, eta=0.1)
    state, knobs = rule.initial(3)
    assert knobs["weight"].tolist() == knobs["mean_weight"].tolist() == [1, 1, 1]
    total = torch.full((3,), 100)
    before = np.zeros(3)
    for cumulated, expected in (
        ((0.7, 1.2, 2.1), (0.703082, 0.739130, 0.808737, 0.749051)),
        ((1.36, 2.29, 4.31), WEIGHTS),
    ):
        sums = {"loss": torch.tensor(100 * (np.array(cumulated) - before))}
        before = np.array(cumulated)
        seen = {VALIDATION_KL: Tally(total=total, correct=total, sums=sums)}
        state, knobs = rule(state, ClassStats(epoch=1, class_counts=total, seen=seen))
        found = [*knobs["weight"].tolist(), *set(knobs["mean_weight"].tolist())]
        assert found == pytest.approx(expected, abs=1e-5)
        assert knobs["eps"].tolist() == [0.1, 0.1, 0.1]


def test_the_losses_of_a_larger_class_are_more() -> None:
    """C/N times the sum: 200 images at 1 and 100 at 4 are 2/300 of 200 and 400, and 600/300 for the mean."""
    seen = {
        VALIDATION_KL: Tally(
            total=torch.tensor([200, 100]), correct=torch.tensor([0, 0]), sums={"loss": of([200, 400])}
        )
    }
    rule = CumulatedLosses(eps=0.1, eta=0.1)
    stats = ClassStats(epoch=1, class_counts=torch.tensor([20, 10]), seen=seen)
    state, _ = rule(rule.initial(2)[0], stats)
    assert state["losses"].tolist() == pytest.approx([4 / 3, 8 / 3, 2])


@pytest.mark.parametrize(("divided", "expected"), [(False, 3.494625), (True, 3.494625 / 7)])
def test_a_whole_trades_loss_is_added_for_the_mean(
    monkeypatch: pytest.MonkeyPatch, divided: bool, expected: float
) -> None:
    """CE .5 1 .2 2, KL .1 .3 .05 .4, classes 0 2 1 2."""
    terms = (of([0.5, 1, 0.2, 2]), of([0.1, 0.3, 0.05, 0.4]), torch.zeros(4, 3))
    monkeypatch.setattr("cfa.methods.catalogue.wat.clean_and_robust", lambda *_: terms)
    config = configure("wat", "tiny", preset="paper", overrides={"method.divided": divided})
    batch = batch_of(
        [[0, 0, 0]] * 4, [0, 2, 1, 2], weight=of(list(WEIGHTS[:3])), mean_weight=of([WEIGHTS[3]] * 3)
    )
    loss = parts_of(config).objective(same, batch, adversarial([[0, 0, 0]] * 4)).per_sample.mean()
    assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_validation_losses_are_those_of_the_sum_under_an_attack_in_eval_mode() -> None:
    """CE + 6 KL of the first image of the table of formulas: .169846 + 6 x .619910, whatever the division."""
    (asked,) = parts_of(configure("wat", "tiny", preset="demo")).passes
    assert (asked.over, asked.attack.pgd.loss, asked.attack.pgd.bn_mode) == ("validation", "kl", "eval")
    loss = asked.objective(same, batch_of([[2, 0, -1]], [0]), adversarial([[0.5, 1, 0]]))
    assert float(loss.per_sample) == pytest.approx(0.169846 + 6 * 0.619910, abs=1e-5)
