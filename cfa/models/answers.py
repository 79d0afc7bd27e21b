"""What a network answers with: logits, one number an image and class, or a sentence on what came instead."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cfa.errors import CheckpointError

WAY_OUT = "write an nn.Module around it whose forward returns the logits alone"


def require_logits(answer: object, images: int, num_classes: int) -> Tensor:
    """Return an answer that is logits: floating-point numbers of shape (images, num_classes).

    Which part of a larger answer the logits are is never guessed.

    Args:
        answer: What a network returned.
        images: How many images it was given.
        num_classes: How many classes the data have.

    Raises:
        CheckpointError: It is something else; the message says what, and what to write.
    """
    if not isinstance(answer, Tensor):
        raise CheckpointError(
            f"the model answers with {_described(answer)} where logits are expected; {WAY_OUT}"
        )
    shape = tuple(answer.shape)
    came = f"the model answers with shape {shape} where (images, {num_classes}) is expected"
    if not answer.is_floating_point():
        kind = str(answer.dtype).removeprefix("torch.")
        what = "the number of a class" if answer.ndim == 1 else "whole numbers"
        raise CheckpointError(
            f"the model answers with {what} for every image ({kind}, shape {shape}); "
            f"return the logits from which it is found, shape (images, {num_classes})"
        )
    if shape == (images, num_classes):
        return answer
    if shape in ((images,), (images, 1)):
        join = "torch.stack" if answer.ndim == 1 else "torch.cat"
        way_out = f"return two logits for its one number z: {join}((torch.zeros_like(z), z), dim=1)"
        if num_classes > 2:
            way_out = "one number an image tells two classes apart; choose a data set with two"
    elif answer.ndim > 2 and answer.flatten(1).shape == (images, num_classes):
        way_out = "flatten it: logits.flatten(1)"
    elif answer.ndim > 2:
        way_out = "average over what is not a class, or choose a model that tells images apart, not pixels"
    elif answer.ndim < 1 or shape[0] != images:
        way_out = "return one row for every image of the batch, in the same order"
    else:
        way_out = "choose the data set it was trained on"
    raise CheckpointError(f"{came}; {way_out}")


def require_finite(logits: Tensor, model: object = None) -> None:
    """Refuse logits that are NaN or infinite: attacks cannot compare them, and would seem to fail.

    Args:
        logits: Shape (batch, classes).
        model: Where they come from, if it is a module: its weights tell whether they diverged.

    Raises:
        CheckpointError: The message tells weights that diverged, masked classes, overflow and NaN apart.
    """
    if bool(torch.isfinite(logits).all()):
        return
    raise CheckpointError(f"the model's logits are not finite{_reason(logits, model)}")


def _reason(logits: Tensor, model: object) -> str:
    if isinstance(model, nn.Module) and not _finite_weights(model):
        return "; its weights diverged, use an earlier checkpoint"
    bad = ~torch.isfinite(logits)
    count = f"{int(bad.any(dim=1).sum())} of {len(logits)} images"
    if bool(torch.isnan(logits).any()):
        return f" (NaN for {count}) although its weights are; look for 0/0 or a logarithm of 0 inside"
    masked = (logits == -torch.inf).all(dim=0)
    if bool((bad == masked).all()):
        classes = ", ".join(map(str, masked.nonzero().flatten().tolist()))
        return (
            f": minus infinity for every image in class {classes}, as a mask leaves it; fill masks with a "
            "finite number, -1e4 for example, with which attacks can compute"
        )
    return (
        f" (infinite for {count}) although its weights are; they overflow, "
        "so scale them down or leave float16 before the last layer"
    )


def _finite_weights(model: nn.Module) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in model.parameters() if t.is_floating_point())


def _described(answer: object) -> str:
    """Say what an answer is, and what is in it, one level deep."""
    kind = type(answer).__name__
    if isinstance(answer, Mapping):
        inside = [f"{key!r}: {_in_short(value)}" for key, value in list(answer.items())[:4]]
        return f"a {kind} ({', '.join(inside)})"
    if isinstance(answer, tuple | list):
        return f"a {kind} of {len(answer)} ({', '.join(map(_in_short, answer[:4]))})"
    if isinstance(logits := getattr(answer, "logits", None), Tensor):
        return f"an object of type {kind} with {_in_short(logits)} as .logits"
    if type(answer).__module__ == "numpy":
        return f"a NumPy {_in_short(answer)}, through which no gradient leads,"
    return f"an object of type {kind}"


def _in_short(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} {tuple(shape)}" if isinstance(shape, tuple) else type(value).__name__
