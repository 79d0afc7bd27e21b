"""Evaluations for the example store: synthetic outcomes on the real embedded images."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from cfa.data import Dataset, load_dataset
from cfa.evaluation import AdversarialImages, EvaluationPlan, Outcomes, sanity_plan, save_outcomes, summarise
from cfa.evaluation.plan import chosen_images
from cfa.evaluation.trials import columns_of, trials
from cfa.models import ModelSpec, build_model, save_weights
from cfa.runs.evaluations import Evaluation
from cfa.runs.folder import RunFolder

# What a class is taken for: shirts and coats for each other, shoes for each other.
TAKEN_FOR = ((6, 3), (3, 6), (4, 6), (0, 6), (6, 2), (7, 9), (0, 4), (5, 9), (6, 0), (7, 5))
HOLDS = (0.62, 0.90, 0.52, 0.74, 0.55, 0.84, 0.24, 0.86, 0.89, 0.88)
EPS = 15 / 255
EXAMPLES = ("images", "sweep", "smallest", "checklist")  # ends of their ids
KEPT = 6  # images of a cell


@cache
def embedded() -> Dataset:
    """Load the embedded data once."""
    return load_dataset("fashion-mnist-mini", Path())


def write_weights(run: RunFolder, weights: str, checkpoint: str) -> None:
    """Write weights that load, of a network that was never trained."""
    spec = ModelSpec(1, 10, 28, (0.28,), (0.35,))
    save_weights(run.weights_file(weights, checkpoint), build_model("small-cnn", spec, 0).state_dict(), {})


def taken_for(label: np.ndarray, right: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Predict: the label where an image is right, else one of the two classes that look like it."""
    other = np.array(TAKEN_FOR)[label, rng.integers(0, 2, len(label))]
    return np.where(right, label, other).astype(np.int16)


def add_evaluations(run: RunFolder, seed: int, weights: str = "fawa") -> None:
    """Add AutoAttack with images, a sweep, smallest perturbations and a checklist to a run."""
    images = [
        make(np.random.default_rng(seed + i))
        for i, make in enumerate((autoattack, sweep, smallest, checklist))
    ]
    for number, (made_up, plan) in enumerate(images):
        outcomes = replace(made_up, described=columns_of(trials(plan, len(HOLDS))))
        made = summarise(outcomes, plan, embedded(), weights=weights, checkpoint="best", epoch=9)
        save_outcomes(run, at(made, number), outcomes)


def at(evaluation: Evaluation, minute: int) -> Evaluation:
    """Date an evaluation before the closing ones, so that the order is known."""
    created = f"2026-01-02T10:{minute:02d}:00+00:00"
    return replace(evaluation, id=f"20260102T10{minute:02d}00-{EXAMPLES[minute]}", created=created)


def autoattack(rng: np.random.Generator) -> tuple[Outcomes, EvaluationPlan]:
    """Make outcomes of PGD-20 and a composite attack, of which the first images of each cell are kept."""
    plan = EvaluationPlan(attacks=("pgd-20", "autoattack(apgd-ce,square)"), eps=EPS, limit=1000)
    image, label, clean = clean_predictions(plan, rng)
    strength = rng.uniform(
        size=len(label)
    )  # an image that holds against one attack mostly holds against others
    holds = np.array(HOLDS)[label]
    name = plan.attacks[2]
    pgd = np.where(clean == label, taken_for(label, strength < holds + 0.05, rng), clean)
    apgd = taken_for(label, strength < holds + 0.02, rng)
    apgd[clean != label] = -1
    square = taken_for(label, strength < holds, rng)
    square[apgd != label] = -1
    by = np.where(
        (apgd != label) & (apgd >= 0), "apgd-ce", np.where((square != label) & (square >= 0), "square", "")
    )
    whole = np.select([by == "apgd-ce", by == "square"], [apgd, square], clean).astype(np.int16)
    batch = np.zeros(len(label), np.int32)
    outcomes = Outcomes(
        image,
        label,
        {"clean": clean, "pgd-20": pgd, name: whole, f"{name}/apgd-ce": apgd, f"{name}/square": square},
        {f"{name}/by": by.astype(object)},
        batches={
            "pgd-20": batch,
            f"{name}/apgd-ce": np.where(apgd >= 0, batch, -1),
            f"{name}/square": np.where(square >= 0, batch, -1),
        },
        findings=(f"Square beat the gradient attacks: {name} broke 21 more images (2.1%) with it",),
    )
    kept = [kept_images(outcomes, "pgd-20", rng), kept_images(outcomes, name, rng, by != "")]
    joined = AdversarialImages(*(np.concatenate([getattr(part, field) for part in kept]) for field in FIELDS))
    return replace(outcomes, adversarial=joined), plan


FIELDS = ("attack", "image", "label", "predicted", "images")


def kept_images(
    outcomes: Outcomes, column: str, rng: np.random.Generator, among: np.ndarray | None = None
) -> AdversarialImages:
    """Make noise of length eps around the first images of each cell."""
    predicted = outcomes.predictions[column]
    rows: list[int] = []
    for cell in set(zip(outcomes.label.tolist(), predicted.tolist(), strict=True)):
        members = (outcomes.label == cell[0]) & (predicted == cell[1])
        members &= outcomes.predictions["clean"] == outcomes.label
        rows += np.flatnonzero(members if among is None else members & among)[:KEPT].tolist()
    chosen = np.array(sorted(rows))
    clean = embedded().test_images.numpy()[outcomes.image[chosen]].astype(np.float32) / 255
    noise = rng.choice([-EPS, EPS], clean.shape).astype(np.float32)
    return AdversarialImages(
        np.full(len(chosen), column),
        outcomes.image[chosen].astype(np.int32),
        outcomes.label[chosen].astype(np.int16),
        predicted[chosen],
        np.clip(clean + noise, 0, 1),
    )


def clean_predictions(
    plan: EvaluationPlan, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, labels and predictions of the images of a plan without an attack."""
    data = embedded()
    image = chosen_images(data.test_labels, data.num_classes, plan.limit).numpy()
    label = data.test_labels.numpy()[image].astype(np.int16)
    right = rng.uniform(size=len(label)) < np.array(HOLDS)[label] * 0.4 + 0.58
    return image, label, taken_for(label, right, rng)


def sweep(rng: np.random.Generator) -> tuple[Outcomes, EvaluationPlan]:
    """Make outcomes of five budgets."""
    budgets = tuple(n / 255 for n in (2, 4, 8, 16, 32))
    plan = EvaluationPlan(attacks=("pgd-20",), eps=EPS, limit=1000, eps_sweep=budgets)
    image, label, before = clean_predictions(plan, rng)
    reach = lengths_of(label, rng)
    predictions, batches = {"clean": before}, {}
    for budget in budgets:
        column = f"pgd-20@{round(255 * budget)}/255"
        batches[column] = np.where(before == label, 0, -1)
        broken = taken_for(label, reach > budget, rng)
        before = predictions[column] = np.where(before == label, broken, before)
    return Outcomes(image, label, predictions, batches=batches), plan


def smallest(rng: np.random.Generator) -> tuple[Outcomes, EvaluationPlan]:
    """Make outcomes of the search for the smallest perturbation; it fails for some images."""
    plan = EvaluationPlan(attacks=("fab-min",), eps=EPS, limit=1000)
    image, label, clean = clean_predictions(plan, rng)
    length = lengths_of(label, rng)
    length[rng.uniform(size=len(label)) < 0.01] = np.inf
    length[clean != label] = 0
    found = np.where(clean == label, taken_for(label, length > EPS, rng), clean)
    batch = np.where(clean == label, 0, -1)
    predictions = {"clean": clean, "fab-min": found}
    return Outcomes(
        image, label, predictions, lengths={"fab-min/norm": length}, batches={"fab-min": batch}
    ), plan


def lengths_of(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw what it takes to break each image."""
    return rng.gamma(4.0, EPS * np.array(HOLDS)[label] / 3)


def checklist(rng: np.random.Generator) -> tuple[Outcomes, EvaluationPlan]:
    """Make outcomes of the sanity checklist, of which one check fails."""
    plan = sanity_plan(EPS)
    image, label, clean = clean_predictions(plan, rng)
    strength = rng.uniform(size=len(label))
    shares = {"fgsm": 1.1, "pgd-20": 0.95, "pgd-100": 0.94, "noise": 1.4, "square": 0.8}
    predictions = {"clean": clean}
    for name in plan.attacks[1:]:
        holds = strength < shares.get(name, 0.0) * np.array(HOLDS)[label]
        predictions[name] = np.where(clean == label, taken_for(label, holds, rng), clean)
    return Outcomes(image, label, predictions), plan
