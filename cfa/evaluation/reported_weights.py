"""Which of a run's weights it is reported with."""

from collections.abc import Collection

from cfa.methods import known_method
from cfa.runs.evaluations import read_evaluations
from cfa.runs.folder import RunFolder


def default_weights(run: RunFolder, evaluated: Collection[str] | None = None) -> str:
    """Return the kind a run is reported with: FAWA for `-cfa` methods if the gate opened, else online.

    Args:
        run: The run.
        evaluated: The kinds of weights that its evaluations are of, where the caller knows them.

    Raises:
        StoreError: One of its evaluations cannot be read.
    """
    kept = {weights for weights, _ in run.kept_weights()}
    # Runs that ship keep their results without the weights.
    kept |= {one.weights for one in read_evaluations(run)} if evaluated is None else set(evaluated)
    own = _own(run)
    if own in ("ema", "fawa") and own in kept:
        return own
    return "file" if run.config.is_external else "online"


def _own(run: RunFolder) -> str:
    """Return the kind that the run's method names, or its manifest where the method is not known here."""
    method = known_method(run.config.method)
    if method is not None:
        return method.reported_with
    manifest = run.manifest
    return manifest.reported_with if manifest is not None else ""
