"""Weights files of others in the store: what was taken from them is kept, said, and can be chosen."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cfa.errors import CheckpointError, ConfigError
from cfa.evaluation import load_model
from cfa.foreign.registration import register_weights
from cfa.models import ModelSpec, WeightsFile, build_model, load_metadata
from cfa.runs.store import Store
from tests.conftest import SETTINGS

SPEC = ModelSpec(channels=1, num_classes=3, image_size=8, mean=(0.0,), std=(1.0,))  # as `tiny` asks for
OPTIONS = ("--model", "small-cnn", "--attack", "clean")


def bare(seed: int) -> dict[str, Tensor]:
    return dict(build_model("small-cnn", SPEC, seed).network.state_dict())


def normalised(mean: float, std: float) -> dict[str, Tensor]:
    return {"mean": torch.tensor([mean]), "std": torch.tensor([std]), **bare(1)}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Weights of seed 1, an average of seed 2 beside it, and what else a script keeps."""
    file = tmp_path / "theirs.pt"
    torch.save({"epoch": 9, "ema": bare(2), "model": {f"module.{n}": w for n, w in bare(1).items()}}, file)
    return file


def seed_of(run: Any) -> int | None:
    network = load_model(run, "file", "file").network.state_dict()
    return next((s for s in (1, 2) if all(torch.equal(network[n], w) for n, w in bare(s).items())), None)


@pytest.mark.usefixtures("typed")
def test_a_run_keeps_what_was_taken_and_a_key_takes_another(
    store: Store, tiny: str, checkpoint: Path
) -> None:
    first = register_weights(store, WeightsFile(checkpoint), tiny, "small-cnn")
    other = register_weights(store, WeightsFile(checkpoint, "ema"), tiny, "small-cnn")
    assert (seed_of(first), seed_of(other)) == (1, 2)
    assert (first.name, other.name) == ("theirs", "theirs-ema")
    assert first.status.message == (
        "weights from theirs.pt; taken from 'model/module'; 'ema' fits as well, and "
        "'theirs.pt#ema' takes that"
    )
    assert other.status.message == "weights from theirs.pt; taken from 'ema'"
    assert load_metadata(first.weights_file("file", "file"))["branch"] == "model/module"
    # Each again is the run that it became before; the branch that is taken anyway may be named.
    for reference, run in (("", first), ("model", first), ("model/module", first), ("ema", other)):
        assert register_weights(store, WeightsFile(checkpoint, reference), tiny, "small-cnn").id == run.id


@pytest.mark.usefixtures("typed")
def test_a_key_that_is_not_there_leaves_nothing_behind(store: Store, tiny: str, checkpoint: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"theirs\.pt#best holds no weights below 'best'; its names begin"
    ):
        register_weights(store, WeightsFile(checkpoint, "best"), tiny, "small-cnn")
    assert store.runs() == []


@pytest.mark.usefixtures("typed")
def test_a_files_own_normalisation_is_said_and_not_contradicted(
    store: Store, tiny: str, tmp_path: Path
) -> None:
    file = WeightsFile(tmp_path / "theirs.pt")
    torch.save(normalised(0.4914, 0.2471), file.path)
    with pytest.raises(
        ConfigError, match=r"normalises images itself, by 0\.4914/0\.2471, .* asks for 0\.5/0\.5; leave"
    ):
        register_weights(store, file, tiny, "small-cnn", "0.5/0.5")
    with pytest.raises(ConfigError, match=r"normalize='dataset' asks for"):
        register_weights(store, file, tiny, "small-cnn", "dataset")
    assert store.runs() == []
    for normalize in ("none", "0.49139968/0.24703233"):
        run = register_weights(store, file, tiny, "small-cnn", normalize)
        assert "the file's own normalisation is used (0.4914/0.2471)" in run.status.message
        assert load_model(run, "file", "file").normalise.mean.item() == pytest.approx(0.4914)


@pytest.mark.usefixtures("typed")
def test_a_run_of_an_older_version_is_found_again(
    store: Store, tiny: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cfa import models

    real = models.save_weights

    def older(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
        real(path, weights, {n: text for n, text in metadata.items() if n not in ("branch", "reading")})

    monkeypatch.setattr(models, "save_weights", older)
    run = register_weights(store, WeightsFile(checkpoint), tiny, "small-cnn")
    assert register_weights(store, WeightsFile(checkpoint), tiny, "small-cnn").id == run.id


@pytest.mark.usefixtures("no_shipped_runs")
def test_the_command_takes_a_branch_and_says_it(cfa, home: Path, tiny: str, checkpoint: Path) -> None:
    result = cfa("evaluate", str(checkpoint), "--dataset", tiny, *OPTIONS)
    assert "theirs: weights from theirs.pt; taken from 'model/module'; 'ema' fits as well" in result.stderr
    cfa("evaluate", f"{checkpoint}#ema", "--dataset", tiny, *OPTIONS)
    assert {run.name: seed_of(run) for run in Store.open(home).runs()} == {"theirs": 1, "theirs-ema": 2}
    refused = cfa("evaluate", f"{checkpoint}#emma", "--dataset", tiny, *OPTIONS, code=1)
    assert "holds no weights below 'emma'" in refused.stderr


@pytest.mark.usefixtures("no_shipped_runs")
@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("folder", "folder is a folder; name a weights file in it"),
        ("no.pt#ema", "there is no weights file no.pt#ema"),
    ],
)
def test_what_is_no_file_is_said(cfa, tiny: str, tmp_path: Path, reference: str, says: str) -> None:
    (tmp_path / "folder").mkdir()
    assert says in cfa("evaluate", reference, "--dataset", tiny, *OPTIONS, code=2).stderr


@pytest.mark.usefixtures("no_shipped_runs")
def test_a_training_starts_from_a_branch_and_says_it(cfa, home: Path, tiny: str, tmp_path: Path) -> None:
    content = {"ema": {**normalised(0.5, 0.25), **bare(2)}, "model": normalised(0.5, 0.25)}
    torch.save(content, tmp_path / "a.pt")
    settings = SETTINGS | {"train.epochs": "1", "optimizer.lr": "1e-30"}
    train = ["train", "--method", "pgd-at", "--dataset", tiny, "--model", "small-cnn", "--preset", "demo"]
    train += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    cfa(*train, "--name", "t", "--init", "a.pt#ema", "--no-test")
    run = Store.open(home).find("t")
    assert run.config.init == f"{tmp_path}/a.pt#ema"
    said = "a.pt#ema; taken from 'ema'; the file's own normalisation is used (0.5/0.25)"
    assert said in run.log_file.read_text()
    trained = load_model(run, "online", "last").network.state_dict()
    assert all(torch.allclose(trained[name], bare(2)[name]) for name in ("conv1.weight", "linear.weight"))
