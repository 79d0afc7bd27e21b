"""What pages hand out holds the run whole, and nothing behind a link."""

import io
import shutil
import zipfile

import pandas as pd
import pytest

from app.engine import downloadable, evaluated
from cfa.errors import ConfigError, StoreError
from cfa.tables.frames import PER_CLASS_COLUMNS
from tests.app.engine.example_runs import run_called


def test_export_holds_the_folder_whole_and_the_five_tables(example_home):
    run = run_called("trades-cfa")
    with zipfile.ZipFile(io.BytesIO(downloadable.export_zip([run]))) as archive:
        names = set(archive.namelist())
        assert {f"{name}.csv" for name in ("per_class", "summary", "history", "knobs", "epochs")} <= names
        assert f"runs/{run.id}/config.json" in names
        with archive.open("per_class.csv") as file:
            exported = pd.read_csv(file)
    assert list(exported.columns) == PER_CLASS_COLUMNS
    assert exported["correct"].tolist() == evaluated.results([run]).per_class["correct"].tolist()


@pytest.mark.parametrize("linked", ["file", "folder", "run"])
def test_downloads_do_not_follow_links(own_home, tmp_path, linked):
    run = run_called("trades-cfa")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "best-fawa.safetensors").write_text("SECRET")
    file = run.folder.weights_file("fawa", "best")
    assert downloadable.weights_bytes(run, "fawa", "best") == file.read_bytes()
    assert not downloadable.is_link(run, "fawa", "best")
    place = {"file": file, "folder": file.parent, "run": run.folder.path}[linked]
    if linked == "file":
        place.unlink()
        place.symlink_to(secret / file.name)
    elif linked == "folder":
        shutil.rmtree(place)
        place.symlink_to(secret)
    else:
        place.symlink_to(shutil.move(place, secret / "run"))
    with pytest.raises(StoreError, match="link"):
        downloadable.weights_bytes(run, "fawa", "best")
    assert downloadable.is_link(run, "fawa", "best")
    if linked == "run":
        with pytest.raises(ConfigError, match="is a link"):
            downloadable.export_zip([run])
    else:
        assert b"SECRET" not in downloadable.export_zip([run])
