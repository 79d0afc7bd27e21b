"""Histories of the official CFA code (PKU-ML/CFA): its `cw_log.pth` as a run to look at and compare.

The file holds accuracies per class, a tensor of shape (epochs, 6, 10): training images clean and under the
training attack, validation clean and robust, test clean and robust. Its settings lie in
`logs/NAME/config.json` where the log is `models/NAME/cw_log.pth`. eps_k and beta_k are not in it: the rule
makes them again from the second row, as it does in training.
"""

import dataclasses
import pickle
import re
import reprlib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import pydantic

from cfa.config import RunConfig
from cfa.errors import CheckpointError, ConfigError, StoreError
from cfa.runs.folder import Manifest, RunFolder, now
from cfa.runs.listed import readable_runs
from cfa.runs.rows import Epoch, Row, Scores, append_rows
from cfa.runs.store import Store
from cfa.typed_paths import leads_to_file, whole_path

if TYPE_CHECKING:
    from torch import Tensor


PARTS = (  # the six rows: split, attack
    ("train", "clean"),
    ("train", "training"),
    ("val", "clean"),
    ("val", "pgd-10"),
    ("test", "clean"),
    ("test", "pgd-10"),
)
IMAGES = {"train": 4900, "val": 100, "test": 1000}  # of each class of CIFAR-10, in the official split
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NOTES = (
    "Imported from the official code: counts are its accuracies times the images of its split; eps and beta "
    "per class were computed again. It chose checkpoints on test. It keeps no loss and no time."
)
# Its arguments, and the settings that they are here; those of one method stand in that method's file
# (`cfa.methods.official_settings`). Until March 2025 the threshold was misspelt.
ARGUMENTS = {
    "epochs": "train.epochs",
    "lr_max": "optimizer.lr",
    "attack_iters": "attack.steps",
    "decay_rate": "averaging.decay",
    "threshold": "averaging.threshold",
    "thershold": "averaging.threshold",
}
IN_255 = {"epsilon": "attack.eps", "pgd_alpha": "attack.step_size"}
# Arguments that say which method it is, or that the official script reads without using them.
OTHERS = ("mode", "batch_size", "norm", "fname", "device", "debug")
LARGEST = 1e6  # of its numbers
NETWORK = "PRN"  # the official code lacks its other network, WRN
FLAGS = ("ccm", "ccr")


LARGEST_LOG, LARGEST_CONFIG, MOST_EPOCHS = 64 * 10**6, 10**6, 100_000
_ARGUMENTS = pydantic.TypeAdapter(dict[str, Any])
_UNREADABLE = (
    *(OSError, RuntimeError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError),
    pickle.UnpicklingError,
)


@dataclass(frozen=True)
class OfficialLog:
    """What a log and its settings say.

    Attributes:
        accuracy: Shape (epochs, 6, 10), in [0, 1].
        config: The settings, as ours.
        source: The file.
        left_out: Arguments in its settings that nothing here is called by.
    """

    accuracy: "Tensor"
    config: RunConfig
    source: Path
    left_out: tuple[str, ...] = ()


def read_official_log(
    file: Path, *, method: str | None = None, overrides: Mapping[str, Any] | None = None
) -> OfficialLog:
    """Read a log, and its settings from the `config.json` that the official code writes.

    Args:
        file: A `cw_log.pth`.
        method: Our name of the method, where there is no `config.json`; it overrides what that says.
        overrides: Settings by dotted name that differ from the preset `official-code`, likewise.

    Raises:
        CheckpointError: The file is damaged, or holds something else.
        ConfigError: Nothing says which method it was, or its settings are not those of the official code.
    """
    from cfa.methods import METHODS, configure, official_settings, usable_settings

    accuracy = _read(file)
    arguments = _arguments(file)
    chosen = method or _method(arguments, file)
    given = usable_settings(chosen, overrides or {})
    of_methods = {theirs: ours for one in METHODS.values() for theirs, ours in official_settings(one).items()}
    called = ARGUMENTS | of_methods
    usable = {*ARGUMENTS.values(), *IN_255.values(), *official_settings(METHODS[chosen]).values()}
    told = {name: value for name, value in _settings(arguments, called).items() if name in usable}
    settings = {**told, **given, "train.epochs": len(accuracy)}
    config = configure(chosen, "cifar10", model="preact-resnet18", preset="official-code", overrides=settings)
    known = {*called, *IN_255, *FLAGS, *OTHERS, "model"}
    return OfficialLog(accuracy, config, file, tuple(name[:40] for name in arguments if name not in known))


def import_official_log(store: Store, log: OfficialLog, name: str | None = None) -> RunFolder:
    """Make a run of a log; the same log with the same settings is the run that it became before.

    Args:
        store: Where runs are.
        log: What was read.
        name: The run's name, by default that of the folder that the log is in.
    """
    rows = list(_rows(log))
    for known in readable_runs(store):
        if known.config == log.config and known.folder.rows() == rows:
            return known.folder
    usual = re.sub(r"[^\w.+-]+", "-", whole_path(log.source).parent.name).strip("-.")[:60] or "log"
    run = store.create(log.config, name or store.free_name(usual), ("external",))
    run.write_manifest(
        Manifest(
            created=now(),
            code_version="PKU-ML/CFA",
            packages={},
            device="",
            threads=0,
            data_fingerprint="",
            class_names=CLASS_NAMES,
            train_counts=(IMAGES["train"],) * len(CLASS_NAMES),
            val_counts=(IMAGES["val"],) * len(CLASS_NAMES),
            model={},
        )
    )
    append_rows(run.history_file, rows)
    left_out = (
        f" Left out, since nothing here is called so: {', '.join(log.left_out)}." if log.left_out else ""
    )
    store.relabel(run, dataclasses.replace(run.label, notes=NOTES + left_out))
    run.write_status("finished", len(log.accuracy), f"history of {log.source.name}, without weights")
    return run


def _read(file: Path) -> "Tensor":
    import torch

    if _bytes_held(file) > LARGEST_LOG:
        raise CheckpointError(f"{file} is larger than any log of the official code; check the path")
    try:
        with file.open("rb") as opened:  # of a path torch believes the ending
            found = torch.load(opened, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{file} cannot be read as a log of the official code; copy it again"
        ) from error
    if not _is_log(found):
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise CheckpointError(
            f"{file} holds {shape}, not a tensor of (epochs, 6, 10) as cw_log.pth does; weights are taken by "
            "`cfa evaluate FILE`"
        )
    if len(found) == 0 or not bool(((found >= 0) & (found <= 1)).all()):  # NaN is neither
        raise CheckpointError(f"{file} holds no epochs, or accuracies outside of [0, 1]; copy it again")
    return found.double()


def _bytes_held(file: Path) -> int:
    """Return the size of a file, or of what is packed in it where that is more."""
    try:
        if not zipfile.is_zipfile(file):
            return file.stat().st_size
        with zipfile.ZipFile(file) as packed:
            return max(file.stat().st_size, sum(part.file_size for part in packed.infolist()))
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{file} cannot be read as a log of the official code; copy it again"
        ) from error


def _is_log(found: object) -> TypeGuard["Tensor"]:
    import torch

    return (
        isinstance(found, torch.Tensor)
        and found.layout == torch.strided
        and found.is_floating_point()
        and found.ndim == 3
        # A few stored bytes can stand for any number of epochs.
        and found.shape[0] <= MOST_EPOCHS
        and found.shape[1:] == (len(PARTS), len(CLASS_NAMES))
    )


def _arguments(file: Path) -> dict[str, Any]:
    """Read the arguments of the official script; empty where they are not there."""
    folder = whole_path(file).parent
    for candidate in (folder / "config.json", folder.parent.parent / "logs" / folder.name / "config.json"):
        if leads_to_file(candidate):
            try:
                with candidate.open("rb") as opened:
                    return _ARGUMENTS.validate_json(opened.read(LARGEST_CONFIG))
            except (OSError, pydantic.ValidationError) as error:
                raise StoreError(
                    f"{candidate} is not the JSON that the official code writes; delete it and name the "
                    "method instead"
                ) from error
    return {}


def _method(arguments: Mapping[str, Any], file: Path) -> str:
    from cfa.methods import METHODS

    mode, flags = arguments.get("mode"), {name: arguments.get(name, False) for name in FLAGS}
    for name, flag in flags.items():
        if flag not in (True, False):
            raise ConfigError(
                f"{name}={reprlib.repr(flag)} in the log's config.json is neither true nor false; correct it"
            )
    trained = {name: one.official_arguments for name, one in METHODS.items() if one.official_arguments}
    of_mode = {name: asked for name, asked in trained.items() if asked.get("mode") == mode}
    heeded = {flag for asked in of_mode.values() for flag in asked}  # it ignores the others
    wanted = {"mode": mode} | {name: True for name, flag in flags.items() if flag and name in heeded}
    for name, asked in of_mode.items():
        if asked == wanted:
            return name
    raise ConfigError(
        f"nothing beside {file} says which method it is the log of; name it: --method with one of "
        f"{', '.join(trained)}"
    )


def _settings(arguments: Mapping[str, Any], called: Mapping[str, str]) -> dict[str, Any]:
    """Read the numbers among the arguments, by our names of them (``called``)."""
    if (network := arguments.get("model", NETWORK)) != NETWORK:
        raise ConfigError(f"the log is of a network {network!r}; only those of {NETWORK} can be imported")
    found: dict[str, Any] = {}
    for theirs, ours in {**called, **IN_255}.items():
        if theirs not in arguments:
            continue
        value = arguments[theirs]
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
            raise ConfigError(
                f"{theirs}={value!r} in the log's config.json is no such number; correct it there"
            )
        value = value / 255 if theirs in IN_255 else value
        if found.setdefault(ours, value) != value:
            raise ConfigError(
                f"the log's config.json gives {ours} twice, as {found[ours]} and {value}; keep one"
            )
    return found


def _rows(log: OfficialLog) -> Iterator[Row]:
    """Write each epoch as our own training does: knobs, scores, the epoch as a whole."""
    from cfa.methods import TRAINING, ClassStats, Tally, parts_of
    from cfa.training.schedule import learning_rate
    from cfa.training.telling import knobs_row

    config = log.config
    rule = parts_of(config).rule
    state, knobs = rule.initial(len(CLASS_NAMES))
    for epoch, accuracy in enumerate(log.accuracy, start=1):
        counts = {
            part: _counts(values, part[0], log.source) for part, values in zip(PARTS, accuracy, strict=True)
        }
        yield knobs_row(epoch, knobs)
        for (split, attack), correct in counts.items():
            yield _scores_row(config, epoch, split, attack, correct)
        gate = min(counts["val", "pgd-10"].tolist()) / IMAGES["val"]
        yield Epoch(
            epoch=epoch,
            learning_rate=learning_rate(config.optimizer, epoch, config.train.epochs),
            loss=None,
            seconds=None,
            images_per_second=None,
            gate_worst=gate,
            gate_threshold=config.averaging.threshold,
            gate_accepted=gate >= config.averaging.threshold,
        )
        correct = counts["train", "training"]
        total = correct.new_full((len(CLASS_NAMES),), IMAGES["train"])
        trained = Tally(total=total, correct=correct)
        stats = ClassStats(epoch=epoch, class_counts=total, seen={TRAINING: trained})
        state, knobs = rule(state, stats)


def _counts(accuracy: "Tensor", split: str, file: Path) -> "Tensor":
    counts = accuracy * IMAGES[split]
    whole = counts.round()
    if bool((counts - whole).abs().max() > 0.05):
        raise CheckpointError(
            f"{file}: {split} accuracies are no shares of {IMAGES[split]} images a class; it is the log of "
            "another split than the official one of CIFAR-10, or of a --debug run"
        )
    return whole.long()


def _scores_row(config: RunConfig, epoch: int, split: str, attack: str, correct: "Tensor") -> Scores:
    clean = attack == "clean"
    return Scores(
        epoch=epoch,
        split=split,
        weights="online",
        attack=attack,
        norm="none" if clean else config.attack.norm,
        eps=0.0 if clean else config.attack.eps,
        correct=tuple(correct.tolist()),
        total=(IMAGES[split],) * len(correct),
    )
