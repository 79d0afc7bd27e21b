"""Rows in TensorBoard and MLflow, read back by the real packages."""

import sys
from pathlib import Path

import pytest

from cfa.errors import ConfigError
from cfa.results.rows import Epoch, Knobs, Scores, append_rows
from cfa.results.runs import Manifest, RunFolder
from cfa.results.trackers import RUN_TAG, scalars, to_mlflow, to_tensorboard

NAMES = ("T-shirt/top", "bee (honey)")


@pytest.fixture
def run(make_run, evaluated) -> RunFolder:
    run: RunFolder = make_run("mine", "trades-cfa")
    run.write_manifest(Manifest("", "", {}, "cpu", 1, "", NAMES, (1, 1), (1, 1), {}))
    rows = []
    for epoch in (1, 2):
        rows += [
            Scores(
                epoch=epoch,
                split="val",
                weights="online",
                attack="pgd-10",
                norm="linf",
                eps=0.1,
                correct=(epoch, 3 * epoch),
                total=(10, 10),
            ),
            Knobs(epoch=epoch, eps=(0.1, 0.2 * epoch), clean_weight=(0.0, 0.5), robust_weight=(1.0, 0.5)),
            Epoch(
                epoch=epoch,
                learning_rate=0.1,
                loss=None if epoch == 1 else 1.5,
                seconds=2.0,
                images_per_second=9.0,
                gate_worst=0.1 * epoch,
                gate_threshold=0.2,
                gate_accepted=epoch == 2,
            ),
        ]
    append_rows(run.history_file, rows)
    evaluated(run, {"pgd-20": (50, 30)}, total=(100, 100), weights="fawa")
    return run


EXPECTED = {
    "val/pgd-10/online/mean": {1: 0.2, 2: 0.4},
    "val/pgd-10/online/worst": {1: 0.1, 2: 0.2},
    "val/pgd-10/online/class/bee _honey_": {1: 0.3, 2: 0.6},
    "eps/bee _honey_": {1: 0.2, 2: 0.4},
    "beta/bee _honey_": {1: 1.0, 2: 1.0},
    "epoch/loss": {2: 1.5},
    "epoch/gate_accepted": {1: 0.0, 2: 1.0},
    "test/pgd-20/fawa _best_/worst": {3: 0.3},
}


def test_scalars_are_those_of_the_rows(run: RunFolder) -> None:
    found: dict[str, dict[int, float]] = {}
    for scalar in scalars(run):
        found.setdefault(scalar.name, {})[scalar.epoch] = scalar.value
    for name, values in EXPECTED.items():
        assert found[name] == pytest.approx(values), name
    assert "beta/T-shirt/top" not in found  # no clean term, no beta


def test_tensorboard_reads_them_and_a_second_export_replaces_it(run: RunFolder, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for _ in range(2):
        (folder,) = to_tensorboard([run], tmp_path / "tb")
    assert folder.name == "mine"
    assert len(list(folder.iterdir())) == 1
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    for name, values in EXPECTED.items():
        read = {event.step: event.value for event in events.Scalars(name)}
        assert read == pytest.approx(values, abs=1e-6), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_mlflow_reads_them_and_a_second_export_adds_nothing(run: RunFolder, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    (made,) = to_mlflow([run], uri)
    assert to_mlflow([run], uri) == []
    client = mlflow.MlflowClient(tracking_uri=uri)
    for name, values in EXPECTED.items():
        history = {metric.step: metric.value for metric in client.get_metric_history(made, name)}
        assert history == pytest.approx(values), name
    read = client.get_run(made)
    assert read.info.run_name == "mine"
    assert read.info.status == "FINISHED"
    assert read.data.tags[RUN_TAG] == run.id
    assert read.data.params["attack.steps"] == str(run.config.attack.steps)


@pytest.mark.parametrize(
    ("module", "export"),
    [
        ("torch.utils.tensorboard", lambda run, folder: to_tensorboard([run], folder)),
        ("mlflow", lambda run, folder: to_mlflow([run], f"sqlite:///{folder}/x.db")),
    ],
)
def test_what_is_not_installed_is_said(
    run: RunFolder, tmp_path: Path, monkeypatch, module: str, export
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match="is not installed"):
        export(run, tmp_path)


def test_the_command_asks_where_to(cfa, home: Path) -> None:
    assert "--tensorboard FOLDER or --mlflow URI" in cfa("export", "shipped-trades-s0", code=2).stderr
