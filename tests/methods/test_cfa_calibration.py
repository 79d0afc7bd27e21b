"""CCM and CCR, eq. 6 and 7 of the paper, on unbalanced data with true counts."""

import numpy as np
import pytest
import torch

from cfa.methods import TRAINING, ClassStats, Tally
from cfa.methods.catalogue.cfa_calibration import Calibration

EPS, BETA = 8 / 255, 6.0
CORRECT, TOTAL = [450, 3, 0, 10], [500, 10, 5, 10]
T = np.array([0.9, 0.3, 0.0, 1.0])


def stats(epoch: int) -> ClassStats:
    total = torch.tensor(TOTAL)
    trained = Tally(total=total, correct=torch.tensor(CORRECT))
    return ClassStats(epoch=epoch, class_counts=total, seen={TRAINING: trained})


def test_t_is_divided_by_the_classes_true_counts() -> None:
    np.testing.assert_allclose(stats(1).seen[TRAINING].accuracy.numpy(), T, rtol=1e-15)
    official = 4 * np.array(CORRECT) / sum(TOTAL)  # what the official code would say: C * correct / N
    assert official.max() > 3


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.5, 0.7])
def test_ccm_scales_eps_by_lambda_plus_t(lam: float) -> None:
    rule = Calibration(eps=EPS, beta=None, lambda_eps=lam, warmup_epochs=1)
    state, knobs = rule({}, stats(1))
    assert dict(state) == {}
    np.testing.assert_allclose(knobs["eps"].numpy(), (lam + T) * EPS, rtol=1e-14)
    assert knobs["eps"].dtype == torch.float64
    assert set(knobs) == {"eps"}  # no clean term, nothing to weigh


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_ccr_scales_beta_and_weighs_by_it(lam: float) -> None:
    """The official form: w = (lambda + t) beta / (1 + (lambda + t) beta), loss (1 - w) CE + w KL."""
    rule = Calibration(eps=EPS, beta=BETA, lambda_beta=lam, warmup_epochs=1)
    _, knobs = rule({}, stats(1))
    w = (lam + T) * BETA / (1 + (lam + T) * BETA)
    np.testing.assert_allclose(knobs["robust_weight"].numpy(), w, rtol=1e-14)
    np.testing.assert_allclose(knobs["clean_weight"].numpy(), 1 - w, rtol=1e-12)
    assert knobs["eps"].tolist() == [EPS] * 4  # CCR alone leaves eps


def test_both_at_once_are_independent() -> None:
    _, both = Calibration(eps=EPS, beta=BETA, lambda_eps=0.3, lambda_beta=0.5, warmup_epochs=1)({}, stats(1))
    _, ccm = Calibration(eps=EPS, beta=BETA, lambda_eps=0.3, warmup_epochs=1)({}, stats(1))
    _, ccr = Calibration(eps=EPS, beta=BETA, lambda_beta=0.5, warmup_epochs=1)({}, stats(1))
    assert torch.equal(both["eps"], ccm["eps"])
    assert torch.equal(both["robust_weight"], ccr["robust_weight"])
    assert torch.equal(ccm["robust_weight"], torch.full((4,), 6 / 7, dtype=torch.float64))


@pytest.mark.parametrize("beta", [None, BETA])
def test_without_lambdas_everything_is_uniform_for_ever(beta: float | None) -> None:
    rule = Calibration(eps=EPS, beta=beta, warmup_epochs=1)
    _, first = rule.initial(4)
    _, later = rule({}, stats(7))
    for knobs in (first, later):
        assert knobs["eps"].tolist() == [EPS] * 4
        weights = {} if beta is None else {"clean_weight": 1 / 7, "robust_weight": 6 / 7}
        assert set(knobs) == {"eps", *weights}
        for name, weight in weights.items():
            np.testing.assert_allclose(knobs[name].numpy(), weight)


@pytest.mark.parametrize("warmup", [1, 2, 10])
def test_epochs_1_to_warmup_are_uniform_and_the_next_is_calibrated(warmup: int) -> None:
    rule = Calibration(eps=EPS, beta=BETA, lambda_eps=0.5, lambda_beta=0.5, warmup_epochs=warmup)
    state, knobs = rule.initial(4)
    for epoch in range(1, warmup + 3):  # `knobs` are those of `epoch`
        uniform = knobs["eps"].tolist() == [EPS] * 4
        assert uniform == (epoch <= warmup), f"epoch {epoch}"
        state, knobs = rule(state, stats(epoch))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (None, None, [1.4, 0.8, 0.5, 1.5]),
        (0.6, None, [1.4, 0.8, 0.6, 1.5]),
        (None, 1.0, [1.0, 0.8, 0.5, 1.0]),
        (0.9, 0.9, [0.9] * 4),
        (0.0, 1.45, [1.4, 0.8, 0.5, 1.45]),
    ],
)
def test_eps_may_be_bounded(low: float | None, high: float | None, expected: list[float]) -> None:
    rule = Calibration(
        eps=EPS,
        lambda_eps=0.5,
        warmup_epochs=1,
        eps_min=None if low is None else low * EPS,
        eps_max=None if high is None else high * EPS,
    )
    np.testing.assert_allclose(rule({}, stats(1))[1]["eps"].numpy() / EPS, expected, rtol=1e-12)


def test_a_rule_is_pure() -> None:
    rule, given = Calibration(eps=EPS, lambda_eps=0.5, warmup_epochs=1), stats(3)
    one, two = rule({}, given), rule({}, given)
    assert torch.equal(one[1]["eps"], two[1]["eps"])
    assert given.seen[TRAINING].correct.tolist() == CORRECT
