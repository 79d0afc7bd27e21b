"""What an evaluation remembers on disk: the partition into batches, and every finished batch.

plan.json         what is being done; another plan in the same folder is refused
step-N.json       positions of the images in each batch of step N
step-N-B.npz      what became of batch B
findings.json     what the checks before the attacks found

Every file is written by `cfa.files`, so that a kill at any moment leaves whole files only.
"""

import io
import json
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cfa.errors import CfaError, StoreError
from cfa.files import make_folder, write_bytes
from cfa.stored import parse

Partition = list[list[int]]


@dataclass(frozen=True)
class Part:
    """What became of one batch.

    Attributes:
        predicted: Classes that count, int16, shape (batch,).
        length: Perturbation norms of a minimum-norm attack, float64; empty for others.
        kept: Which of the batch's images are kept, int32 positions in the batch.
        adversarial: Those images, float32.
        passes: Forward passes made, an image each.
        not_allowed: How many perturbed images lay outside the ball or [0, 1].
        zero_gradients: How many images had a zero gradient, as far as the attack says.
    """

    predicted: np.ndarray
    length: np.ndarray
    kept: np.ndarray
    adversarial: np.ndarray
    passes: int
    not_allowed: int = 0
    zero_gradients: int = 0


class Scratch:
    """The folder of one evaluation that is under way; without a folder nothing is remembered."""

    def __init__(self, folder: Path | None, plan: dict[str, Any]) -> None:
        """Open the folder for a plan.

        Raises:
            CfaError: The folder holds batches of another plan.
            StoreError: It cannot be written.
        """
        self.folder = folder
        if folder is None:
            return
        text = json.dumps(plan, sort_keys=True)
        found = self._read_text("plan.json")
        if found is None:
            self._write("plan.json", text.encode())
        elif found != text:
            raise CfaError(
                f"the batches stored in {folder.name} belong to another plan, model or data set; "
                "start a new evaluation"
            )

    def findings(self) -> tuple[tuple[str, ...], int] | None:
        """Return what the checks found and the forward passes they made, or ``None`` before they were."""
        text = self._read_text("findings.json")
        if text is None:
            return None
        stored = parse(text)
        return tuple(stored["findings"]), stored["passes"]

    def keep_findings(self, findings: tuple[str, ...], passes: int) -> None:
        """Remember what the checks found."""
        self._write("findings.json", json.dumps({"findings": findings, "passes": passes}).encode())

    def partition(self, step: int) -> Partition | None:
        """Return the batches of a step, or ``None`` before it has begun."""
        text = self._read_text(f"step-{step}.json")
        if text is None:
            return None
        found: Partition = parse(text)
        return found

    def keep_partition(self, step: int, batches: Partition) -> None:
        """Remember the batches of a step."""
        self._write(f"step-{step}.json", json.dumps(batches).encode())

    def part(self, step: int, batch: int) -> Part | None:
        """Return what became of a batch, or ``None`` if it was not finished."""
        if self.folder is None or not (file := self._part_file(step, batch)).exists():
            return None
        try:
            with np.load(file, allow_pickle=False) as stored:
                values = {field.name: stored[field.name] for field in fields(Part)}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise _damaged(self.folder) from error
        return Part(**{name: _plain(value) for name, value in values.items()})

    def keep_part(self, step: int, batch: int, part: Part) -> None:
        """Remember what became of a batch."""
        if self.folder is None:
            return
        values: dict[str, Any] = {name: np.asarray(value) for name, value in vars(part).items()}
        with io.BytesIO() as stream:
            np.savez(stream, **values)
            self._write(self._part_file(step, batch).name, stream.getvalue())

    def _part_file(self, step: int, batch: int) -> Path:
        assert self.folder is not None
        return self.folder / f"step-{step}-{batch}.npz"

    def _read_text(self, name: str) -> str | None:
        if self.folder is None or not (self.folder / name).exists():
            return None
        text = (self.folder / name).read_text(encoding="utf-8")
        try:
            parse(text)
        except StoreError as error:
            raise _damaged(self.folder) from error
        return text

    def _write(self, name: str, content: bytes) -> None:
        if self.folder is None:
            return
        make_folder(self.folder.parent)
        make_folder(self.folder)
        write_bytes(self.folder / name, content)


def _plain(value: np.ndarray) -> Any:
    return value.item() if value.ndim == 0 else value


def _damaged(folder: Path) -> CfaError:
    return CfaError(f"a stored batch in {folder.name} is damaged; delete that folder and retry")
