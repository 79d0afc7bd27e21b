"""A table of when each method begins to act: four epochs beside its plain version, equal until then.

What acts late in a full schedule (a warm-up, a rule that asks once, a perturbation that waits) is scaled here
to begin in epoch 2, as a short run does it. A new method adds a row.
"""

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cfa.config import RunConfig
from cfa.data import Dataset, load_dataset, load_folder
from cfa.methods import METHODS, configure
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Epoch, KnobValues
from tests.data.test_image_folder import noise
from tests.support.tiny import go_on, tiny_run

EPOCHS = 4
OF_EACH_CLASS = 24  # a third of them validates
DIFFERENT = 1e-4
SHORT: Mapping[str, Any] = {
    "attack.steps": 3,
    "averaging.gate": "mean",
    "averaging.start_epoch": EPOCHS + 1,  # no averages: nobody reads them here
    "data.val_fraction": 1 / 3,
    "train.batch_size": 32,
    "train.epochs": EPOCHS,
}
STARTED_NEAR: Mapping[str, Any] = {"attack.start": "normal", "attack.bn_mode": "eval"}
FROM_THE_BALL: Mapping[str, Any] = {"attack.start": "uniform", "attack.bn_mode": "train"}
EVEN: Mapping[str, Any] = {"method.tau": 0}
TAET_FROM_2: Mapping[str, Any] = {"method.ce_epochs": 1}
FROM_2: Mapping[str, Any] = {"method.warmup_epochs": 1}
DAFA_FROM_2: Mapping[str, Any] = {"method.dafa_warmup": 1}


@dataclass(frozen=True, kw_only=True)
class Row:
    """When a method differs from what it is compared with.

    Attributes:
        acts_from: The first epoch in which its loss differs; until then neither loss nor common knobs do.
        settings: Its own, which scale its start to that epoch.
        against: What it is compared with, where that is not its plain version.
        plain: Settings of that one.
        long_tail: Largest over smallest class of what both train on; of the folder of 200 classes always 1.
    """

    acts_from: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    against: str = ""
    plain: Mapping[str, Any] = field(default_factory=dict)
    long_tail: int = 1


ROOT = "pgd-at"
"""What everything is made of; it is nobody's variation."""

ROWS: dict[str, Row] = {
    "at-bsl": Row(acts_from=1, long_tail=4, plain=STARTED_NEAR),
    "at-bsl-cfa": Row(acts_from=2, long_tail=4, settings=FROM_2),
    "bat": Row(acts_from=1),
    "cfol": Row(acts_from=1),  # it draws with replacement from the first batch on
    "csr": Row(acts_from=1),
    "csr-scratch": Row(acts_from=1),
    "dafa": Row(acts_from=2, settings={**DAFA_FROM_2, "method.lambda_weight": 20}),
    "cgr": Row(acts_from=1, long_tail=4, plain=FROM_THE_BALL),
    # Beside the control: the same loss on an even mix of classes.
    "faal": Row(acts_from=1, against="faal", plain=EVEN),
    "faal-awp": Row(acts_from=1, against="faal-awp", plain=EVEN),
    "faal-trades": Row(acts_from=1, against="faal-trades", plain=EVEN),
    "absld": Row(acts_from=2),
    "ard": Row(acts_from=1, against="pgd-at"),
    "fair-ard": Row(acts_from=2),
    "fair-rslad": Row(acts_from=2),
    "rslad": Row(acts_from=1, against="pgd-at"),
    "fair-tat": Row(acts_from=1),  # from the first batch on its attack is targeted
    "fat": Row(acts_from=1, against="pgd-at", settings={"method.tau": 0}),
    "fat-cfa": Row(acts_from=2, settings=FROM_2),
    "fat-var": Row(acts_from=1),
    # It is asked before epoch 1; beta 1.5 and relative steps are its own too.
    "frl": Row(acts_from=1, against="trades"),
    "hat": Row(acts_from=1, settings={"method.helper_epochs": 1}),
    "ikl": Row(acts_from=1),
    "ikl-awp": Row(acts_from=2, settings={"method.awp_start": 2}),
    "lbgat": Row(acts_from=1),
    "mart": Row(acts_from=1),
    "pgd-at-awp": Row(acts_from=2, settings={"method.awp_start": 2}),
    "pgd-at-cfa": Row(acts_from=2, settings=FROM_2),
    # Two steps where PGD-AT takes one, from another start, in eval mode.
    "pgd-at-dafa": Row(
        acts_from=2,
        settings=DAFA_FROM_2,
        plain={"attack.start": "normal", "attack.bn_mode": "eval", "attack.step_size": "eps/2"},
    ),
    # In epoch 1 no image is moved.
    "pgd-at-robust-lt": Row(acts_from=1, long_tail=4),
    "reat": Row(acts_from=1, long_tail=4, plain={"attack.bn_mode": "eval"}),
    "reat-robust-lt": Row(acts_from=1, long_tail=4, plain=FROM_THE_BALL),
    "robal": Row(acts_from=1, long_tail=4),
    "robal-robust-lt": Row(acts_from=1, long_tail=4, plain=FROM_THE_BALL),
    "robust-lt": Row(acts_from=1, long_tail=4, plain=FROM_THE_BALL),
    # Its first epoch is clean.
    "taet": Row(acts_from=1, settings=TAET_FROM_2, long_tail=4, plain=STARTED_NEAR),
    # Later than its base, whose first epoch is clean as well.
    "taet-robust-lt": Row(
        acts_from=2, settings=TAET_FROM_2, long_tail=4, plain={**TAET_FROM_2, **FROM_THE_BALL}
    ),
    "trades": Row(acts_from=1, against="pgd-at"),
    "trades-awp": Row(acts_from=2, settings={"method.awp_start": 2}),
    "trades-cgr": Row(acts_from=1, long_tail=4),
    "trades-ccm": Row(acts_from=2, settings=FROM_2),
    "trades-ccr": Row(acts_from=2, settings=FROM_2),
    "trades-cfa": Row(acts_from=2, settings=FROM_2),
    "wat": Row(acts_from=1),  # twice TRADES while all weights are 1
}


def test_every_method_has_a_row() -> None:
    assert set(ROWS) == set(METHODS) - {ROOT}


@pytest.mark.parametrize("method", METHODS)
def test_it_differs_from_its_plain_version_once_it_acts_and_not_before(method: str) -> None:
    if method == ROOT:
        assert not METHODS[method].plain
        return
    row = ROWS[method]
    tail = ("data.imbalance_ratio", row.long_tail)
    losses, knobs = trained(method, (*row.settings.items(), tail))
    plain_losses, plain_knobs = trained(
        row.against or METHODS[method].compared_with, (*row.plain.items(), tail)
    )
    for epoch in range(1, EPOCHS + 1):
        distance = abs(losses[epoch] - plain_losses[epoch])
        if epoch >= row.acts_from:
            assert distance > DIFFERENT, f"epoch {epoch}"
            continue
        assert distance <= DIFFERENT, f"epoch {epoch}"
        for name in knobs[epoch].keys() & plain_knobs[epoch].keys():
            assert knobs[epoch][name] == pytest.approx(plain_knobs[epoch][name], abs=DIFFERENT)


@pytest.mark.parametrize("method", METHODS)
def test_it_trains_on_a_folder_of_200_classes(tmp_path: Path, many: Dataset, method: str) -> None:
    row = ROWS.get(method)
    config = short(method, many.name, {"attack.steps": 1, **(row.settings if row else {})})
    run = in_four_epochs(tmp_path, config, many)
    assert [one.epoch for one in run.rows() if isinstance(one, Epoch)] == [1, 2, 3, 4]
    assert run.status.state == "finished"


# What they train on ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Make a folder of 200 classes: three images of each to train on, one to test on."""
    root = tmp_path_factory.mktemp("many") / "many"
    for number in range(200):
        for part, image in (("train", 0), ("train", 1), ("train", 2), ("test", 0)):
            noise(root / part / f"{number:03d}" / f"{image}.png", seed=4 * number + image, size=(8, 8))
    return load_folder(root, tmp_path_factory.mktemp("cache"))


@functools.cache
def few() -> Dataset:
    """Take the first images of each class of the embedded data."""
    whole = load_dataset("fashion-mnist-mini", Path())
    train = first_of_each(whole.train_labels, OF_EACH_CLASS)
    test = first_of_each(whole.test_labels, 2)
    return Dataset(
        whole.name,
        whole.class_names,
        whole.train_images[train],
        whole.train_labels[train],
        whole.test_images[test],
        whole.test_labels[test],
    )


def first_of_each(labels: Tensor, count: int) -> Tensor:
    return torch.cat([torch.nonzero(labels == label).flatten()[:count] for label in labels.unique()])


# Runs ------------------------------------------------------------------------------------------------------


def short(method: str, dataset: str, settings: Mapping[str, Any]) -> RunConfig:
    return configure(method, dataset, model="small-cnn", preset="demo", overrides={**SHORT, **settings})


def in_four_epochs(folder: Path, config: RunConfig, dataset: Dataset) -> RunFolder:
    run = tiny_run(folder, config)
    go_on(run, dataset)
    return run


@functools.cache
def trained(
    method: str, settings: tuple[tuple[str, Any], ...]
) -> tuple[dict[int, float], dict[int, Mapping[str, Any]]]:
    """Train, and return the loss and the knobs of each epoch."""
    with tempfile.TemporaryDirectory() as folder:
        config = short(method, few().name, dict(settings))
        rows = in_four_epochs(Path(folder), config, few()).rows()
    losses = {row.epoch: row.loss for row in rows if isinstance(row, Epoch) and row.loss is not None}
    return losses, {row.epoch: row.values for row in rows if isinstance(row, KnobValues)}
