"""Logs of the official code from somebody else: bounded, of the right types, or a sentence."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from cfa.errors import CfaError, CheckpointError
from cfa.foreign.official_log import import_official_log, read_official_log
from cfa.runs.store import Store
from tests.foreign.test_official_log import ARGUMENTS, write_log


def packed(content: object) -> bytes:
    """Save with torch, then compress what it stores plainly."""
    plain, small = io.BytesIO(), io.BytesIO()
    torch.save(content, plain)
    with zipfile.ZipFile(plain) as read, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as written:
        for part in read.namelist():
            written.writestr(part, read.read(part))
    return small.getvalue()


LOGS: dict[str, Any] = {
    "one value for a milliard of epochs": torch.zeros(1, 1, 1).expand(10**9, 6, 10),
    "whole numbers": torch.zeros(3, 6, 10, dtype=torch.int64),
    "complex numbers": torch.zeros(3, 6, 10, dtype=torch.complex64),
    "booleans": torch.zeros(3, 6, 10, dtype=torch.bool),
    "a sparse tensor": torch.zeros(3, 6, 10).to_sparse(),
    "a list": [[[0.5] * 10] * 6] * 3,
    "packed zeros": packed(torch.zeros(300_000, 6, 10)),
    "half a file": packed(torch.zeros(3, 6, 10))[:200],
    "an archive of nothing": b"PK\x05\x06" + b"\0" * 18,
}


@pytest.mark.filterwarnings("ignore:Validating sparse:UserWarning")
@pytest.mark.parametrize("name", ["cw_log.pth", "cw_log.safetensors"])
@pytest.mark.parametrize("content", LOGS.values(), ids=LOGS)
def test_another_log_is_refused_in_a_sentence(tmp_path: Path, content: Any, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(CheckpointError) as raised:
        read_official_log(file, method="pgd-at")
    assert len(str(raised.value)) < 400


CONFIGS: dict[str, str] = {
    "a list": "[]",
    "a text": '"x"',
    "deep": '{"a":' * 100_000,
    "half": '{"mode": "AT"',
    "large": json.dumps(ARGUMENTS | {"fname": "x" * 2_000_000}),
    "a flag of text": json.dumps(ARGUMENTS | {"ccm": "False"}),
    "a flag of nothing": json.dumps(ARGUMENTS | {"ccr": None}),
    "a mode of another type": json.dumps(ARGUMENTS | {"mode": ["AT"]}),
    "a mode that there is not": json.dumps(ARGUMENTS | {"mode": "x" * 5000}),
    "eps of text": json.dumps(ARGUMENTS | {"epsilon": "8"}),
    "eps of nothing": json.dumps(ARGUMENTS | {"epsilon": None}),
    "eps of yes": json.dumps(ARGUMENTS | {"epsilon": True}),
    "eps that is no number": json.dumps(ARGUMENTS | {"epsilon": float("nan")}),
    "eps without end": json.dumps(ARGUMENTS | {"epsilon": 10**400}),
    "lambda of a list": json.dumps(ARGUMENTS | {"lambda_1": [0.5]}),
    "many epochs of warm-up": json.dumps(ARGUMENTS | {"begin": -1}),
}


@pytest.mark.parametrize("content", CONFIGS.values(), ids=CONFIGS)
def test_other_settings_beside_a_log_are_refused_in_a_sentence(tmp_path: Path, content: str) -> None:
    file = write_log(tmp_path, {})
    (config,) = tmp_path.glob("logs/*/config.json")
    config.write_text(content)
    with pytest.raises(CfaError) as raised:
        read_official_log(file)
    assert len(str(raised.value)) < 600


def test_a_config_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = write_log(tmp_path, {})
    (config,) = tmp_path.glob("logs/*/config.json")
    config.write_bytes(b"\xff\xfe{")
    with pytest.raises(CfaError, match="not the JSON"):
        read_official_log(file)


def test_a_log_in_a_folder_of_the_root_has_no_settings_beside_it(tmp_path: Path, monkeypatch) -> None:
    file = write_log(tmp_path)
    # As a path it lies directly below the root, which has no folder above it.
    monkeypatch.setattr(Path, "resolve", lambda self, strict=False: Path("/cw_log.pth"))
    assert read_official_log(file, method="pgd-at").config.method == "pgd-at"


@pytest.mark.parametrize("folder", ["a\x1b[2Jb", "=1+1", "a\nb", "![](x)", "...", "x" * 200])
def test_a_folder_with_a_strange_name_names_no_run(tmp_path: Path, store: Store, folder: str) -> None:
    (tmp_path / folder).mkdir()
    file = write_log(tmp_path).rename(tmp_path / folder / "cw_log.pth")
    run = import_official_log(store, read_official_log(file, method="pgd-at"))
    assert len(run.name) <= 80
    assert not set(run.name) & set("\x1b\n[]()=!/")
