"""FRL: goes on from a robust network under constraints on the classes' errors.

Xu et al., "To be Robust or to be Fair", ICML 2021; formulas as in the authors' code (hannxu123/fair_robust,
utils_frl2.py: reweighting and re-margining, the variant that later papers compare with).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig
from cfa.methods.attacking import WithinEpsBySharedSteps, training_pgd
from cfa.methods.catalogue.trades import TRADES, TradesSettings, clean_and_robust
from cfa.methods.interface import Attacked, Batch, Forward, Loss, Method, Model
from cfa.methods.knobs import Knobs
from cfa.methods.rules import VALIDATION_CLEAN, VALIDATION_ROBUST, ClassStats, State
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor


class FrlSettings(TradesSettings):
    """The weight of the robust term, and the constraints; defaults are those of the authors' code."""

    clean_bound: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.07,
        description="FRL: by how much a class's clean error may exceed the mean before it weighs more.",
    )
    boundary_bound: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.07,
        description="FRL: the same for clean minus robust accuracy; beyond it eps grows as well.",
    )
    weight_rate: Annotated[Number, Field(ge=0)] = Field(
        default=0.05, description="FRL: how fast the weights of classes follow violated constraints."
    )
    eps_rate: Annotated[Number, Field(ge=0)] = Field(
        default=0.2, description="FRL: how fast a class's eps follows its violated constraint."
    )
    weight_limit: Annotated[Number, Field(gt=0, lt=1)] = Field(  # below 1, so that no class weighs nothing
        default=0.5, description="FRL: how much weight in all may be moved to the classes that need it."
    )


def weighted_by_batch(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return TRADES' terms, each divided by the sum of its weights in the whole batch."""
    clean, robust, logits_adv = clean_and_robust(model, batch, attacked)
    loss = _weights(batch, "robust_weight") * robust + _weights(batch, "clean_weight") * clean
    return Loss(per_sample=loss, logits_adv=logits_adv)


def _weights(batch: Batch, name: str) -> Tensor:
    """Weigh the images so that the mean weight in the whole batch is that over classes."""
    of_class = batch.knobs_of_class[name]
    in_batch = batch.everyone.sum(of_class[batch.whole_y].mean()) / batch.everyone.size
    return batch.knobs[name] * (of_class.mean() / in_batch)


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

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return multipliers of 0 and the uniform knobs that they mean."""
        import torch

        zero = torch.zeros(classes, dtype=torch.float64)
        state = {"clean": zero, "boundary": zero.clone(), "eps": zero.clone()}
        return state, self._knobs(state)

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Move the multipliers by how far the constraints are violated on validation images.

        ``stats.epoch`` 0 are the weights that training starts from.
        """
        clean = stats.seen[VALIDATION_CLEAN].accuracy
        robust = stats.seen[VALIDATION_ROBUST].accuracy
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

    def _knobs(self, state: State) -> Knobs:
        factor = (2 * state["eps"]).exp().clamp(*self.eps_factors)
        clean, boundary = (self._weights(state[name]) for name in ("clean", "boundary"))
        return Knobs(eps=self.eps * factor, clean_weight=clean, robust_weight=self.beta * boundary)

    @staticmethod
    def _weights(multipliers: Tensor) -> Tensor:
        return 1 + len(multipliers) * multipliers - multipliers.sum()


def _constraints(settings: FrlSettings, config: RunConfig) -> FairConstraints:
    return FairConstraints(eps=config.attack.eps, **settings.model_dump())


FRL = Method(
    name="frl",
    title="FRL",
    summary="Fine-tunes a robust network (init) under constraints on class errors (Xu et al. 2021)",
    source="Xu et al., To be Robust or to be Fair: Towards Fairness in Adversarial Training, ICML 2021",
    year=2021,
    kind="calibrated",
    hard_eps="larger",
    settings=FrlSettings,
    forward=Forward(target=1, loss=2),
    objective=lambda settings, config: weighted_by_batch,
    attack=lambda settings, config: WithinEpsBySharedSteps(training_pgd(config, "kl")),
    rule=_constraints,
    knobs=TRADES.knobs,
    usual=TRADES.usual,
    values={
        "attack.step_size": "eps/4",
        "method.beta": 1.5,
        "optimizer.lr": 0.001,
        "optimizer.milestones": (),
        "train.epochs": 40,
    },
    presets={
        "paper": {"averaging.start_epoch": 10},
        "demo": {"optimizer.lr": 0.01, "train.epochs": 12, "averaging.start_epoch": 3},
    },
    validated_with="pgd-20",  # their step of 2/255 is a quarter of 8/255
    fine_tunes=True,
    official_passes=("with-loss",),  # they count nothing while they train: there is no pass after the step
)

OFFERED = (FRL,)
