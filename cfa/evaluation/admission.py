"""Before a job starts: can a model be evaluated on these images, and by the attacks of a plan?"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from cfa.data import Dataset, to_float
from cfa.errors import CheckpointError
from cfa.evaluation.conditions import reported
from cfa.evaluation.plan import EvaluationPlan
from cfa.models import admit, takes, weights_in_float32, weights_type

LOOKED_AT = 3  # images


@dataclass(frozen=True)
class Admission:
    """What was seen of a model that can be evaluated.

    Attributes:
        came_as: The type of its weights, where they have to be float32 instead; ``""`` where not.
        no_gradient: Why it has no gradient; ``""`` where it has.
    """

    came_as: str
    no_gradient: str


def admitted(model: nn.Module, dataset: Dataset) -> Admission:
    """Look on the CPU at a model that is to be evaluated on a data set.

    Raises:
        CheckpointError: It cannot be; see :func:`cfa.models.admit`.
    """
    x = to_float(dataset.test_images[:LOOKED_AT])
    with reported(x.device, model), weights_as_needed(model, x) as weights:
        return Admission(weights.came_as, admit(model, x, dataset.num_classes))


@dataclass(frozen=True)
class WeightsTypes:
    """Floating-point types of a model's weights other than float32, ``""`` where there is none.

    Attributes:
        came_as: Those that are float32 for the time being: the model does not take float32 images as it is.
        own: Those that it computes in by itself.
    """

    came_as: str
    own: str


@contextmanager
def weights_as_needed(model: nn.Module, x: Tensor) -> Iterator[WeightsTypes]:
    """Let a model take float32 images for a while: one that does not cast them itself gets float32 weights.

    Args:
        model: In eval mode.
        x: Some images in [0, 1].
    """
    kind = weights_type(model.state_dict().values())
    if not kind:
        yield WeightsTypes("", "")
    elif takes(model, x):
        yield WeightsTypes("", kind)
    else:
        with weights_in_float32(model):
            yield WeightsTypes(kind, "")


def require_gradient(plan: EvaluationPlan, reason: str) -> None:
    """Refuse attacks that follow gradients where there is none.

    Args:
        plan: What is asked for.
        reason: Why the model has no gradient, as :func:`admit` says it.

    Raises:
        CheckpointError: The plan has such attacks; those that need no gradient are named.
    """
    names = plan.gradient_attacks()
    if reason and names:
        raise CheckpointError(
            f"{', '.join(names)} cannot be carried out: the model has no gradient ({reason}); "
            "choose square, another black-box attack or transfer"
        )
