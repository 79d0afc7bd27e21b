"""Random numbers without state: every epoch and step has its own seed, drawn from the run's.

So a resumed run needs no generator state to go on exactly, and evaluation between epochs cannot disturb
training.
"""

import hashlib

import torch


def derived_seed(seed: int, *path: int | str) -> int:
    """Derive a seed from the run's seed and a path such as ``("step", epoch, step)``, 63 bits."""
    digest = hashlib.blake2b(repr((seed, *path)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *path: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator on ``device`` for one purpose."""
    return torch.Generator(device=device).manual_seed(derived_seed(seed, *path))
