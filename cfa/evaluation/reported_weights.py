"""Which of a run's weights it is reported with."""

from cfa.methods import known_method
from cfa.runs.evaluations import read_evaluations
from cfa.runs.folder import RunFolder


def default_weights(run: RunFolder) -> str:
    """Return the kind a run is reported with: FAWA for `-cfa` methods if the gate opened, else online."""
    kept = {weights for weights, _ in run.kept_weights()}
    # Runs that ship keep their results without the weights.
    kept |= {evaluation.weights for evaluation in read_evaluations(run)}
    method, manifest = known_method(run.config.method), run.manifest
    own = (
        method.reported_with if method is not None else manifest.reported_with if manifest is not None else ""
    )
    if own in ("ema", "fawa") and own in kept:
        return own
    return "file" if run.config.is_external else "online"
