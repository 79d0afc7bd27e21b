"""Rows in TensorBoard and MLflow, read back by the real packages."""

import json
import sys
from pathlib import Path

import pytest

from cfa.errors import ConfigError, StoreError
from cfa.runs.folder import Label, Manifest, RunFolder
from cfa.runs.rows import Epoch, KnobValues, Scores, append_rows
from cfa.tables.trackers import RUN_TAG, scalars, to_mlflow, to_tensorboard

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
            KnobValues(
                epoch=epoch,
                values={"eps": (0.1, 0.2 * epoch), "clean_weight": (0.0, 0.5), "robust_weight": (1.0, 0.5)},
            ),
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
    "val/pgd-10/online/class/bee _x28_honey_x29_": {1: 0.3, 2: 0.6},
    "eps/bee _x28_honey_x29_": {1: 0.2, 2: 0.4},
    "beta/bee _x28_honey_x29_": {1: 1.0, 2: 1.0},
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
    assert "beta/T-shirt_x2F_top" not in found  # no clean term, no beta


def test_weights_that_no_beta_stands_for_are_kept(run: RunFolder) -> None:
    """FRL divides its losses by the weights' sums, so that they do not sum to 1."""
    values = {"eps": (0.1, 0.1), "clean_weight": (0.5, 1.8), "robust_weight": (0.9, 2.4)}
    append_rows(run.history_file, [KnobValues(epoch=3, values=values)])
    found = {scalar.name: scalar.value for scalar in scalars(run) if scalar.epoch == 3}
    assert found["clean_weight/bee _x28_honey_x29_"] == 1.8
    assert found["robust_weight/bee _x28_honey_x29_"] == 2.4


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


# Names of classes and runs -------------------------------------------------------------------------------

ALIKE = (
    *(
        "a,b",
        "a:b",
        "a?b",
        "a/b",
        "a_b",
        "a b",
        "a.b",
        "a-b",
        "ab",
        "A,b",
        "a,,b",
        "a\nb",
        "a_x2C_b",
        "_x2C_",
    ),
    *(",", "_x", "_x,", "\x02x2C_", "..", ".", "...", "", " ", "a ", " a", "../../a", "/a", "a//b", "a/./b"),
    *(
        "x" * 300,
        "x" * 299 + "y",
        "\u732b",
        "\u00e9",
        "e\u0301",
        "\x1b[2J",
        "%s",
        "a'b",
        'a"b',
        "a`b",
        "007",
        "1e5",
    ),
)


@pytest.fixture
def many(make_run, evaluated) -> RunFolder:
    """A run whose classes have names that are easily mixed up, each with an accuracy of its own."""
    run: RunFolder = make_run("many")
    run.write_manifest(Manifest("", "", {}, "cpu", 1, "", ALIKE, (1,) * len(ALIKE), (1,) * len(ALIKE), {}))
    knobs = {"clean_weight": (1.0,) * len(ALIKE), "robust_weight": (1.0,) * len(ALIKE)}
    eps = tuple((index + 1) / 1000 for index in range(len(ALIKE)))
    append_rows(run.history_file, [KnobValues(epoch=1, values={"eps": eps, **knobs})])
    return run


def test_every_class_has_a_metric_of_its_own(many: RunFolder) -> None:
    found = {scalar.name: scalar.value for scalar in scalars(many) if scalar.name.startswith("eps/")}
    assert sorted(found.values()) == [(index + 1) / 1000 for index in range(len(ALIKE))]
    parts = [name.removeprefix("eps/") for name in found]
    assert all("/" not in part and part.strip(". ") and len(part) <= 100 for part in parts)
    assert {"a_b", "a b", "a.b", "a-b", "ab", "007", "1e5", "\u732b"} <= set(parts)  # as they are written


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_both_trackers_take_every_class(many: RunFolder, tmp_path: Path) -> None:
    expected = {s.name: s.value for s in scalars(many) if s.name.startswith("eps/")}
    mlflow = pytest.importorskip("mlflow")
    (made,) = to_mlflow([many], f"sqlite:///{tmp_path / 'mlflow.db'}")
    read = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(made).data.metrics
    assert {name: read[name] for name in expected} == pytest.approx(expected)
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (folder,) = to_tensorboard([many], tmp_path / "tb")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("eps/")]
    assert {tag: events.Scalars(tag)[0].value for tag in tags} == pytest.approx(expected)


def renamed(run: RunFolder, name: object) -> RunFolder:
    (run.path / "label.json").write_text(json.dumps({"name": name, "tags": [], "notes": ""}))
    return run


@pytest.mark.parametrize(
    "name", ["../../out", "/tmp/out", "..", ".", "", "a/b", "a\x00b", "a\nb", "x" * 300, "-x"]
)
def test_tensorboard_writes_below_the_folder_that_was_asked_for(run: RunFolder, tmp_path: Path, name) -> None:
    before = {path for path in tmp_path.rglob("*") if run.path not in path.parents}
    (folder,) = to_tensorboard([renamed(run, name)], tmp_path / "deep" / "tb")
    assert folder == tmp_path / "deep" / "tb" / run.id
    new = {path for path in tmp_path.rglob("*") if run.path not in path.parents} - before
    assert all(path.is_relative_to(tmp_path / "deep") for path in new)


def test_tensorboard_follows_no_link_that_lies_in_its_folder(run: RunFolder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    theirs = elsewhere / "events.out.tfevents.1"
    theirs.write_text("somebody's")
    (tmp_path / "tb").mkdir()
    (tmp_path / "tb" / "mine").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="is a link"):
        to_tensorboard([run], tmp_path / "tb")
    assert theirs.read_text() == "somebody's"


def test_two_runs_of_one_name_keep_their_events_apart(run: RunFolder, make_run, tmp_path: Path) -> None:
    copied = renamed(make_run("copied"), "mine")  # a folder that was copied into the store
    folders = to_tensorboard([run, copied], tmp_path / "tb")
    assert [folder.name for folder in folders] == ["mine", copied.id]
    assert all(len(list(folder.iterdir())) == 1 for folder in folders)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_mlflow_reads_notes_as_text_and_ids_as_ids(run: RunFolder, store, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run.write_label(Label("mine", ("a",), "![](http://a.test/x)\n<b>bold</b>"))
    (made,) = to_mlflow([run], uri)
    note = mlflow.MlflowClient(tracking_uri=uri).get_run(made).data.tags["mlflow.note.content"]
    assert "![](" not in note
    assert "<b>" not in note
    quoted = RunFolder(run.path.rename(run.path.with_name("x' OR tags.`a` = 'b")))
    with pytest.raises(ConfigError, match="no usable id"):
        to_mlflow([quoted], uri)
