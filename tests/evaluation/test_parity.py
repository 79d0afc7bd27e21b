"""The reference mode is pyautoattack's own evaluation, image for image; what the package cannot do works."""

import logging
from typing import Any

import numpy as np
import pyautoattack
import pytest
import torch
from torch import nn

from cfa.attacks import AutoAttack, own_tracing
from cfa.attacks.autoattack import Version, autoattack
from cfa.data import Dataset, to_float
from cfa.errors import ConfigError
from cfa.evaluation import EvaluationPlan, Outcomes, attack_images
from cfa.models import SmallCNN
from cfa.notation import Norm
from cfa.progress import Observer
from tests.support import staged
from tests.support.tiny import CPU

BATCH = 8


@pytest.fixture(scope="module")
def ours() -> Outcomes:
    plan = EvaluationPlan(attacks=("autoattack",), eps=staged.EPS, batch_size=BATCH, seed=3)
    return attack_images(staged.staged_network(), staged.staged_dataset(), plan, CPU, Observer())


@pytest.fixture(scope="module")
def theirs() -> tuple[np.ndarray, np.ndarray]:
    """Their adversarial images and predicted classes."""
    data = staged.staged_dataset()
    logger = logging.getLogger("auto-attack")
    level, logger.disabled = logger.disabled, True
    with torch.random.fork_rng(devices=[]), own_tracing():  # their check would end the coverage's tracing
        adversary = pyautoattack.AutoAttack(staged.staged_network(), norm="Linf", eps=staged.EPS, seed=3)
        x_adv, predicted = adversary.run_standard_evaluation(
            to_float(data.test_images), data.test_labels, batch_size=BATCH
        )
    logger.disabled = level
    return x_adv.numpy(), predicted.numpy()


def test_every_member_breaks_some_images_and_some_hold(ours: Outcomes) -> None:
    by = ours.broken_by["autoattack/by"]
    assert {name: int((by == name).sum()) for name in staged.BREAKER.values()} == dict.fromkeys(
        staged.BREAKER.values(), 3
    )
    assert int((ours.predictions["autoattack"] == ours.label).sum()) == 3


def test_the_reference_mode_is_the_package_image_for_image(
    ours: Outcomes, theirs: tuple[np.ndarray, np.ndarray]
) -> None:
    x_adv, predicted = theirs
    np.testing.assert_array_equal(ours.predictions["autoattack"], predicted)
    kept = ours.adversarial
    assert kept is not None
    assert len(kept) == 12
    for image, found in zip(kept.image, kept.images, strict=True):
        np.testing.assert_array_equal(found, x_adv[image])


def test_each_member_attacks_what_the_ones_before_left(ours: Outcomes) -> None:
    left = ours.predictions["clean"] == ours.label
    for name in ("apgd-ce", "apgd-t", "fab-t", "square"):
        found = ours.predictions[f"autoattack/{name}"]
        np.testing.assert_array_equal(found != -1, left)
        broken = left & (found != ours.label)
        np.testing.assert_array_equal(broken, ours.broken_by["autoattack/by"] == name)
        np.testing.assert_array_equal(ours.predictions["autoattack"][broken], found[broken])
        left = left & ~broken
    np.testing.assert_array_equal(left, ours.predictions["autoattack"] == ours.label)


def test_what_the_package_only_prints_stands_beside_the_number(ours: Outcomes) -> None:
    assert any(sentence.startswith("zero gradients: autoattack/apgd-t") for sentence in ours.findings)
    assert any("Square beat the gradient attacks: it broke 3 more" in sentence for sentence in ours.findings)


# The package's own settings, attribute by attribute ----------------------------------------------------

SETTINGS = {
    "apgd": ("n_iter", "n_restarts", "eot_iter", "thr_decr", "use_largereps", "eps", "norm", "n_iter_orig"),
    "apgd_targeted": ("n_iter", "n_restarts", "eot_iter", "thr_decr", "use_largereps", "n_target_classes"),
    "fab": ("n_iter", "n_restarts", "eps", "alpha_max", "eta", "beta", "norm"),
    "square": ("n_queries", "n_restarts", "eps", "p_init", "loss", "rescale_schedule", "norm"),
}
ATTRIBUTE = {"apgd-t": "apgd_targeted", "square": "square", "fab": "fab", "fab-t": "fab"}


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("version", ["standard", "plus", "rand", "custom"])
def test_every_version_has_the_settings_of_the_package(version: Version, norm: Norm) -> None:
    chosen = ["apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"] if version == "custom" else None
    package = {"linf": "Linf", "l2": "L2", "l1": "L1"}[norm]
    model = nn.Identity()
    theirs = pyautoattack.AutoAttack(model, norm=package, eps=0.25, seed=0, version=version, attacks=chosen)
    ours = autoattack(version, norm, chosen or ())
    assert [member.name for member in ours.members] == list(theirs.attacks_to_run)
    for member in ours.members:
        attribute = ATTRIBUTE.get(member.name, "apgd")
        reference = getattr(theirs, attribute)
        if member.name == "fab-t":
            reference.n_restarts = 1  # what their loop does before it runs
        built: Any = member._build(model, 0.25, 0, CPU, logging.Logger("unused"))
        for name in SETTINGS[attribute]:
            assert getattr(built, name) == getattr(reference, name), (member.name, name)
        if member.targets:
            assert built.n_target_classes == reference.n_target_classes


# Fewer than ten classes, and more -------------------------------------------------------------------------

RUNS = {
    2: {"apgd-ce": 0, "fab-t": 1, "square": 0},
    3: {"apgd-ce": 0, "apgd-dlr": 0, "fab-t": 2, "square": 0},
    4: {"apgd-ce": 0, "apgd-t": 3, "fab-t": 3, "square": 0},
    9: {"apgd-ce": 0, "apgd-t": 8, "fab-t": 8, "square": 0},
    10: {"apgd-ce": 0, "apgd-t": 9, "fab-t": 9, "square": 0},
    100: {"apgd-ce": 0, "apgd-t": 9, "fab-t": 9, "square": 0},
    200: {"apgd-ce": 0, "apgd-t": 9, "fab-t": 9, "square": 0},
}


@pytest.mark.parametrize("classes", RUNS)
def test_what_runs_is_fitted_to_the_number_of_classes(classes: int) -> None:
    fitted, changed = autoattack("standard", "linf").for_classes(classes)
    assert {member.name: member.targets for member in fitted.members} == RUNS[classes]
    assert bool(changed) == (classes < 10)


def test_in_l1_five_targets_are_tried() -> None:
    for classes, targets in ((4, 3), (6, 5), (10, 5), (100, 5)):
        members = {m.name: m for m in autoattack("standard", "l1").for_classes(classes)[0].members}
        assert members["apgd-t"].targets == targets


def test_plus_with_three_classes_runs_no_attack_twice() -> None:
    fitted, _ = autoattack("plus", "linf").for_classes(3)
    assert [member.name for member in fitted.members] == ["apgd-ce", "apgd-dlr", "fab", "square", "fab-t"]


@pytest.mark.parametrize("name", ["apgd-dlr", "apgd-t"])
def test_the_dlr_loss_alone_is_refused_for_two_classes(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} does not exist for 2 classes.*choose apgd-ce"):
        autoattack("alone", "linf", (name,)).for_classes(2)


def some_network(classes: int) -> tuple[SmallCNN, Dataset]:
    """Make a network with random weights and images that it gets right, but for a few."""
    generator = torch.Generator().manual_seed(classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(classes)
        model = SmallCNN(1, classes, 6).eval()
    images = torch.randint(0, 256, (40, 1, 6, 6), generator=generator).to(torch.uint8)
    with torch.no_grad():
        # Without this, random networks answer with the same class whatever they see.
        model.linear.bias -= model(to_float(images)).mean(0)
        labels = model(to_float(images)).argmax(1)
    labels[:classes] = torch.arange(classes)  # a data set needs an image of every class
    return model, Dataset("some", tuple(f"class {k}" for k in range(classes)), images, labels, images, labels)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("classes", [2, 3, 4, 9])
def test_networks_with_few_classes_run_through(
    classes: int, norm: Norm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cfa.attacks.autoattack.QUERIES", 100)
    monkeypatch.setattr("cfa.attacks.autoattack.ITERATIONS", 10)
    model, data = some_network(classes)
    eps = {"linf": 0.02, "l2": 0.1, "l1": 0.4}[norm]
    plan = EvaluationPlan(attacks=("autoattack",), norm=norm, eps=eps, batch_size=50)
    found = attack_images(model, data, plan, CPU, Observer())
    names = [name.partition("/")[2] for name in found.predictions if "/" in name]
    expected = dict(RUNS[classes])
    assert names == list(expected)
    settings = plan.settings("autoattack", classes)
    targets = {member["name"]: member["targets"] for member in settings["members"]}
    if norm == "l1" and classes == 9:
        expected["apgd-t"] = 5
    assert targets == expected
    assert settings["changed"]
    assert any("autoattack: fab-t tried" in sentence for sentence in found.findings)
    right = found.predictions["clean"] == found.label
    holds = found.predictions["autoattack"] == found.label
    assert 0 < holds.sum() < right.sum()


def test_the_list_attacks_one_batch_like_any_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cfa.attacks.autoattack.QUERIES", 50)
    monkeypatch.setattr("cfa.attacks.autoattack.ITERATIONS", 10)
    model, data = some_network(4)
    x, y = to_float(data.test_images), data.test_labels
    attack: AutoAttack = autoattack("standard", "linf")
    found = attack(model, x, y, 0.02, generator=torch.Generator().manual_seed(0))
    assert (found - x).abs().max() <= 0.02 + 1e-6
    plan = EvaluationPlan(attacks=("autoattack",), eps=0.02, batch_size=len(x))
    outcomes = attack_images(model, data, plan, CPU, Observer())
    np.testing.assert_array_equal(model(found).argmax(1).numpy(), outcomes.predictions["autoattack"])
