"""Attack shipped runs harder, so that Classes and Sweep have something real to show before the first run.

python benchmarks/ship_demo_attacks.py

For TRADES and TRADES + CFA of seed 0, each with the weights that it is reported with: AutoAttack on the first
100 test images of each class, with a few adversarial images to look at, and a sweep of PGD-20 over eps. For
TRADES + CFA also its closing test once more, with up to 16 adversarial images of each confusion cell.
Run it after `ship_demo.py`; evaluations that are there already are left alone.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

from cfa.data import Dataset, load_dataset
from cfa.errors import CfaError
from cfa.evaluation import EvaluationPlan, default_weights, evaluate_weights, load_adversarial
from cfa.evaluation.adversarial import save_made_again
from cfa.evaluation.keeper import take
from cfa.jobs.kinds.train_run import CLOSING_ATTACKS
from cfa.progress import Observer
from cfa.runs.evaluations import read_evaluations, read_outcomes
from cfa.runs.folder import RunFolder
from cfa.runs.store import SHIPPED_RUNS

RUNS = ("shipped-trades-s0", "shipped-trades-cfa-s0")
WITH_PICTURES = "shipped-trades-cfa-s0"
LARGEST = 25_000_000  # bytes in all
EPS = 15 / 255
PLANS = (
    EvaluationPlan(attacks=("autoattack",), eps=EPS, limit=1000, keep_megabytes=0.15),
    EvaluationPlan(
        attacks=("pgd-20",),
        eps=EPS,
        limit=1000,
        keep_megabytes=0,
        eps_sweep=tuple(n / 255 for n in (3, 6, 9, 12, 15, 18, 21)),
    ),
)
PICTURES = 5.0  # megabytes of them


def main() -> None:
    """Evaluate copies of the runs, and put the evaluations where the runs ship."""
    shipped = [RunFolder(path) for path in sorted(SHIPPED_RUNS.iterdir()) if (path / "config.json").exists()]
    dataset = load_dataset("fashion-mnist-mini", Path())
    for run in [run for run in shipped if run.name in RUNS]:
        known = [made.plan for made in read_evaluations(run) if made.plan]
        for plan in PLANS:
            if not any(
                tuple(made["attacks"]) == plan.attacks and bool(made["eps_sweep"]) == bool(plan.eps_sweep)
                for made in known
            ):
                ship(run, plan, dataset)
        pictures = run.path.glob("evaluations/*/remade.safetensors")
        if run.name == WITH_PICTURES and not any(pictures):
            ship_pictures(run, dataset)
    size = sum(file.stat().st_size for file in SHIPPED_RUNS.rglob("*") if file.is_file())
    if size > LARGEST:
        raise CfaError(f"the demo takes {size:,} bytes; {LARGEST:,} is the limit")


def ship(run: RunFolder, plan: EvaluationPlan, dataset: Dataset) -> None:
    """Carry out one plan on a copy of a run and keep what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = RunFolder(Path(shutil.copytree(run.path, Path(folder) / run.id)))
        weights = default_weights(copy)
        made = evaluate_weights(
            copy, weights, "best", plan, dataset, torch.device("cpu"), Observer(), loaded_as=dataset.name
        )
        shutil.copytree(copy.path / "evaluations" / made.id, run.path / "evaluations" / made.id)
        print(run.name, weights, ", ".join(plan.attacks), made.id)


def ship_pictures(run: RunFolder, dataset: Dataset) -> None:
    """Make the closing test of a run again, and keep the adversarial images that came out as they had.

    On another machine some do not (20 of 20,000 outcomes when this was written).
    """
    weights, images = default_weights(run), len(dataset.test_labels)
    there = next(made for made in read_evaluations(run) if made.weights == weights and made.images == images)
    plan = EvaluationPlan(
        attacks=CLOSING_ATTACKS, eps=run.config.attack.eps, seed=run.config.seed, keep_megabytes=PICTURES
    )
    with tempfile.TemporaryDirectory() as folder:
        copy = RunFolder(Path(shutil.copytree(run.path, Path(folder) / run.id)))
        made = evaluate_weights(
            copy, weights, "best", plan, dataset, torch.device("cpu"), Observer(), loaded_as=dataset.name
        )
        kept = load_adversarial(copy, made.id).kept
        if kept is None:
            raise CfaError(f"no adversarial image of {run.name} was kept")
    outcomes = read_outcomes(run, there.id)
    place = np.searchsorted(outcomes["image"], kept.image)
    as_before = kept.predicted == outcomes[CLOSING_ATTACKS[-1]][place]
    save_made_again(run, there.id, take(kept, np.flatnonzero(as_before)))
    print(f"{run.name}: {as_before.sum()} of {len(as_before)} adversarial images")


if __name__ == "__main__":
    main()
