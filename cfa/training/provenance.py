"""How a result was made: code, packages, device."""

import importlib.metadata
import subprocess
from pathlib import Path

import torch

PACKAGES = ("cfa-studio", "torch", "torchvision", "numpy", "pyautoattack")


def code_version() -> str:
    """Return the package's version with the git commit where there is one, ``+`` when files were changed."""
    version = importlib.metadata.version("cfa-studio")
    folder = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        commit = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version  # installed without git, or not from a checkout
    return f"{version} ({commit})"


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that numbers depend on."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def device_name(device: torch.device) -> str:
    """Name a device so that a reader knows the hardware."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
