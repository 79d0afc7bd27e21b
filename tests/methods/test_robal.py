"""RoBal's margins and prior with numpy, and its head from training to evaluation."""

from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch

from cfa.evaluation.loading import load_model
from cfa.methods.catalogue.robal import RobalSettings, robal, with_margins
from cfa.models.heads import CosineHead
from cfa.progress import Observer
from cfa.training import fit
from tests.support.tiny import CPU, stopped, tiny_config, tiny_dataset, tiny_run, trained
from tests.support.worked import adversarial, batch_of, same

COSINES, MOVED, CLASSES, COUNTS = (
    [[0.4, 0.1, 0.0], [0.0, 0.3, 0.6]],
    [[0.2, 0.3, 0.0], [0.1, 0.5, 0.2]],
    [0, 2],
    (100, 50, 10),
)
MARGINS = 0.1 + 0.3 * np.log(np.array(COUNTS) / 10) / 10


def expected(moved: list[list[float]]) -> np.ndarray:
    logits = 10 * np.array(moved)
    for image, true in enumerate(CLASSES):
        logits[image, true] -= 10 * MARGINS[true]
    return logits + 1.5 * np.log(np.array(COUNTS) / sum(COUNTS))


def test_the_true_class_keeps_a_margin_that_grows_with_its_size() -> None:
    batch = batch_of(COSINES, CLASSES, counts=COUNTS)
    found = with_margins(RobalSettings(), torch.tensor(MOVED, dtype=torch.float64), batch)
    np.testing.assert_allclose(found.numpy(), expected(MOVED), rtol=1e-9)
    # Class 2, the smallest, has the margin of 0.1 alone: 10 (0.2 - 0.1) + 1.5 ln(10 / 160).
    assert float(found[1, 2]) == pytest.approx(1 - 1.5 * np.log(16), abs=1e-9)


def test_the_kl_is_that_of_the_cosines_themselves() -> None:
    batch = batch_of(COSINES, CLASSES, counts=COUNTS)
    found = robal(RobalSettings(), same, batch, adversarial(MOVED)).per_sample
    log_p = scipy.special.log_softmax(expected(MOVED), axis=1)
    p, q = (scipy.special.softmax(np.array(logits), axis=1) for logits in (COSINES, MOVED))
    kl = (p * np.log(p / q)).sum(axis=1)
    np.testing.assert_allclose(found.numpy(), -log_p[[0, 1], CLASSES] + 6 * kl, rtol=1e-9)


def test_its_head_is_trained_stopped_resumed_and_loaded(tmp_path: Path) -> None:
    data, config = tiny_dataset(spread=2), tiny_config("robal", train__epochs=2)
    run = tiny_run(tmp_path / "stopped", config)
    stopped(run, data, after=3)
    fit(run, data, CPU, Observer())
    whole = trained(tmp_path / "whole", config, data)
    x = data.test_images[:5].float() / 255
    models = [load_model(one, "online", "last") for one in (run, whole)]
    assert all(isinstance(model.network.linear, CosineHead) for model in models)
    one, two = (model(x) for model in models)
    assert torch.equal(one, two)
    assert float(one.detach().abs().max()) <= 1
    assert run.manifest is not None
    assert run.manifest.model["head"] == "cosine"
