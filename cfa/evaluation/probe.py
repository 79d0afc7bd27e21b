"""What is looked at before every plan: whether attacks can tell anything about this model at all.

A few images are passed twice, alone and among others, and the gradients of the two losses that attacks follow
are looked at image by image. Nothing of it depends on which attacks the plan has.
"""

from dataclasses import dataclass, fields
from itertools import chain

import torch
from torch import Tensor, nn

from cfa.attacks import LOSSES, own_randomness, own_tracing, quiet_logger
from cfa.notation import Norm

PROBED = 64  # images at most
ALONE = 4  # of these are passed one by one
AROUND = 0.02  # the largest change of a pixel on the way to where gradients are looked at again
TINY = 1e-300  # keeps a division by zero a number
ROUNDING = 1e-3  # of the sum of probabilities
NEXT_TO = 0.05  # a bound, of the way from there to the median logit
SAME_WITH_GRADIENTS = 1e-2  # of an image's spread of logits: other kernels may be taken where gradients are
SAME = 1e-4  # of an image's spread of logits: pyautoattack's tolerance for the same images again
NOTHING = 1e-12  # attacks in l2 and l1 divide by no less, so that a shorter gradient is a shorter step
STEPS = (1e-3, 5e-2)  # of an image's spread of logits: what the steps should gain that check its gradient; a
# smooth network answers to the smaller as its gradient says, one with low precision inside to the larger
LEAST_PIXEL, MOST_PIXEL = 1e-5, 3e-2  # the size of those steps
VISIBLE = 1e-5  # of the logits: what float32 can see of a step
FALSE_BY = 1.5  # a margin that rises by a factor more or less than its gradient says


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """The gradients at the images that the model gets right, or at all of them where it gets none.

    Attributes:
        images: How many images that is.
        infinite: Of how many of them the gradient of either loss is NaN or infinite.
        no_margin: At how many the margin has no gradient.
        no_cross_entropy: At how many only the cross-entropy has none.
        guidance: What a step along the signs of the cross-entropy's gradient gains of the margin, beside one
            along its own gradient's, to first order: 1 is as much, 0 nothing. The median.
        untrue: Of how many the margin answers to a small and to a larger step by less than two thirds or more
            than one and a half times of what its gradient says, and how many were looked at.
        other_answers: How many got other logits than without a gradient.
    """

    images: int
    infinite: int
    no_margin: int
    no_cross_entropy: int
    guidance: float
    untrue: tuple[int, int]
    other_answers: int = 0

    @property
    def misleading(self) -> float:
        """The share of images, the larger one, at which there is none or an untrue one."""
        untrue, looked_at = self.untrue
        return max((self.infinite + self.no_margin) / max(self.images, 1), untrue / max(looked_at, 1))


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was seen of a model.

    Attributes:
        images: How many images were looked at.
        randomised: Whether the same images got other logits when they were passed again.
        changed: Names of the weights and buffers that a forward pass changed.
        beside_others: How far the logits of an image move with the other images of the batch, of its spread.
        dynamic: Whether the forward pass computes gradients.
        probabilities: Whether the answers are probabilities.
        at_bound: How many images have a largest logit next to the largest of all.
        largest: Largest absolute logit.
        spread: Median over images of the largest minus the smallest logit.
        confidence: Mean of the largest soft-max probability.
        accuracy: Share of the images that are right.
        gradients: At the images or, where more of them are missing or untrue there, close to the images;
            ``None`` where there are none.
    """

    images: int
    randomised: bool
    changed: tuple[str, ...]
    beside_others: float
    dynamic: bool
    probabilities: bool
    at_bound: int
    largest: float
    spread: float
    confidence: float
    accuracy: float
    gradients: Gradients | None


def probe(
    model: nn.Module, x: Tensor, y: Tensor, norm: Norm, *, with_gradients: bool, size: int = PROBED
) -> Probe:
    """Look at a model.

    Args:
        model: In eval mode; counts its forward passes.
        x: A few images in [0, 1].
        y: Their classes.
        norm: Of the plan.
        with_gradients: Whether there are any, and attacks to which they matter.
        size: Images in a batch.
    """
    with torch.no_grad(), own_randomness(x.device):
        state = _versions(model)
        logits, again = _passed(model, x, size), _passed(model, x, size)
        changed = [name for name, now in _versions(model).items() if state.get(name) != now]
        randomised = float(_moved(logits, again).max()) > SAME
        spread, _ = _spread_and_largest(logits)
        return Probe(
            images=len(x),
            randomised=randomised,
            changed=tuple(sorted(changed)),
            beside_others=0.0 if randomised else _beside_others(model, x, logits, size),
            dynamic=_computes_gradients(model, x[:ALONE]),
            probabilities=_are_probabilities(logits),
            at_bound=_at_bound(logits),
            largest=float(logits.abs().max()),
            spread=float(spread.median()),
            confidence=float(logits.softmax(dim=1).amax(dim=1).mean()),
            accuracy=float((logits.argmax(dim=1) == y.cpu()).double().mean()),
            gradients=_worst_gradients(model, x, y, norm, size, randomised) if with_gradients else None,
        )


@dataclass(frozen=True, kw_only=True)
class Closing:
    """What was seen of a model after the attacks.

    Attributes:
        images: How many images were passed again.
        otherwise: How many of them are predicted otherwise than before the attacks.
        beside_others: How far logits in a batch of the plan's size are from those in a small one, at most.
    """

    images: int
    otherwise: int
    beside_others: float


def close(model: nn.Module, x: Tensor, predicted: Tensor) -> Closing:
    """Pass a batch again when everything is done, and some of its images in a smaller one.

    Args:
        model: In eval mode.
        x: The batch, as it was passed first.
        predicted: What was predicted then, on the CPU.
    """
    few = torch.linspace(0, len(x) - 1, min(ALONE * ALONE, len(x))).long()
    with torch.no_grad(), own_randomness(x.device):
        logits, apart = _exact(model(x)), _exact(model(x[few.to(x.device)]))
    return Closing(
        images=len(x),
        otherwise=int((logits.argmax(dim=1) != predicted).sum()),
        beside_others=float(_moved(logits[few], apart).max()),
    )


def _passed(model: nn.Module, x: Tensor, size: int) -> Tensor:
    return torch.cat([_exact(model(part)) for part in torch.split(x, size)])


def _exact(values: Tensor) -> Tensor:
    """Return float64 on the CPU: not every device has it."""
    return values.detach().cpu().double()


def _moved(logits: Tensor, others: Tensor) -> Tensor:
    """Return how far each image's logits are from others of it, shape (batch,), in units of their spread.

    Where the logits hardly differ, the unit is a hundredth of their size: rounding is no move.
    """
    spread, largest = _spread_and_largest(logits)
    return (logits - others).abs().amax(dim=1) / torch.maximum(spread, 0.01 * largest).clamp_min(TINY)


def _spread_and_largest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return each image's spread of logits and its largest absolute one, masked classes left out."""
    told = _without_masked(logits)
    return told.amax(dim=1) - told.amin(dim=1), told.abs().amax(dim=1)


def _without_masked(logits: Tensor) -> Tensor:
    """Leave out classes that have the same logit for every image, far below all others for example."""
    varies = (logits != logits[:1]).any(dim=0)
    return logits[:, varies] if int(varies.sum()) > 1 else logits


def _are_probabilities(logits: Tensor) -> bool:
    within = bool(((logits >= 0) & (logits <= 1)).all())
    return within and bool(((logits.sum(dim=1) - 1).abs() < ROUNDING).all())


def _at_bound(logits: Tensor) -> int:
    """Count the images whose largest logit is within a twentieth of all logits' span of the largest of all.

    Log-probabilities end at 0 by nature: they are looked at without what a soft-max does not see.
    """
    logits = _without_masked(logits)
    if bool((logits.logsumexp(dim=1).abs() < ROUNDING).all()):
        logits = logits - logits.mean(dim=1, keepdim=True)
    bound = logits.max() - NEXT_TO * (logits.max() - logits.min())
    return int((logits.amax(dim=1) > bound).sum())


def _beside_others(model: nn.Module, x: Tensor, logits: Tensor, size: int) -> float:
    """Return how far an image's logits move when it is alone, or in another order among other images."""
    few = x[:ALONE]
    furthest = _moved(logits[:ALONE], _passed(model, few, 1)).max()
    mixed = x.clone()
    mixed[1::2] = 1 - mixed[1::2]
    among = _passed(model, mixed.flip(0), size).flip(0)
    return float(torch.maximum(furthest, _moved(logits, among)[::2].max()))


def _versions(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Say which weights and buffers there are: where they lie, and how often they were written to."""
    tensors = chain(model.named_parameters(), model.named_buffers())
    return {
        ".".join(name.split(".")[-2:]): (tensor.data_ptr(), tensor._version)
        for name, tensor in tensors
        if not tensor.is_inference()
    }


def _computes_gradients(model: nn.Module, x: Tensor) -> bool:
    """Tell whether a forward pass calls for gradients itself, as pyautoattack finds out."""
    from pyautoattack import checks

    # The package counts in a module's variable: no dynamic model of before may accuse this one.
    before = dict(checks.funcs)
    checks.funcs.update(dict.fromkeys(checks.funcs, 0))
    try:
        with own_tracing():
            checks.check_dynamic(model, x, logger=quiet_logger())
        return any(checks.funcs.values())
    finally:
        checks.funcs.update(before)


# Gradients ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """What was seen of a batch's gradients, a value per image."""

    right: Tensor
    infinite: Tensor
    cross_entropy: Tensor  # whether there is a gradient of it that an attack can follow
    margin: Tensor
    guidance: Tensor
    answered: Tensor  # how much the margin rises by a step, of what its gradient says; NaN: not seen
    otherwise: Tensor  # whether the logits are others than without a gradient


def _worst_gradients(
    model: nn.Module, x: Tensor, y: Tensor, norm: Norm, size: int, randomised: bool
) -> Gradients:
    """Look at the images and close to them, where attacks go on: a network may know whole pixels."""
    noise = torch.empty(x.shape).uniform_(-AROUND, AROUND, generator=torch.Generator().manual_seed(0))
    around = (x + noise.to(x.device, x.dtype)).clamp(0, 1)
    found = [_gradients(model, at, y, norm, size, randomised) for at in (x, around)]
    return max(found, key=lambda gradients: (gradients.other_answers > 0, gradients.misleading))


def _gradients(model: nn.Module, x: Tensor, y: Tensor, norm: Norm, size: int, randomised: bool) -> Gradients:
    batches = zip(torch.split(x, size), torch.split(y, size), strict=True)
    parts = [_seen(model, *batch, norm, randomised) for batch in batches]
    whole = {field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(_Seen)}
    chosen = whole["right"] if bool(whole["right"].any()) else torch.ones_like(whole["right"])
    seen = _Seen(**{name: values[chosen] for name, values in whole.items()})
    followed = seen.guidance[seen.margin & ~seen.infinite]
    answered = seen.answered[~seen.answered.isnan()]
    untrue = (answered < 1 / FALSE_BY) | (answered > FALSE_BY)
    return Gradients(
        images=len(seen.right),
        infinite=int(seen.infinite.sum()),
        no_margin=int((~seen.margin & ~seen.infinite).sum()),
        no_cross_entropy=int((seen.margin & ~seen.cross_entropy & ~seen.infinite).sum()),
        guidance=float(followed.median()) if len(followed) else 1.0,
        untrue=(int(untrue.sum()), len(answered)),
        other_answers=int(seen.otherwise.sum()),
    )


def _seen(model: nn.Module, x: Tensor, y: Tensor, norm: Norm, randomised: bool) -> _Seen:
    at = x.clone().requires_grad_()
    with torch.enable_grad():
        logits = model(at)
        losses = [LOSSES[name](model, x, y)(logits).sum() for name in ("cross-entropy", "margin")]
        cross_entropy, margin = (
            _exact(torch.autograd.grad(loss, at, retain_graph=True)[0].flatten(1)) for loss in losses
        )
    with torch.no_grad():
        without = _exact(model(x))
    logits = _exact(logits)
    infinite = ~(torch.isfinite(cross_entropy) & torch.isfinite(margin)).all(dim=1)
    steepest = margin.abs().sum(dim=1)
    answered = torch.full_like(steepest, torch.nan)
    if not randomised:
        answered = _answered(model, x, y, logits, margin)
        answered[infinite] = torch.nan
    return _Seen(
        right=logits.argmax(dim=1) == y.cpu(),
        infinite=infinite,
        cross_entropy=_is_something(cross_entropy, norm),
        margin=_is_something(margin, norm),
        guidance=(margin * cross_entropy.sign()).sum(dim=1) / steepest.clamp_min(TINY),
        answered=answered,
        otherwise=(_moved(without, logits) > SAME_WITH_GRADIENTS) & (not randomised),
    )


def _is_something(gradient: Tensor, norm: Norm) -> Tensor:
    """Tell at which images an attack takes a step: a sign step needs a number that is not zero."""
    if norm in ("linf", "l0"):
        return gradient.abs().amax(dim=1) > 0
    length: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    return length > NOTHING


def _answered(model: nn.Module, x: Tensor, y: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
    """Return how much the margin rises by a step along its gradient's signs, of what that says.

    Of the steps tried, the one that comes nearest counts. They are taken to both sides, within [0, 1]; NaN
    where float32 does not see what they should gain.
    """
    spread, largest = _spread_and_largest(logits)
    margin_of = LOSSES["margin"](model, x, y)
    ratios = []
    for part in STEPS:
        pixel = part * spread / gradient.abs().sum(dim=1).clamp_min(TINY)
        step = gradient.sign() * pixel.clamp(LEAST_PIXEL, MOST_PIXEL)[:, None]
        step = step.reshape(x.shape).to(x.device, x.dtype)
        ahead, behind = (x + step).clamp(0, 1), (x - step).clamp(0, 1)
        risen = _exact(margin_of(model(ahead))) - _exact(margin_of(model(behind)))
        expected = (gradient * _exact(ahead - behind).flatten(1)).sum(dim=1)
        ratios.append(torch.where(expected > VISIBLE * largest, risen / expected.clamp_min(TINY), torch.nan))
    found = torch.stack(ratios)
    off = found.clamp_min(TINY).log().abs().nan_to_num(torch.inf)
    return found.gather(0, off.argmin(dim=0, keepdim=True)).squeeze(0)
