"""What a browser calls an upload leads nowhere."""

import pytest

from app.engine import brought_models
from app.process import opened
from cfa.errors import CfaError
from tests.app.engine.example_runs import run_called

UPLOADS = {
    "../../evil.safetensors": "evil",
    "/etc/passwd": "passwd",
    "C:\\somewhere\\mine.pt": "mine",
    "..": "weights",
    "...": "weights",
    "": "weights",
    "a\0b.pt": "a-b",
    "\x1b[2J.pt": "2J",
    "=cmd|x.pt": "cmd-x",
    "![](x).pt": "x",
    "a\nb.pt": "a-b",
    "a:b.pt": "a-b",
    "猫" * 300 + ".pt": "猫" * 57,
}


@pytest.mark.parametrize(("sent", "name"), UPLOADS.items(), ids=[repr(sent)[:20] for sent in UPLOADS])
def test_the_name_of_an_upload_leads_nowhere(own_home, tmp_path, monkeypatch, sent, name):
    scratch = tmp_path / "scratch" / "deep"
    scratch.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    content = run_called("trades-cfa").folder.weights_file("fawa", "best").read_bytes()
    made = brought_models.add_uploaded_model(sent, content, "fashion-mnist-mini", "small-cnn", "none", "")
    assert made.name == name
    assert list((tmp_path / "scratch").iterdir()) == [scratch]
    assert list(scratch.iterdir()) == []
    assert made.path.parent == opened.store().runs_folder
    with pytest.raises(CfaError) as raised:
        brought_models.add_uploaded_model(sent, b"garbage", "fashion-mnist-mini", "small-cnn", "none", "")
    assert str(scratch) not in str(raised.value)
    assert str(raised.value).isprintable()
