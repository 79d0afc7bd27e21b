"""The normalisation that files keep beside their networks: whose it is, and what it is in our terms."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_MEAN = re.compile(r"(?P<place>(?:.*[./])?)(?P<before>(?:[a-z]+_|_)?)(?P<mean>means?|mu)", re.IGNORECASE)
_DEVIATIONS = {"mean": ("std", "sd"), "means": ("stds", "sds"), "mu": ("sigma", "std")}
"""How wrappers call the two: ``0.mean`` and ``0.std``, ``normalizer.new_mean``, ``mu`` and ``sigma``."""

_LARGEST_MEAN = 2.0  # of pixels in [0, 1]; a mean of 125 is one of pixels up to 255


@dataclass(frozen=True)
class OwnNormalisation:
    """Mean and standard deviation that a wrapper kept, by their names in the file."""

    mean_name: str
    std_name: str
    mean: Tensor
    std: Tensor

    def problem(self, channels: int) -> str | None:
        """Say why images of so many channels cannot be normalised so; ``None`` where they can."""
        for name, vector in ((self.mean_name, self.mean), (self.std_name, self.std)):
            if vector.layout != torch.strided or vector.is_meta or not vector.is_floating_point():
                return f"its normalisation {name!r} is not a plain vector of numbers"
            if vector.numel() not in (1, channels):
                return f"its normalisation {name!r} has {vector.numel()} values for {channels} channels"
            if not torch.isfinite(vector).all():
                return f"its normalisation {name!r} is not finite"
        if not (self.std > 0).all():
            return f"its normalisation divides by {self.std_name!r}, which is not above 0 everywhere"
        if (largest := self.mean.max().item()) > _LARGEST_MEAN:
            return f"its normalisation {self.mean_name!r} is {largest:g}, for pixels that are not in [0, 1]"
        return None

    def vectors(self, channels: int) -> dict[str, Tensor]:
        """Return both as :class:`cfa.models.NormalisedModel` names and shapes them."""
        pair = {"normalise.mean": self.mean, "normalise.std": self.std}
        return {name: v.float().reshape(-1).expand(channels).reshape(1, -1, 1, 1) for name, v in pair.items()}


def own_normalisation(
    weights: Mapping[str, Tensor], prefix: str, network: Collection[str]
) -> OwnNormalisation | None:
    """Find the mean and standard deviation that belong to the network below a prefix, the nearest to it.

    They stand in a module around the network (``model.mean`` of ``model.net.``), in one beside it
    (``model.normalize.mean``), or in a dictionary of the file around its own.

    Args:
        weights: All tensors of the file.
        prefix: What stands before the network's names.
        network: Whole names that are the network's own, whatever they are called.
    """
    found: list[tuple[int, int, int, OwnNormalisation]] = []
    own_dictionary = prefix[: prefix.rfind("/") + 1]
    for place, mean, std in _pairs(weights):
        if mean in network or std in network:
            continue
        within = place[: place.rfind("/") + 1] == own_dictionary
        parent = place[: max(place.rfind(mark, 0, -1) for mark in "./") + 1] if place[-1:] == "." else place
        if prefix.startswith(place) if not within else prefix.startswith((place, parent)):
            pair = OwnNormalisation(mean, std, weights[mean], weights[std])
            if within or pair.mean.numel() > 1:  # one number elsewhere may be of anything
                found.append((_common_parts(place, prefix), -len(place), len(found), pair))
    return max(found)[-1] if found else None


def _pairs(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, str, str]]:
    for name in weights:
        match = _MEAN.fullmatch(name)
        if match is None:
            continue
        for deviation in _DEVIATIONS[match["mean"].lower()]:
            std = f"{match['place']}{match['before']}{deviation}"
            if std in weights:
                yield match["place"], name, std


def _common_parts(place: str, prefix: str) -> int:
    pairs = zip(re.split(r"[./]", place), re.split(r"[./]", prefix), strict=False)
    return next((count for count, (one, other) in enumerate(pairs) if one != other), len(place))
