"""What a page refuses before there is a job is what the job would refuse, and nothing else."""

import numpy as np
import pytest
import torch

from cfa.data import Dataset, DatasetInfo
from cfa.errors import CfaError
from cfa.methods import METHODS, configure
from cfa.progress import Observer
from cfa.training.kept import averagers_of
from cfa.training.preparing import TrainingImages
from cfa.training.refusals import refusals


def dataset(counts, ratio=1.0) -> Dataset:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8)
    names = tuple(f"class {k}" for k in range(len(counts)))
    tested = torch.arange(len(counts))
    return Dataset("ours", names, images, labels, images[: len(counts)], tested, imbalance_ratio=ratio)


def described(data: Dataset, *, counted: bool = True) -> DatasetInfo:
    counts = tuple(torch.bincount(data.train_labels).tolist())
    return DatasetInfo(
        "ours",
        "Ours",
        data.num_classes,
        1,
        8,
        len(data.train_labels),
        data.num_classes,
        available=True,
        how_to_get="",
        imbalance_ratio=data.imbalance_ratio,
        train_counts=counts if counted else (),
    )


def of_the_job(config, data: Dataset) -> str:
    """Begin the training, and return what it refuses; empty where it begins."""
    try:
        images = TrainingImages.of(config, data, torch.device("cpu"))
        needs_fawa = METHODS[config.method].reported_with == "fawa"
        averagers_of(config, images.val.counts(data.num_classes), Observer(), needs_fawa=needs_fawa)
    except CfaError as error:
        return str(error)
    return ""


def asked(**changes):
    rng = np.random.default_rng(changes.pop("case"))
    counts = rng.integers(1, 60, size=rng.integers(2, 6)).tolist()
    overrides = {
        "train.batch_size": int(rng.integers(1, 150)),
        "data.val_fraction": float(rng.choice([0.02, 0.1, 0.5, 0.9])),
        "data.imbalance_ratio": float(rng.choice([1, 1, 5, 100])),
        "averaging.gate": str(rng.choice(["worst", "mean"])),
    }
    method = str(rng.choice(["trades-cfa", "trades"]))
    return configure(method, "ours", model="small-cnn", preset="demo", overrides=overrides), counts


@pytest.mark.parametrize("case", range(60))
def test_it_is_what_the_job_refuses(case):
    config, counts = asked(case=case)
    data = dataset(counts)
    told, refused = refusals(config, described(data)), of_the_job(config, data)
    assert bool(told) == bool(refused), (told, refused)
    if told:
        assert refused in told.values()


def test_both_answers_occur_among_the_cases():
    pairs = [asked(case=case) for case in range(60)]
    found = [set(refusals(config, described(dataset(counts)))) for config, counts in pairs]
    names = {"train.batch_size", "averaging.gate", "data.val_fraction", "data.imbalance_ratio"}
    assert set().union(*found) == names
    assert set() in found


def test_classes_that_nobody_has_counted_are_taken_for_equal():
    config = configure("trades-cfa", "ours", model="small-cnn", preset="demo")
    big = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": 4000})})
    info = described(dataset([1000, 1000, 1000]), counted=False)
    assert set(refusals(big, info)) == {"train.batch_size"}
    assert refusals(config, info) == {}


def test_a_data_set_for_tests_only_is_refused_by_its_name():
    config = configure("trades", "ours", model="small-cnn", preset="demo")
    info = DatasetInfo("ours", "Ours", 3, 1, 8, 0, 30, available=True, how_to_get="")
    assert set(refusals(config, info)) == {"dataset"}
