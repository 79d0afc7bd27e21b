"""What a text means to whoever wants a model attacked: a run, a weights file, or code that makes a model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfa import trust
from cfa.errors import ConfigError, UnknownName
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.typed_paths import exists, leads_to_file, leads_to_folder

if TYPE_CHECKING:
    from cfa.models import WeightsFile


@dataclass(frozen=True)
class ModelFactory:
    """Somebody's own ``package.module:factory`` of a model; it is imported where a person typed it."""

    name: str

    def __str__(self) -> str:
        """Write it as it is named."""
        return self.name


def model_of_others(text: str) -> "WeightsFile | ModelFactory":
    """Tell which model of others a text names; a file that is there comes before code of that name.

    Raises:
        ConfigError: It names neither a file that is there nor ``package.module:factory``.
    """
    text = text.strip()
    if not text:
        raise ConfigError("no model is given; choose a file, or write its path or package.module:factory")
    found = _file_or_factory(text)
    if found is None:
        raise ConfigError(f"there is no file {text!r}; write the path of a weights file")
    return found


def run_or_model(store: Store, text: str) -> "RunFolder | WeightsFile | ModelFactory":
    """Tell what a text names: a file that is there, else a run, else code that makes a model.

    Raises:
        UnknownName: It is none of them.
        ConfigError: It is a folder, or looks like a weights file and is none.
    """
    from cfa.models import WeightsFile

    found = _file_or_factory(text)
    if isinstance(found, WeightsFile):
        return found
    try:
        return store.find(text)
    except UnknownName:
        path = WeightsFile.of(text).path
        if leads_to_folder(path):
            raise ConfigError(f"{text} is a folder; name a weights file in it, or a run") from None
        if path.suffix in (".pt", ".pth", ".safetensors"):
            raise ConfigError(f"there is no weights file {text}; check the path") from None
        # A name that a copied run says it has is no code that somebody typed.
        if found is not None and all(run.given_name != text for run in store.runs()):
            return found
        raise


def _file_or_factory(text: str) -> "WeightsFile | ModelFactory | None":
    from cfa.models import WeightsFile

    file = WeightsFile.of(text)
    if leads_to_file(file.path):
        return file
    return ModelFactory(text) if trust.is_import_name(text) and not exists(file.path) else None
