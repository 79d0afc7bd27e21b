"""Evaluating while a run trains, in the same process, changes nothing of the run."""

from pathlib import Path

import pytest
import torch

from cfa.evaluation import EvaluationPlan, attack_images
from cfa.models import SmallCNN
from cfa.progress import Observer
from cfa.training import fit
from tests.support.tiny import (
    CPU,
    assert_same_weights,
    timeless,
    tiny_config,
    tiny_dataset,
    tiny_run,
    trained,
)


class Evaluating(Observer):
    """Runs AutoAttack on another model after every epoch."""

    def __init__(self) -> None:
        self.evaluations = 0
        self.plan = EvaluationPlan(
            attacks=("autoattack", "pgd-5", "noise", "fab-min"), eps=16 / 255, limit=16
        )
        with torch.random.fork_rng(devices=[]):
            self.model = SmallCNN(1, 4, 8)

    def log(self, message: str) -> None:
        if "epoch" in message:
            attack_images(self.model, tiny_dataset(), self.plan, CPU, Observer())
            self.evaluations += 1


@pytest.mark.parametrize("method", ["trades-cfa", "fat"])
def test_a_run_with_evaluations_between_its_epochs_equals_one_without(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cfa.attacks.autoattack.QUERIES", 20)
    monkeypatch.setattr("cfa.attacks.autoattack.ITERATIONS", 5)
    config = tiny_config(method, train__epochs=3)
    alone = trained(tmp_path / "alone", config)
    beside = tiny_run(tmp_path / "beside", config)
    observer = Evaluating()
    fit(beside, tiny_dataset(), CPU, observer)
    assert observer.evaluations >= 3
    assert_same_weights(alone, beside)
    assert timeless(alone.rows()) == timeless(beside.rows())
