"""Before anything is done with a network: does it take images, answer with logits, and have a gradient?"""

import torch
from torch import Tensor, nn

from cfa.errors import CheckpointError
from cfa.models.answers import require_finite, require_logits
from cfa.models.foreign import takes

SIZES = (2, 1, 3)  # images at a time: attacks go on with however many hold
COMMON_SIZES = (4, 8, 10, 16, 32, 50, 64, 100, 128, 200, 250, 256, 500, 512)


def admit(model: nn.Module, x: Tensor, num_classes: int) -> str:
    """Look whether a model can be evaluated, and return why it has no gradient: ``""`` where it has.

    Args:
        model: In the mode and arithmetic of an evaluation.
        x: Some images in [0, 1].
        num_classes: How many classes the data have.

    Raises:
        CheckpointError: It does not take these images, or answers with something that is not logits.
    """
    for size in SIZES:
        try:
            with torch.no_grad():
                answer: object = model(_repeated(x, size))
        except torch.OutOfMemoryError:
            raise
        # Anything can go wrong in other people's code, and its user has to get a sentence.
        except Exception as error:
            raise CheckpointError(_refusal(model, x, size, error)) from error
        require_finite(require_logits(answer, size, num_classes), model)
    return _why_no_gradient(model, x)


def _why_no_gradient(model: nn.Module, x: Tensor) -> str:
    x = _repeated(x, SIZES[0]).requires_grad_()
    try:
        with torch.enable_grad():
            logits = model(x)
            if not logits.requires_grad:
                return "its answers are cut off from the images by no_grad, detach, argmax or NumPy"
            (gradient,) = torch.autograd.grad(logits.sum(), x, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    # As above; what fails only with gradients is answered as having none.
    except Exception as error:
        return _first_line(error)
    return "" if gradient is not None else "its answers do not depend on the images"


def _refusal(model: nn.Module, x: Tensor, size: int, error: Exception) -> str:
    """Say what a model does not take: these images, or this number of them."""
    reason = f"({type(error).__name__}: {_first_line(error)})"
    works = [n for n in (1, 2, 3, *COMMON_SIZES) if n != size and takes(model, _repeated(x, n))]
    if not works:
        shape = tuple(x.shape[1:])
        return f"the model does not take images of shape {shape} {reason}; choose the data set that it is for"
    if size == 1:
        return (
            f"the model fails on a single image {reason}, and attacks go on with whatever holds; let "
            "BatchNorm use its running statistics, and no layer take its sizes from the batch"
        )
    return (
        f"the model takes {' or '.join(map(str, works))} images at a time and not {size} {reason}, and "
        "attacks go on with whatever holds; let it take any number (torch.export: a Dim in dynamic_shapes)"
    )


def _repeated(x: Tensor, size: int) -> Tensor:
    """Return exactly ``size`` images, the first ones, over again where there are fewer."""
    return x[torch.arange(size, device=x.device) % len(x)]


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
