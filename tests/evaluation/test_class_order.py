"""A network answers with positions of classes: names at other positions are refused, other names are said."""

import dataclasses

import pytest
import torch

from cfa.data import Dataset
from cfa.errors import CheckpointError
from cfa.evaluation import EvaluationPlan, evaluate_weights
from cfa.models import ModelSpec, build_model, save_weights
from cfa.progress import Observer
from cfa.runs.folder import Manifest, RunFolder
from tests.support.resumed import make_run

LEARNT = ("cat", "dog", "T-shirt/top")


@pytest.fixture
def run(store) -> RunFolder:
    run = make_run(store, "learnt")
    spec = ModelSpec(num_classes=3, channels=1, image_size=8, mean=(0.0,), std=(1.0,))
    model = build_model("small-cnn", spec, seed=0)
    manifest = Manifest("", "", {}, "cpu", 1, "", LEARNT, (9, 9, 9), (1, 1, 1), dataclasses.asdict(spec))
    run.write_manifest(manifest)
    save_weights(run.weights_file("online", "best"), model.state_dict(), {"epoch": "1"})
    return run


def evaluated(run: RunFolder, names: tuple[str, ...]) -> tuple[str, ...]:
    """Evaluate on images whose classes have these names, and return the findings about names."""
    images = torch.randint(
        0, 256, (9, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    labels = torch.arange(9) % 3
    data = Dataset("others", names, images, labels, images, labels)
    plan = EvaluationPlan(attacks=())
    found = evaluate_weights(run, "online", "best", plan, data, torch.device("cpu"), Observer())
    return tuple(text for text in found.findings if "called" in text)


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (("dog", "cat", "T-shirt/top"), "'cat' is class 0 of the network and class 1 of others"),
        (("Dog", "T-shirt_top", "CAT"), "'cat' is class 0 of the network and class 2"),
        (("airplane", "bird", "dog"), "'dog' is class 1 of the network and class 2"),
    ],
    ids=["exchanged", "spelt otherwise", "one of them, among others"],
)
def test_classes_in_another_order_are_refused(run, names, refused) -> None:
    with pytest.raises(CheckpointError, match=refused):
        evaluated(run, names)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (LEARNT, 0),
        (("Cat", "DOG", "t-shirt top"), 0),
        (("cat", "dog", "shirt"), 1),
        (("0", "1", "2"), 1),
    ],
    ids=["the same", "spelt otherwise", "one called otherwise", "all called otherwise"],
)
def test_classes_that_are_called_otherwise_are_a_finding(run, names, said) -> None:
    found = evaluated(run, names)
    assert len(found) == said
    if said:
        assert f"{sum(a != b for a, b in zip(names, LEARNT, strict=True))} of 3" in found[0]
