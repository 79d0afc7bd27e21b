"""The form that takes weights of others: a branch of a file is chosen, and it is said what was taken."""

import pytest
import torch

from app.engine import brought_models, snapshots
from cfa.errors import CheckpointError
from cfa.models import ModelSpec, build_model
from tests.app.pages import start, words

HOW = ("fashion-mnist-mini", "small-cnn", "none", "")


@pytest.fixture
def two(tmp_path):
    """Write a file with weights and their average, both of Fashion-MNIST's small network."""
    network = build_model("small-cnn", ModelSpec(1, 10, 28, (0.0,), (1.0,)), seed=1).network.state_dict()
    torch.save({"ema": {n: w + w for n, w in network.items()}, "model": network}, tmp_path / "two.pt")
    return tmp_path / "two.pt"


@pytest.mark.parametrize(
    ("key", "name", "says"),
    [
        ("", "two", "taken from 'model'; 'ema' fits as well, and 'two.pt#ema' takes that"),
        ("#ema", "two-ema", "weights from two.pt; taken from 'ema'"),
    ],
    ids=["the file", "a branch of it"],
)
def test_a_branch_of_a_file_is_chosen_and_said(own_home, two, key, name, says):
    app = start()
    app.switch_page("views/evaluate.py").run()
    app.text_input(key="own_path").set_value(f"{two}{key}")
    app.selectbox(key="own_dataset").set_value("fashion-mnist-mini")
    next(item for item in app.button if item.label == "Add this model").click().run()
    assert not app.exception
    assert app.multiselect(key="evaluate").value == [snapshots.find_run(name).id]
    assert words(app).count(says) == 2  # when it is added, and beside the choice


def test_a_branch_of_an_upload_is_chosen(own_home, two):
    run = brought_models.add_uploaded_model("a#b.pt", two.read_bytes(), *HOW, "ema")
    assert run.status.message == "weights from a-b.pt; taken from 'ema'"
    with pytest.raises(CheckpointError, match=r"^a-b\.pt#emma holds no weights below 'emma'"):
        brought_models.add_uploaded_model("a#b.pt", two.read_bytes(), *HOW, "emma")
