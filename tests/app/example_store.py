"""Fills a CFA_HOME with synthetic but plausible runs, so that every page has something to show.

Also a small program: ``python tests/app/example_store.py FOLDER`` fills FOLDER for a look at the dashboard.
"""

import math
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from cfa.config import WEIGHTS_KINDS, RunConfig
from cfa.methods import METHODS, configure
from cfa.runs.evaluations import Evaluation, new_id, save_evaluation
from cfa.runs.folder import Manifest, RunFolder, now
from cfa.runs.rows import Epoch, KnobValues, Row, Scores, append_rows
from cfa.runs.store import Store
from tests.app.example_evaluations import add_evaluations, embedded, write_weights

FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
LONG_TAIL = (900, 697, 540, 418, 323, 250, 194, 150, 116, 90)  # of the classes in order, 10 to 1
HUNDRED = tuple(f"species {index:02d}" for index in range(100))
# What a class can reach under attack: shirts are hard, trousers and bags easy.
REACH = (0.62, 0.90, 0.52, 0.74, 0.55, 0.84, 0.24, 0.86, 0.89, 0.88)
WORST_GAIN = {"online": 0.0, "ema": -0.01, "fawa": 0.05}


def fill(home: Path, *, epochs: int = 20, hundred: bool = True) -> Store:
    """Make four finished runs (one of them with a second seed), a running, a failed and a wide one.

    The first runs of CFA have evaluations of every sort: images, a sweep, a checklist and more.
    """
    store = Store.open(home)
    for method, seed in (
        ("pgd-at", 0),
        ("pgd-at-cfa", 0),
        ("trades", 0),
        ("trades-cfa", 0),
        ("trades-cfa", 1),
    ):
        run = finished_run(store, _config(method, seed, epochs), FASHION)
        if method.endswith("-cfa") and seed == 0:
            add_evaluations(run, seed=10 * list(METHODS).index(method))
    _running_run(store, _config("trades-ccm", 0, epochs))
    _failed_run(store, _config("fat", 0, epochs))
    if hundred:
        wide = configure("trades-cfa", "cifar100", seed=0, overrides={"train.epochs": epochs})
        finished_run(store, wide, HUNDRED, name="hundred-classes")
    tailed = configure("trades-cfa", "fashion-mnist-mini-lt", seed=0, overrides={"train.epochs": epochs})
    finished_run(store, tailed, FASHION, name="long-tailed", train_counts=LONG_TAIL)
    return store


def finished_run(
    store: Store,
    config: RunConfig,
    classes: tuple[str, ...],
    name: str | None = None,
    train_counts: tuple[int, ...] = (),
) -> RunFolder:
    """Make a run with every epoch's rows, weights of all kinds, and a closing test evaluation."""
    run = started_run(
        store, config, classes, epochs=config.train.epochs, name=name, train_counts=train_counts
    )
    for weights in WEIGHTS_KINDS:
        for checkpoint in ("best", "last"):
            run.weights_file(weights, checkpoint).parent.mkdir(exist_ok=True)
            if config.model == "small-cnn":
                write_weights(run, weights, checkpoint)
            else:
                save_file(
                    {"linear.weight": np.zeros((4, 4), np.float32)}, run.weights_file(weights, checkpoint)
                )
    for weights in WEIGHTS_KINDS:
        save_evaluation(run, *_evaluation(run, classes, weights))
    run.write_status("finished", config.train.epochs, "")
    return run


def started_run(
    store: Store,
    config: RunConfig,
    classes: tuple[str, ...],
    *,
    epochs: int,
    name: str | None = None,
    train_counts: tuple[int, ...] = (),
) -> RunFolder:
    """Make a run that has got as far as ``epochs``."""
    run = store.create(config, name=name, tags=("example",))
    run.write_manifest(_manifest(classes, train_counts))
    rng = np.random.default_rng(config.seed + 7)
    for epoch in range(1, epochs + 1):
        append_rows(run.history_file, list(epoch_rows(config, len(classes), epoch, rng)))
    log = [f"epoch {epoch}: loss {2.3 * 0.93**epoch:.3f}" for epoch in range(1, epochs + 1)]
    run.log_file.write_text("\n".join(["training starts", *log]) + "\n", encoding="utf-8")
    run.write_status("running", epochs)
    return run


def _config(method: str, seed: int, epochs: int) -> RunConfig:
    return configure(method, "fashion-mnist-mini", seed=seed, overrides={"train.epochs": epochs})


def _running_run(store: Store, config: RunConfig) -> None:
    started_run(store, config, FASHION, epochs=max(1, config.train.epochs // 2))


def _failed_run(store: Store, config: RunConfig) -> None:
    run = started_run(store, config, FASHION, epochs=3)
    run.write_status("failed", 3, "the loss is not finite in epoch 4, batch 17; lower optimizer.lr")


def _manifest(classes: tuple[str, ...], train_counts: tuple[int, ...]) -> Manifest:
    count = len(classes)
    return Manifest(
        created=now(),
        code_version="0.1.0",
        packages={"torch": "2.14.1"},
        device="cpu",
        threads=2,
        data_fingerprint="0" * 64,
        class_names=classes,
        train_counts=train_counts or (900,) * count,
        val_counts=(100,) * count,
        model={"channels": 1, "num_classes": count, "image_size": 28, "mean": [0.28], "std": [0.35]},
    )


def _reach(classes: int) -> np.ndarray:
    return np.array(REACH) if classes == len(REACH) else np.linspace(0.02, 0.6, classes)


def _robust(config: RunConfig, weights: str, epoch: int, classes: int) -> np.ndarray:
    """Accuracy under attack that each class has reached, in [0, 1]."""
    reach = _reach(classes)
    hardness = (reach.max() - reach) / np.ptp(reach)
    calibrated = 0.06 if config.method_settings.get("lambda_eps") else 0.0
    gain = (calibrated + WORST_GAIN[weights]) * hardness - 0.01 * (1 - hardness) * (calibrated > 0)
    return np.clip((reach + gain) * (1 - math.exp(-epoch / 4)), 0.0, 1.0)


def epoch_rows(config: RunConfig, classes: int, epoch: int, rng: np.random.Generator) -> list[Row]:
    rows: list[Row] = []
    worst = 0.0
    for weights in WEIGHTS_KINDS:
        if weights != "online" and epoch < config.averaging.start_epoch:
            continue
        robust = np.clip(_robust(config, weights, epoch, classes) + rng.normal(0, 0.02, classes), 0, 1)
        if weights == "online":
            worst = float(np.round(robust * 100).min() / 100)
        rows += [
            _scores(epoch, "val", weights, "clean", 0.0, np.clip(robust * 0.4 + 0.6, 0, 1), 100),
            _scores(epoch, "val", weights, "pgd-10", config.attack.eps, robust, 100),
        ]
    training = np.clip(_robust(config, "online", epoch, classes) + 0.03, 0, 1)
    rows.append(_scores(epoch, "train", "online", "training", config.attack.eps, training, 900))
    rows.append(_knobs(config, classes, epoch))
    rows.append(_epoch(config, epoch, worst))
    return rows


def _scores(
    epoch: int, split: str, weights: str, attack: str, eps: float, accuracy: np.ndarray, total: int
) -> Scores:
    return Scores(
        epoch=epoch,
        split=split,
        weights=weights,
        attack=attack,
        norm="none" if attack == "clean" else "linf",
        eps=eps,
        correct=tuple(int(value) for value in np.round(accuracy * total)),
        total=(total,) * len(accuracy),
    )


def _knobs(config: RunConfig, classes: int, epoch: int) -> KnobValues:
    own = config.method_settings
    calibrates = epoch > int(own.get("warmup_epochs", 0))
    training = _robust(config, "online", epoch - 1, classes)
    eps = np.full(classes, config.attack.eps)
    beta = np.full(classes, own.get("beta", 0.0))
    if calibrates and "lambda_eps" in own:
        eps = (own["lambda_eps"] + training) * config.attack.eps
    if calibrates and "lambda_beta" in own:
        beta = (own["lambda_beta"] + training) * beta
    clean = 1 / (1 + beta) if "beta" in own else np.zeros(classes)
    values = {"eps": eps, "clean_weight": clean, "robust_weight": 1 - clean}
    return KnobValues(epoch=epoch, values={name: tuple(value.tolist()) for name, value in values.items()})


def _epoch(config: RunConfig, epoch: int, worst: float) -> Epoch:
    averaging = config.averaging
    tested = epoch >= averaging.start_epoch
    return Epoch(
        epoch=epoch,
        learning_rate=config.optimizer.lr * (0.1 if epoch > config.train.epochs / 2 else 1),
        loss=2.3 * 0.93**epoch,
        seconds=5.5 + 0.5 * math.sin(epoch),
        images_per_second=1600 + 90 * math.sin(epoch),
        gate_worst=worst if tested else None,
        gate_threshold=averaging.threshold if tested else None,
        gate_accepted=worst >= averaging.threshold if tested else None,
    )


def _evaluation(
    run: RunFolder, classes: tuple[str, ...], weights: str
) -> tuple[Evaluation, dict[str, np.ndarray]]:
    config, total = run.config, 1000 if len(classes) == 10 else 100
    rng = np.random.default_rng(config.seed + 100)
    robust = _robust(config, weights, config.train.epochs, len(classes))
    robust = np.clip(robust + rng.normal(0, 0.01, len(classes)), 0, 1)
    epoch = config.train.epochs - 1
    scores = (
        _scores(epoch, "test", weights, "clean", 0.0, np.clip(robust * 0.4 + 0.58, 0, 1), total),
        _scores(epoch, "test", weights, "pgd-20", config.attack.eps, robust, total),
    )
    outcomes = _outcomes(scores, len(classes), rng)
    evaluation = Evaluation(
        id=new_id(),
        created=now(),
        dataset=config.dataset,
        split="test",
        weights=weights,
        checkpoint="best",
        epoch=epoch,
        seed=config.seed,
        limit=None,
        scores=scores,
        settings={"pgd-20": {"steps": 20, "step_size": "eps/4", "restarts": 1}},
        class_names=classes,
    )
    return evaluation, outcomes


def _outcomes(scores: tuple[Scores, ...], classes: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Make images that the counts are sums of; what is wrong is taken for a class nearby."""
    labels = np.repeat(np.arange(classes), scores[0].total[0])
    if classes == 10:
        labels = embedded().test_labels.numpy()
    columns = {"image": np.arange(len(labels)), "label": labels}
    for row in scores:
        nearby = (labels + rng.geometric(0.4, len(labels)) % (classes - 1) + 1) % classes
        columns[row.attack] = nearby
        for k, correct in enumerate(row.correct):
            columns[row.attack][np.flatnonzero(labels == k)[:correct]] = k
    return columns


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
