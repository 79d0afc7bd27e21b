"""Attack shipped runs harder, so that Classes and Sweep have something real to show before the first run.

python benchmarks/ship_demo_attacks.py

For TRADES and TRADES + CFA of seed 0, each with the weights that it is reported with: AutoAttack on the first
100 test images of each class, with a few adversarial images to look at, and a sweep of PGD-20 over eps.
Run it after `ship_demo.py`; evaluations that are there already are left alone.
"""

import shutil
import tempfile
from pathlib import Path

import torch

from cfa.data import Dataset, load_dataset
from cfa.evaluation import EvaluationPlan, default_weights, evaluate_weights
from cfa.progress import Observer
from cfa.runs.evaluations import read_evaluations
from cfa.runs.folder import RunFolder
from cfa.runs.store import SHIPPED_RUNS

RUNS = ("shipped-trades-s0", "shipped-trades-cfa-s0")
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


if __name__ == "__main__":
    main()
