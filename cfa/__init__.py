"""CFA Studio: class-wise calibrated fair adversarial training, attacked properly and shown per class."""

TYPE_CHECKING = (
    False  # as typing has it; with `python -m cfa` nothing may be imported yet (`cfa.search_path`)
)
if TYPE_CHECKING:
    from cfa.api import evaluate, load, train
    from cfa.errors import CfaError

__all__ = ["CfaError", "evaluate", "load", "train"]


def __getattr__(name: str) -> object:
    """Import the three calls when they are first used: torch is not needed to list jobs."""
    if name == "CfaError":
        from cfa import errors

        return errors.CfaError
    if name in __all__:
        from cfa import api

        return getattr(api, name)
    raise AttributeError(f"module 'cfa' has no attribute {name!r}")
