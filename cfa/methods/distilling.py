"""What methods that learn from a teacher share: its softened answers, and how far a student is from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfa.methods.attacking import CountingSteps
from cfa.methods.interface import Attacked, Batch, Model

if TYPE_CHECKING:
    from torch import Tensor

    from cfa.attacks.losses import SampleLoss

ANSWERS = "teacher"
"""Under which an attack that asked the teacher hands its logits on, so that it is asked once a step."""


def answers(batch: Batch, attacked: Attacked) -> Tensor:
    """Return the teacher's logits on the clean images, shape (images, classes)."""
    found = attacked.also.get(ANSWERS)
    return batch.teacher(batch.x) if found is None else found


def softened(logits: Tensor, temperature: Tensor | float) -> Tensor:
    """Return log-probabilities at a temperature: one for all images, or one for each, shape (images,)."""
    warmth = temperature if isinstance(temperature, float) else temperature[:, None]
    return (logits / warmth).log_softmax(dim=1)


def distance(target: Tensor, logits: Tensor) -> Tensor:
    """Return KL(target || softmax(logits)) / C of each image: torch's mean over images and classes.

    RSLAD's code, and what is built on it, adds 1e-5 to the target within its logarithm, a constant without a
    gradient; it is left out.

    Args:
        target: Log-probabilities, shape (images, classes).
        logits: The student's, of the same shape.
    """
    from cfa.attacks import kl_divergence

    return kl_divergence(target, logits) / logits.shape[1]


def survival(attacked: Attacked) -> Mapping[str, Tensor]:
    """Return what an objective sums of the steps that images survived, where the attack counted them."""
    return {} if attacked.steps_survived is None else {"steps_survived": attacked.steps_survived}


@dataclass(frozen=True)
class AwayFromTeacher(CountingSteps):
    """Raise the KL from the teacher's clean answers to the student's, and count as :class:`CountingSteps`.

    Attributes:
        target: Returns log-probabilities for a batch and the teacher's logits, shape (images, classes).
    """

    target: Callable[[Batch, Tensor], Tensor]

    def against(self, model: Model, batch: Batch) -> tuple[SampleLoss, Mapping[str, Tensor]]:
        """Ask the teacher, once for attack and loss."""
        from cfa.attacks import kl_divergence

        logits = batch.teacher(batch.x)
        target = self.target(batch, logits)
        return lambda student: kl_divergence(target, student), {ANSWERS: logits}
