"""Finding a network's weights in what a file holds, whatever stands before their names there.

Names come as :func:`cfa.models.load_weights` gives them: keys of the file end in ``/``, names of modules in a
dot. All that stands before the names of a network is a branch: ``state_dict/module.``, ``ema/``, ``student.``
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cfa.errors import CheckpointError
from cfa.models.normalise import NormalisedModel
from cfa.models.own_normalisation import own_normalisation
from cfa.models.weights_files import outline

USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net", "rmodel", "last", "best")
"""Of several branches that fit, the one below the first of these is taken.

``rmodel`` is MAIR's; ``last`` is what RobustBench takes where a file has the best and the last weights.
"""

AVERAGED = re.compile(r"(?:.*_)?(?:ema|swa|avg|averaged?|teacher|momentum|attacker)(?:_.*)?", re.IGNORECASE)
"""Branches with such a part come after those without: what was trained is meant where nobody says."""

IDLE_PARTS = ("sub_block1", "n_classes")
"""Parts of names that no forward pass uses: a stage that TRADES' WideResNet has by mistake and never calls
(with it come random weights), and a number that MAIR keeps among the weights."""


MOST_BRANCHES = 50  # that are looked at


@dataclass(frozen=True)
class Reading:
    """How the weights of a network were found in a file.

    Attributes:
        branch: What stands before their names there, as ``FILE#branch`` takes it; empty where nothing does.
        others: Branches that fit as well and hold other weights.
        mean: Per channel, where the file keeps a normalisation of its own; ``std`` likewise.
        left_aside: Names beside the branch, within the same state dict, that were not used.
    """

    branch: str
    others: tuple[str, ...]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    left_aside: tuple[str, ...]

    def said(self, file: str) -> str:
        """Say it in one line, with how to choose; empty where names fit as they are and nothing is beside."""
        parts = [f"taken from {self.branch!r}"] if self.branch else []
        if self.others:
            others = f"{', '.join(map(repr, self.others[:3]))}{' …' if len(self.others) > 3 else ''}"
            verb = "fits" if len(self.others) == 1 else "fit"
            parts.append(f"{others} {verb} as well, and {f'{file}#{self.others[0]}'!r} takes that")
        if self.mean is not None and self.std is not None:
            mean, std = (",".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
            parts.append(f"the file's own normalisation is used ({mean}/{std})")
        if self.left_aside:
            more = f" and {len(self.left_aside) - 3} more" if len(self.left_aside) > 3 else ""
            parts.append(f"not used: {', '.join(map(repr, self.left_aside[:3]))}{more}")
        return "; ".join(parts)


def load_into(
    model: nn.Module,
    state_dict: Mapping[str, Tensor],
    source: str,
    *,
    key: str = "",
    normalise_missing_ok: bool = False,
) -> Reading:
    """Copy weights into ``model``, or change nothing and say what does not fit.

    The weights may stand below any prefix, beside anything else; where several branches fit, the reading says
    which was taken. A mean and standard deviation that a foreign wrapper kept beside its network (``0.mean``
    and ``1.conv1.weight``, for example) become those of ``model``. What TRADES, RobustBench and MAIR keep
    among the weights without using it is left out, and the classifier of a WideResNet that was made without a
    bias gets one of zeros, which is the same network.

    Args:
        model: receives the weights; device, type and memory layout of its tensors stay.
        state_dict: names to tensors, as :func:`cfa.models.load_weights` gives them.
        source: the file or run that they come from, for the error.
        key: the branch to look below, ``ema`` or ``state_dict/module.model``; empty for any.
        normalise_missing_ok: accept foreign weights that know no normalisation; the model keeps its own.

    Raises:
        CheckpointError: the first weight that is missing, unexpected, of another shape, or of no use.
    """
    network = _Network.of(model, normalise_missing_ok)
    branches = _branches(state_dict, network, key)
    if not branches:
        raise CheckpointError(f"{source} holds no weights below {key!r}; {outline(state_dict)}")
    fitting = [branch for branch in branches if branch.problem is None]
    if not fitting:
        best = max(branches, key=lambda branch: len(branch.weights))
        raise CheckpointError(
            f"{source} does not fit this network: {best.problem}; {outline(state_dict)}; "
            f"{_way_out(state_dict)}"
        )
    chosen = fitting[0]
    loaded = {network.inside + name: tensor for name, tensor in chosen.weights.items()}
    model.load_state_dict({**loaded, **chosen.normalisation}, strict=False)
    elsewhere = frozenset().union(*(branch.used for branch in fitting))
    mean, std = chosen.normalisation.get("normalise.mean"), chosen.normalisation.get("normalise.std")
    return Reading(
        branch="" if chosen.prefix == network.inside else chosen.prefix.rstrip("./"),
        others=tuple(b.prefix.rstrip("./") for b in fitting[1:] if not b.equals(chosen)),
        mean=None if mean is None else tuple(mean.flatten().tolist()),
        std=None if std is None else tuple(std.flatten().tolist()),
        left_aside=tuple(name for name in chosen.left_aside if name not in elsewhere),
    )


# The network -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Network:
    """What a network expects.

    Attributes:
        inside: What its own names have before them in the model.
        expected: Its tensors by those names.
        required: The names that a file must have.
        channels: Of the normalisation before it; 0 where it has none.
        needs_normalisation: A file must have that too.
    """

    inside: str
    expected: Mapping[str, Tensor]
    required: frozenset[str]
    channels: int
    needs_normalisation: bool

    @classmethod
    def of(cls, model: nn.Module, normalise_missing_ok: bool) -> "_Network":
        wrapped = isinstance(model, NormalisedModel)
        inside = "network." if wrapped else ""
        expected = {
            name.removeprefix(inside): tensor
            for name, tensor in model.state_dict().items()
            if name.startswith(inside)
        }
        # Counters of batches are absent before torch 0.4.1.
        required = frozenset(name for name in expected if not name.endswith(".num_batches_tracked"))
        channels = model.normalise.mean.numel() if isinstance(model, NormalisedModel) else 0
        return cls(inside, expected, required, channels, wrapped and not normalise_missing_ok)

    def does_without(self, name: str, tensor: Tensor) -> bool:
        """Tell whether nothing is computed with a tensor: a whole number, or one of :data:`IDLE_PARTS`."""
        if tensor.numel() == 1 and not tensor.is_floating_point() and not tensor.is_complex():
            return True  # such as n_averaged
        idle = [part for part in IDLE_PARTS if part in name.split(".")]
        return bool(idle) and not any(idle[0] in expected.split(".") for expected in self.expected)

    @property
    def zero_bias(self) -> str | None:
        """Name the bias that some of RobustBench's WideResNets lack, or nothing."""
        wide = any(".convShortcut." in name for name in self.expected)
        return next((name for name in self.expected if wide and name.endswith("fc.bias")), None)


# Branches --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Branch:
    """The names of a file below some prefix, taken for those of a network.

    Attributes:
        prefix: What stands before them.
        weights: Those that the network expects, by its own names.
        normalisation: ``normalise.mean`` and ``normalise.std``, or nothing.
        used: Whole names of all these.
        left_aside: Whole names in the same state dict that are not used.
        problem: Why it does not fit; ``None`` where it does.
    """

    prefix: str
    weights: Mapping[str, Tensor]
    normalisation: Mapping[str, Tensor]
    used: frozenset[str]
    left_aside: tuple[str, ...]
    problem: str | None

    def equals(self, other: "_Branch") -> bool:
        """Tell whether another branch makes the same model."""
        mine, yours = ({**branch.weights, **branch.normalisation} for branch in (self, other))
        return mine.keys() == yours.keys() and all(_equal(mine[name], yours[name]) for name in mine)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one is other or (one.dtype == other.dtype and torch.equal(one, other))


def _branches(weights: Mapping[str, Tensor], network: _Network, key: str) -> list[_Branch]:
    """List the branches below a key that a network may stand in, preferred ones first."""
    depth = max((name.count(".") for name in network.required), default=0)
    in_common: Counter[str] = Counter()
    for path in weights:
        parts = path[path.rfind("/") + 1 :].rsplit(".", depth + 1)
        ends = (".".join(parts[start:]) for start in range(len(parts)))
        in_common.update(path.removesuffix(end) for end in ends if end in network.required)
    wanted = _as_key(key)
    if wanted:
        below = {prefix for prefix in in_common if f"{_as_key(prefix)}.".startswith(f"{wanted}.")}
        in_common = Counter({prefix: in_common[prefix] for prefix in below})
    elif not in_common:
        in_common[network.inside] = 0
    complete = len(network.required) - (network.zero_bias is not None)
    whole = tuple(prefix for prefix, count in in_common.items() if count >= complete)
    most = max(in_common.values(), default=0)
    likely = whole or [prefix for prefix, count in in_common.items() if count == most]
    preferred = sorted(likely, key=lambda prefix: (prefix != network.inside, *_preference(prefix)))
    return [_branch(weights, prefix, whole, network) for prefix in preferred[:MOST_BRANCHES]]


def _as_key(prefix: str) -> str:
    return re.sub(r"[/.]+", ".", prefix).strip(".")


def _preference(prefix: str) -> tuple[bool, int, int]:
    """Order branches: not averaged, below a usual key, few parts; equals stay as in the file."""
    parts = re.split(r"[/.]", prefix)
    usual = min((USUAL_KEYS.index(part) for part in parts if part in USUAL_KEYS), default=len(USUAL_KEYS))
    return any(AVERAGED.fullmatch(part) for part in parts), usual, len(parts)


def _branch(weights: Mapping[str, Tensor], prefix: str, whole: Sequence[str], network: _Network) -> _Branch:
    """Take the names below a prefix for those of a network, and say what is wrong with that.

    Args:
        weights: All tensors of the file.
        prefix: What stands before the network's names.
        whole: The prefixes of all branches that have every name.
        network: What is expected.
    """
    given = {name: weights[prefix + name] for name in network.expected if prefix + name in weights}
    own = {prefix + name for name in given}
    pair = own_normalisation(weights, prefix, own) if network.channels else None
    used = own.union((pair.mean_name, pair.std_name) if pair else ())
    dictionary = prefix[: prefix.rfind("/") + 1]
    beside = [name for name in weights if name[: name.rfind("/") + 1] == dictionary and name not in used]
    spare = {name: weights[name] for name in beside if not network.does_without(name, weights[name])}
    bias = network.zero_bias
    if bias is not None and bias not in given and bias.removesuffix("bias") + "weight" in given:
        given[bias] = torch.zeros_like(network.expected[bias])
    problem = pair.problem(network.channels) if pair is not None else None
    if pair is None and network.needs_normalisation:
        problem = f"it has no {dictionary + 'normalise.mean'!r}"
    problem = problem or _mismatch(given, prefix, network) or _surplus(spare, prefix, whole)
    vectors = pair.vectors(network.channels) if pair is not None and problem is None else {}
    return _Branch(prefix, given, vectors, frozenset(used), tuple(spare), problem)


def _surplus(spare: Mapping[str, Tensor], prefix: str, whole: Sequence[str]) -> str | None:
    """Name the first tensor that makes another network of it: one within, or a next one in a sequence."""
    others = tuple(other for other in whole if other != prefix and other.startswith(prefix))
    inside = [
        name
        for name, tensor in spare.items()
        if name.startswith(prefix)
        and not name.startswith(others)
        # A number beside the weights is no part of a network.
        and ("." in name.removeprefix(prefix) or tensor.ndim > 0)
    ]
    sequence = re.fullmatch(r"(?P<around>(?:.*[./])?)\d+\.", prefix)
    steps = re.compile(re.escape(sequence["around"]) + r"\d+\.") if sequence else None
    next_to = [name for name in spare if steps and steps.match(name) and not name.startswith(prefix)]
    found = [*inside, *next_to]
    return f"it has {found[0]!r}, which this network has not" if found else None


def _mismatch(given: Mapping[str, Tensor], prefix: str, network: _Network) -> str | None:
    """Name the first tensor that a network cannot take, or misses."""
    for name, expected in network.expected.items():
        shown, tensor = f"{(prefix + name)!r}", given.get(name)
        if tensor is None:
            if name in network.required:
                return f"it has no {shown}"
        elif (unusable := _unusable(tensor, expected)) is not None:
            return f"{shown} {unusable}"
        elif tensor.shape != expected.shape:
            return f"{shown} has shape {tuple(tensor.shape)} there and {tuple(expected.shape)} here"
    return None


def _unusable(tensor: Tensor, expected: Tensor) -> str | None:
    """Say what is wrong with a tensor whose numbers cannot be copied as they are."""
    if tensor.is_quantized:
        return "is quantised; save tensor.dequantize() where it was made"
    if tensor.layout != torch.strided:
        return "is sparse; save tensor.to_dense() where it was made"
    if tensor.is_meta:
        return "has no values, for it was saved from the device meta; save it once its values are loaded"
    if tensor.is_complex() and not expected.is_complex():
        return "holds complex numbers where the network has real ones; save real weights"
    if expected.is_floating_point() and not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        return f"holds whole numbers ({kind}), which mean nothing without their scale; save floats"
    return None


def _way_out(given: Mapping[str, Tensor]) -> str:
    """Say which network weights are of that look like one of ours and are not."""
    parts = {part for name in given for part in re.split(r"[/.]", name)}
    if {"init_conv", "batchnorm_0"} <= parts:
        return (
            "these are weights of DeepMind's WideResNet, which pads images at one side and mostly uses "
            "Swish, so that no model here computes the same; name a function that builds it, "
            "package.module:name"
        )
    projects = any(name.endswith("layer4.0.shortcut.0.weight") for name in given)
    if projects and not any(name.endswith(("bn.weight", "layer4.0.shortcut.1.weight")) for name in given):
        return (
            "if it is a PreActResNet-18 without a last BatchNorm, choose preact-resnet18-mair, or "
            "preact-resnet18-wong2020 where the shortcut sees the raw input"
        )
    return "choose the model and data set it was made with"
