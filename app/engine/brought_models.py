"""Models that somebody brings: weights files, uploads and factories become runs."""

import re
import tempfile
from pathlib import Path

from app.engine.snapshots import forget_snapshots
from app.process.opened import store
from app.process.rights import acts
from cfa.errors import CfaError
from cfa.foreign.references import model_of_others
from cfa.foreign.registration import register
from cfa.models import MODELS as MODELS
from cfa.models import WeightsFile
from cfa.runs.folder import RunFolder
from cfa.trust import allowing


@acts
def add_model(source: str, dataset: str, model: str, normalize: str, name: str) -> RunFolder:
    """Take someone's own model into the store: ``FILE``, ``FILE#branch``, or ``package.module:factory``.

    Raises:
        CfaError: It cannot be read, or does not fit.
    """
    found = model_of_others(source)
    with allowing([source.strip(), dataset, model.strip()]):
        run = register(
            store(), found, dataset, model.strip() or None, normalize or "none", name.strip() or None
        )
    forget_snapshots()
    return run


@acts
def add_uploaded_model(
    file_name: str, content: bytes, dataset: str, model: str, normalize: str, name: str, key: str = ""
) -> RunFolder:
    """Take an uploaded weights file, or a branch of it, into the store; see :func:`add_model`.

    Of the name that the visitor's browser sends only what may stand in a run's name is kept.
    """
    last = re.split(r"[/\\]", file_name)[-1]
    kept = re.sub(r"[^\w.+-]+", "-", last)[-60:].strip("-.") or "weights"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / kept
        file.write_bytes(content)
        try:
            return add_model(str(WeightsFile(file, key)), dataset, model, normalize, name)
        except CfaError as error:  # it names a path that nobody knows
            raise type(error)(str(error).replace(str(file), file.name)) from error
