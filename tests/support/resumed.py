"""A run that was evaluated in full while it was paused, and on 1,000 images after it went on to a new best.

Of ``pgd-50`` there is nothing but the old figure. Figures of the old weights cannot be taken for any others.
"""

import numpy as np
import torch

from cfa.methods import configure
from cfa.models import save_weights, weights_hash
from cfa.runs.evaluations import Evaluation, new_id, save_evaluation
from cfa.runs.folder import Manifest, RunFolder
from cfa.runs.rows import Scores
from cfa.runs.store import Store

CLASSES = tuple(f"class {index}" for index in range(10))
EPS = 15 / 255
OLD = dict.fromkeys(("pgd-20", "pgd-50"), (613,) * 9 + (463,))  # of 1,000 of each class
OLD["clean"] = (913,) * 9 + (868,)
NEW = {"clean": (82,) * 9 + (70,), "pgd-20": (52,) * 9 + (38,)}  # of 100 of each class
OLD_FRACTIONS = (0.913, 0.868, 0.613, 0.463, 0.9085, 0.598)  # of classes, and their means
OLD_PERCENT = tuple(f"{100 * value:.1f}" for value in OLD_FRACTIONS)


def make_run(
    store: Store, name: str, *, seed: int = 0, method: str = "trades", model: str = "small-cnn"
) -> RunFolder:
    """Make a run that has ended, without weights and evaluations."""
    config = configure(method, "fashion-mnist-mini", model=model, preset="demo", seed=seed)
    run = store.create(config, name)
    run.write_manifest(Manifest("", "", {}, "cpu", 1, "data", CLASSES, (900,) * 10, (100,) * 10, {}))
    run.write_status("finished", 20)
    return run


def keep_weights(run: RunFolder, value: float, epoch: int) -> str:
    """Write the best online weights of an epoch, and return their hash."""
    weights = {"network.linear.weight": torch.full((2, 2), value)}
    save_weights(run.weights_file("online", "best"), weights, {"epoch": str(epoch)})
    return weights_hash(weights)


def evaluate(
    run: RunFolder,
    correct: dict[str, tuple[int, ...]],
    per_class: int,
    *,
    epoch: int,
    created: str,
    weights_hash: str = "",
    **changes: object,
) -> Evaluation:
    """Store an evaluation of the best online weights on the first images of each class, image by image."""
    label = np.tile(np.arange(len(CLASSES)), 1000)  # the test part: 1,000 of each
    image = np.flatnonzero(np.arange(len(label)) < per_class * len(CLASSES))
    columns = {"image": image, "label": label[image]}
    for attack, counts in correct.items():
        rank = image // len(CLASSES)  # within its class
        right = rank < np.array(counts)[columns["label"]]
        columns[attack] = np.where(right, columns["label"], (columns["label"] + 1) % len(CLASSES))
    scores = tuple(
        Scores(
            epoch=epoch,
            split="test",
            weights="online",
            attack=attack,
            norm="none" if attack == "clean" else "linf",
            eps=0.0 if attack == "clean" else EPS,
            correct=counts,
            total=(per_class,) * len(CLASSES),
        )
        for attack, counts in correct.items()
    )
    fields = {
        "id": new_id(),
        "created": created,
        "dataset": run.config.dataset,
        "split": "test",
        "weights": "online",
        "checkpoint": "best",
        "epoch": epoch,
        "seed": 0,
        "limit": None if per_class == 1000 else per_class * len(CLASSES),
        "scores": scores,
        "settings": {"pgd-20": {"attack": "PGD", "eps": EPS, "steps": 20}},
        "class_names": CLASSES,
        "weights_hash": weights_hash,
    }
    evaluation = Evaluation(**{**fields, **changes})  # type: ignore[arg-type]
    save_evaluation(run, evaluation, columns)
    return evaluation


def resumed_run(store: Store, name: str = "resumed", *, hashed: bool) -> tuple[RunFolder, Evaluation]:
    """Make the run of the issue; return it with the evaluation of its old weights."""
    run = make_run(store, name)
    before = keep_weights(run, 0.25, 3)
    old = evaluate(
        run, OLD, 1000, epoch=3, created="2026-01-01T00:00:00+00:00", weights_hash=before if hashed else ""
    )
    after = keep_weights(run, 0.5, 8)
    evaluate(
        run, NEW, 100, epoch=8, created="2026-01-02T00:00:00+00:00", weights_hash=after if hashed else ""
    )
    return run, old


def peer_run(store: Store, name: str = "peer") -> RunFolder:
    """Make a run of another method, evaluated on as many images as the resumed one has of its new weights."""
    run = make_run(store, name, method="pgd-at")
    keep_weights(run, 0.75, 5)
    counts = {"clean": (84,) * 9 + (72,), "pgd-20": (49,) * 9 + (36,), "pgd-50": (49,) * 9 + (35,)}
    evaluate(run, counts, 100, epoch=5, created="2026-01-01T00:00:00+00:00")
    return run
