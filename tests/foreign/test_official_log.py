"""Histories of the official code: counts from its accuracies, eps and beta by hand, errors in a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cfa.errors import CheckpointError, ConfigError
from cfa.foreign.official_log import FLAGS, IMAGES, import_official_log, read_official_log
from cfa.methods import METHODS
from cfa.runs.rows import Epoch
from cfa.runs.store import Store
from cfa.tables.frames import history_frame, knobs_frame

ARGUMENTS: dict[str, Any] = {
    "mode": "TRADES",
    "ccm": True,
    "ccr": True,
    "lambda_1": 0.5,
    "lambda_2": 0.4,
    "begin": 2,
    "beta": 6,
    "epochs": 4,
    "epsilon": 8,
    "pgd_alpha": 2,
    "attack_iters": 10,
    "decay_rate": 0.88,
    "threshold": 0.24,
    "tau": 3,
    "lr_max": 0.1,
    "batch_size": 128,
    "fname": "cifar10_PRN_TRADES_ccm_ccr",
}


def counts(epochs: int) -> torch.Tensor:
    sizes = torch.tensor([4900, 4900, 100, 100, 1000, 1000])[None, :, None]
    shares = torch.rand(epochs, 6, 10, generator=torch.Generator().manual_seed(0))
    return (shares * sizes).long()


def write_log(folder: Path, arguments: dict[str, Any] | None = None, epochs: int = 4) -> Path:
    """Lay the files out as the official script does."""
    models = folder / "models" / "cifar10_PRN_TRADES_ccm_ccr"
    models.mkdir(parents=True)
    total = torch.tensor([49000, 49000, 1000, 1000, 10000, 10000])[None, :, None]
    torch.save((10 * counts(epochs).float() / total), models / "cw_log.pth")
    if arguments is not None:
        logs = folder / "logs" / models.name
        logs.mkdir(parents=True)
        (logs / "config.json").write_text(json.dumps(arguments))
    return models / "cw_log.pth"


def test_a_log_becomes_a_run_with_its_counts_and_with_the_knobs_of_the_paper(
    tmp_path: Path, store: Store
) -> None:
    run = import_official_log(store, read_official_log(write_log(tmp_path, ARGUMENTS)))
    assert (run.name, run.config.method, run.config.train.epochs) == (
        "cifar10_PRN_TRADES_ccm_ccr",
        "trades-cfa",
        4,
    )
    assert run.status.state == "finished"
    assert run.config.train.select_on == "test"
    history, expected = history_frame(run), counts(4)
    for row, (split, attack) in enumerate(
        [
            (s, a)
            for s, robust in (("train", "training"), ("val", "pgd-10"), ("test", "pgd-10"))
            for a in ("clean", robust)
        ]
    ):
        block = history[(history["split"] == split) & (history["attack"] == attack)]
        assert block["correct"].tolist() == expected[:, row].flatten().tolist()
        assert set(block["total"]) == {IMAGES[split]}
    knobs = knobs_frame(run)
    t = expected[:, 1] / 4900  # the training row
    for epoch in (1, 2, 3, 4):
        block = knobs[knobs["epoch"] == epoch]
        uniform = epoch <= 2  # --begin 2: epochs 1 and 2 are alike
        eps = torch.full((10,), 8 / 255) if uniform else (0.5 + t[epoch - 2]) * 8 / 255
        beta = torch.full((10,), 6.0) if uniform else (0.4 + t[epoch - 2]) * 6
        assert block["eps"].tolist() == pytest.approx(eps.tolist(), rel=1e-6)
        assert block["beta"].tolist() == pytest.approx(beta.tolist(), rel=1e-6)


def test_the_gate_is_the_worst_validation_class_and_time_is_not_known(tmp_path: Path, store: Store) -> None:
    run = import_official_log(store, read_official_log(write_log(tmp_path, ARGUMENTS)))
    epochs = [row for row in run.rows() if isinstance(row, Epoch)]
    worst = counts(4)[:, 3].min(dim=1).values / 100
    assert [row.gate_worst for row in epochs] == pytest.approx(worst.tolist())
    assert [row.gate_accepted for row in epochs] == (worst >= 0.24).tolist()
    assert {row.loss for row in epochs} == {row.seconds for row in epochs} == {None}
    assert [row.learning_rate for row in epochs] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_the_same_log_is_the_same_run(tmp_path: Path, store: Store) -> None:
    log = read_official_log(write_log(tmp_path, ARGUMENTS))
    assert import_official_log(store, log).id == import_official_log(store, log, "again").id
    other = read_official_log(log.source, overrides={"rule.lambda_eps": 0.3})
    assert import_official_log(store, other).id != import_official_log(store, log).id


def test_each_training_of_the_official_code_is_one_method() -> None:
    offered = [method.official_arguments for method in METHODS.values() if method.official_arguments]
    assert len(offered) == 8
    assert all(offered.count(arguments) == 1 for arguments in offered)
    assert all(set(arguments) <= {"mode", *FLAGS} for arguments in offered)


@pytest.mark.parametrize(
    ("mode", "ccm", "ccr", "method"),
    [
        ("AT", False, False, "pgd-at"),
        ("AT", True, True, "pgd-at-cfa"),  # it ignores --ccr for AT
        ("TRADES", False, True, "trades-ccr"),
        ("FAT", True, False, "fat-cfa"),
    ],
)
def test_flags_are_methods(tmp_path: Path, mode: str, ccm: bool, ccr: bool, method: str) -> None:
    arguments = ARGUMENTS | {"mode": mode, "ccm": ccm, "ccr": ccr}
    config = read_official_log(write_log(tmp_path, arguments)).config
    assert config.method == method
    assert config.method_settings.get("tau") == (3 if mode == "FAT" else None)


@pytest.mark.parametrize(
    ("spelling", "threshold"), [("thershold", 0.3), ("threshold", 0.3), ("neither", 0.24)]
)
def test_the_threshold_counts_in_both_spellings_of_the_official_code(
    tmp_path: Path, store: Store, spelling: str, threshold: float
) -> None:
    """Its commit 071f333 of March 2025 corrected `--thershold`; logs of before say that."""
    arguments = {name: value for name, value in ARGUMENTS.items() if name != "threshold"}
    log = read_official_log(write_log(tmp_path, {**arguments, spelling: 0.3}))
    assert log.config.averaging.threshold == threshold
    run = import_official_log(store, log)
    worst = counts(4)[:, 3].min(dim=1).values / 100
    accepted = [row.gate_accepted for row in run.rows() if isinstance(row, Epoch)]
    assert accepted == (worst >= threshold).tolist()


def test_both_spellings_may_stand_there_if_they_agree(tmp_path: Path) -> None:
    log = read_official_log(write_log(tmp_path, {**ARGUMENTS, "thershold": 0.24}))
    assert log.config.averaging.threshold == 0.24
    assert log.left_out == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"thershold": 0.3}, r"gives averaging\.threshold twice, as 0\.24 and 0\.3; keep one"),
        ({"epsilon": "8"}, "epsilon='8' in the log's config.json is no such number"),
        ({"beta": None}, "beta=None in the log's config.json is no such number"),
        ({"tau": True}, "tau=True in the log's config.json is no such number"),
        ({"epsilon": 10**400}, "is no such number"),
        ({"pgd_alpha": float("nan")}, "pgd_alpha=nan in the log's config.json is no such number"),
        ({"model": "WRN"}, "the log is of a network 'WRN'; only those of PRN can be imported"),
    ],
)
def test_settings_that_are_not_the_official_ones_are_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        read_official_log(write_log(tmp_path, {**ARGUMENTS, **changes}))


def test_an_argument_that_nothing_here_is_called_by_is_said(tmp_path: Path, store: Store, cfa: Any) -> None:
    file = write_log(tmp_path, {**ARGUMENTS, "model": "PRN", "debug": False, "lambda_3": 0.1})
    log = read_official_log(file)
    assert log.left_out == ("lambda_3",)
    run = import_official_log(store, log)
    assert run.label.notes.endswith("Left out, since nothing here is called so: lambda_3.")
    assert "nothing here is called so: lambda_3" in cfa("import", str(file)).stderr


def test_without_settings_the_method_must_be_said(tmp_path: Path) -> None:
    file = write_log(tmp_path)
    with pytest.raises(ConfigError, match="name it: --method"):
        read_official_log(file)
    assert read_official_log(file, method="pgd-at-cfa").config.method_settings["lambda_eps"] == 0.5


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (torch.zeros(3, 6, 7), r"holds \(3, 6, 7\), not a tensor"),
        ({"conv1.weight": torch.zeros(1)}, "holds dict, not a tensor"),
        (torch.zeros(0, 6, 10), "holds no epochs"),
        (torch.full((2, 6, 10), torch.nan), r"outside of \[0, 1\]"),
        (b"not a file of torch", "cannot be read as a log"),
    ],
)
def test_what_is_no_log_is_said(tmp_path: Path, content: Any, says: str) -> None:
    file = tmp_path / "cw_log.pth"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(CheckpointError, match=says):
        read_official_log(file, method="pgd-at")


def test_a_log_of_another_split_is_refused(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "cw_log.pth"
    torch.save(torch.full((2, 6, 10), 1 / 3), file)
    with pytest.raises(CheckpointError, match="no shares of 4900 images a class"):
        import_official_log(store, read_official_log(file, method="pgd-at"))
    assert store.runs() == [] or all(run.read_only for run in store.runs())
