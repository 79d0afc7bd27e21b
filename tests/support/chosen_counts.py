"""Runs made of chosen counts."""

from pathlib import Path

import numpy as np
import pytest

from cfa.config import RunConfig
from cfa.runs.evaluations import Evaluation, save_evaluation
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Scores
from cfa.runs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home", shipped=None)


@pytest.fixture
def make_run(store: Store):
    def make(name: str, method: str = "trades", **settings) -> RunFolder:
        return store.create(
            RunConfig(method=method, dataset="fashion", model="small-cnn", preset="demo", **settings), name
        )

    return make


@pytest.fixture
def evaluated():
    """Store an evaluation: correct images per class under each attack."""
    counter = iter(range(1000))

    def store_scores(
        run: RunFolder,
        correct: dict[str, tuple[int, ...]],
        *,
        total: tuple[int, ...] = (100, 100, 100),
        weights: str = "online",
        checkpoint: str = "best",
        eps: float = 8 / 255,
        dataset: str = "fashion",
        split: str = "test",
        findings: tuple[str, ...] = (),
    ) -> Evaluation:
        number = next(counter)
        scores = tuple(
            Scores(
                epoch=3,
                split=split,
                weights=weights,
                attack=attack,
                norm="none" if attack == "clean" else "linf",
                eps=0.0 if attack == "clean" else eps,
                correct=counts,
                total=total,
            )
            for attack, counts in correct.items()
        )
        evaluation = Evaluation(
            id=f"e{number:04d}",
            created=f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}+00:00",
            dataset=dataset,
            split=split,
            weights=weights,
            checkpoint=checkpoint,
            epoch=3,
            seed=0,
            limit=None,
            scores=scores,
            settings={},
            findings=findings,
            class_names=("cat", "dog", "eel")[: len(total)],
        )
        save_evaluation(run, evaluation, {"image": np.arange(3), "label": np.arange(3)})
        return evaluation

    return store_scores
