"""What a run folder may hold, and how large each file of it may be: what is imported, and nothing besides."""

import re

from cfa.stored import GB, ID, MB

RUN_ID = ID
EVALUATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")

# Far above what the largest run needs: a thousand classes, a thousand epochs, ten billion weights.
_FILES = {
    r"config\.json": MB,
    r"label\.json": MB,
    r"status\.json": MB,
    r"manifest\.json": 16 * MB,
    r"split\.json": GB,
    r"history\.jsonl": GB,
    r"log\.txt": GB,
    r"weights/(best|last|file|epoch[0-9]{1,9})-(online|ema|fawa|file)\.safetensors": 50 * GB,
    r"state/state\.pt": 200 * GB,
    rf"evaluations/{EVALUATION_ID.pattern}/(evaluation|sequential)\.json": 64 * MB,
    rf"evaluations/{EVALUATION_ID.pattern}/(outcomes|batches)\.parquet": 5 * GB,
    rf"evaluations/{EVALUATION_ID.pattern}/(adversarial|remade)\.safetensors": 50 * GB,
}
_ROOM = tuple((re.compile(name), most) for name, most in _FILES.items())
_FOLDER = re.compile(rf"(weights|state|evaluations(/{EVALUATION_ID.pattern})?)/")


def room_for(name: str) -> int | None:
    """Return the bytes that a file of a run may have; ``None`` where a run holds no such file or folder.

    Args:
        name: Below the run's folder, with ``/`` between folders; a folder's own name ends in ``/``.
    """
    if name.endswith("/"):
        return 0 if _FOLDER.fullmatch(name) else None
    return next((most for pattern, most in _ROOM if pattern.fullmatch(name)), None)
