"""FRL's rule: constraints on the classes' errors, with Lagrange multipliers as its state.

Xu et al., "To be Robust or to be Fair", ICML 2021; formulas as in the authors' code (hannxu123/fair_robust,
utils_frl2.py: reweighting and re-margining, the variant that later papers compare with).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cfa.methods.rules import ClassKnobs, ClassStats, State


@dataclass(frozen=True, kw_only=True)
class FairConstraints:
    """Weigh up and widen the classes whose validation errors exceed the average by more than a bound.

    With clean error c_k, boundary error b_k (clean minus robust accuracy) and their means over classes:
    g_k = c_k - mean c - clean_bound, h_k = b_k - mean b - boundary_bound. Multipliers (all start at 0):
    u += weight_rate g, v += 2 weight_rate h, both cut at 0 and scaled to a sum of weight_limit or less;
    m += eps_rate h. Then eps_k = eps clip(exp(2 m_k), 0.98, 3), and the weights of the clean and the robust
    term are 1 + C u_k - sum u and beta (1 + C v_k - sum v): their means over classes are 1 and beta.

    Hard classes get a larger ``eps`` here, where CFA gives them a smaller one.

    Attributes:
        eps: The nominal budget.
        beta: Weight of the robust term.
        clean_bound: By how much a class's clean error may exceed the mean.
        boundary_bound: The same for its boundary error.
        weight_rate: Step of u and (doubled) v; halved before every ``halve_every``-th epoch.
        eps_rate: Step of m.
        weight_limit: Largest sum of u, and of v.
        eps_factors: Smallest and largest eps_k over eps.
        halve_every: Epochs between two halvings of ``weight_rate``.
    """

    eps: float
    beta: float
    clean_bound: float = 0.07
    boundary_bound: float = 0.07
    weight_rate: float = 0.05
    eps_rate: float = 0.2
    weight_limit: float = 0.5
    eps_factors: tuple[float, float] = (0.98, 3.0)
    halve_every: int = 40

    def initial(self, num_classes: int) -> tuple[State, ClassKnobs]:
        """Return multipliers of 0 and the uniform knobs that they mean."""
        zero = torch.zeros(num_classes, dtype=torch.float64)
        state = {"clean": zero, "boundary": zero.clone(), "eps": zero.clone()}
        return state, self._knobs(state)

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, ClassKnobs]:
        """Move the multipliers by how far the constraints are violated on validation images.

        ``stats.epoch`` 0 are the weights that training starts from.
        """
        assert stats.val_total is not None  # the trainer always validates
        assert stats.val_clean_correct is not None
        assert stats.val_robust_correct is not None
        total = stats.val_total.double()
        clean, robust = stats.val_clean_correct.double() / total, stats.val_robust_correct.double() / total
        clean_error, boundary_error = 1 - clean, clean - robust
        too_wrong = clean_error - clean_error.mean() - self.clean_bound
        too_near = boundary_error - boundary_error.mean() - self.boundary_bound
        rate = self.weight_rate / 2 ** ((stats.epoch + 1) // self.halve_every)
        state = {
            "clean": self._limited(state["clean"] + rate * too_wrong),
            "boundary": self._limited(state["boundary"] + 2 * rate * too_near),
            "eps": state["eps"] + self.eps_rate * too_near,
        }
        return state, self._knobs(state)

    def _limited(self, multipliers: Tensor) -> Tensor:
        positive = multipliers.clamp(min=0)
        # Where the sum is below the limit this divides by the limit itself: nothing changes.
        return positive * self.weight_limit / positive.sum().clamp(min=self.weight_limit)

    def _knobs(self, state: State) -> ClassKnobs:
        factor = (2 * state["eps"]).exp().clamp(*self.eps_factors)
        clean, boundary = (self._weights(state[name]) for name in ("clean", "boundary"))
        return ClassKnobs(eps=self.eps * factor, clean_weight=clean, robust_weight=self.beta * boundary)

    @staticmethod
    def _weights(multipliers: Tensor) -> Tensor:
        return 1 + len(multipliers) * multipliers - multipliers.sum()
