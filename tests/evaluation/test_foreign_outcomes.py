"""Outcomes that were copied from elsewhere may fit nothing beside them: their reader gets a sentence."""

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cfa.errors import CfaError, StoreError
from cfa.evaluation import EvaluationPlan, evaluate_weights, load_adversarial
from cfa.evaluation.adversarial import AdversarialIndex
from cfa.evaluation.reproduce import reproduce
from cfa.progress import Observer
from cfa.runs.evaluations import Evaluation, read_evaluation, save_columns
from cfa.runs.folder import RunFolder
from tests.support.tiny import CPU, tiny_config, tiny_dataset, trained

DATA = tiny_dataset(spread=2)
Table = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Evaluation]:
    run = trained(tmp_path_factory.mktemp("run"), tiny_config("pgd-at", train__epochs=1), DATA)
    plan = EvaluationPlan(attacks=("pgd-2",), eps=16 / 255, batch_size=32)
    return run, evaluate_weights(run, "online", "best", plan, DATA, CPU, Observer())


@pytest.fixture
def copied(evaluated: tuple[RunFolder, Evaluation], tmp_path: Path) -> tuple[RunFolder, Evaluation]:
    run, evaluation = evaluated
    shutil.copytree(run.path, tmp_path / run.path.name)
    return RunFolder(tmp_path / run.path.name), evaluation


def folder(run: RunFolder, evaluation: Evaluation) -> Path:
    return run.path / "evaluations" / evaluation.id


def changed_to(table: Table, name: str, values: np.ndarray) -> Table:
    return {**table, name: values.astype(table[name].dtype)}


def without(name: str) -> Callable[[Table], Table]:
    return lambda table: {column: values for column, values in table.items() if column != name}


OUTCOMES: dict[str, tuple[Callable[[Table], Table], str]] = {
    "no positions": (without("image"), "no column image"),
    "no labels": (without("label"), "no column label"),
    "nothing of clean images": (without("clean"), "no column clean"),
    "positions in another order": (lambda t: changed_to(t, "image", t["image"][::-1]), "do not ascend"),
    "a position twice": (lambda t: changed_to(t, "image", t["image"] // 2), "do not ascend"),
    "a negative position": (lambda t: changed_to(t, "image", t["image"] - 1), "do not ascend"),
    "a label that is no class": (
        lambda t: changed_to(t, "label", t["label"] + 100),
        "column label names a class",
    ),
    "a negative label": (lambda t: changed_to(t, "label", t["label"] - 1), "is no class"),
    "a prediction that is no class": (
        lambda t: changed_to(t, "pgd-2", t["pgd-2"] + 99),
        "column pgd-2 names a class",
    ),
    "clean predictions with a point": (lambda t: {**t, "clean": t["clean"] / 2}, "is no class"),
    "fewer images than were in batches": (lambda t: {n: v[:-1] for n, v in t.items()}, "batches of"),
}
BATCHES: dict[str, tuple[Callable[[Table], Table], str]] = {
    "numbers with a point": (lambda t: {name: values / 2 for name, values in t.items()}, "batches of"),
    "more rows": (lambda t: {name: np.append(values, 0) for name, values in t.items()}, "batches of"),
}
KEPT: dict[str, tuple[Callable[[Table], Table], str]] = {
    "fewer rows than images": (lambda t: {**t, "image": t["image"][:-1]}, "not as many"),
    "images without sides": (lambda t: {**t, "images": t["images"][:, 0, 0, 0].copy()}, "not as many"),
    "predictions that are no class": (lambda t: {**t, "predicted": t["predicted"] + 100}, "kept images name"),
}


def read(run: RunFolder, evaluation: Evaluation) -> AdversarialIndex:
    return load_adversarial(run, evaluation.id)


@pytest.mark.parametrize("case", OUTCOMES)
def test_outcomes_that_do_not_fit_together_are_a_sentence(copied, case: str) -> None:
    change, said = OUTCOMES[case]
    save_columns(folder(*copied) / "outcomes.parquet", change(dict(read(*copied).outcomes)))
    with pytest.raises(StoreError, match=said):
        read(*copied)


@pytest.mark.parametrize("case", BATCHES)
def test_batches_that_do_not_fit_are_a_sentence(copied, case: str) -> None:
    change, said = BATCHES[case]
    save_columns(folder(*copied) / "batches.parquet", change(dict(read(*copied).batches)))
    with pytest.raises(StoreError, match=said):
        read(*copied)


@pytest.mark.parametrize("case", KEPT)
def test_kept_images_that_do_not_fit_are_a_sentence(copied, case: str) -> None:
    change, said = KEPT[case]
    file = folder(*copied) / "adversarial.safetensors"
    tensors = load_file(file)
    names = sorted(read(*copied).kept.attacks)
    file.unlink()
    save_file(change(tensors), file, {"attacks": str(names).replace("'", '"')})
    with pytest.raises(StoreError, match=said):
        read(*copied)


# Made again ------------------------------------------------------------------------------------------------


def made_again(copied, column: str, images: list[int]) -> None:
    run, evaluation = copied
    reproduce(run, evaluation, column, np.array(images, np.int64), DATA, CPU, Observer())


@pytest.mark.parametrize(
    ("column", "images", "said"),
    [
        ("\u202epgd-2", [0], r"has no attack '\u202epgd-2'"),
        ("image", [0], "has no attack 'image'"),
        ("clean", [0], "has no attack 'clean'"),
        ("pgd-2", [10**6], "is not of image 1000000"),
        ("pgd-2", [-1], "is not of image -1"),
    ],
    ids=["another column", "no attack", "clean", "an image too far", "a negative image"],
)
def test_what_an_evaluation_does_not_have_is_not_made_again(copied, column, images, said) -> None:
    shown = re.escape(said) if "\\" in said else said
    with pytest.raises(StoreError, match=shown):
        made_again(copied, column, images)


def test_other_test_images_are_not_attacked_in_the_place_of_those_that_were(copied) -> None:
    table = dict(read(*copied).outcomes)
    save_columns(
        folder(*copied) / "outcomes.parquet",
        changed_to(table, "label", (table["label"] + 1) % DATA.num_classes),
    )
    with pytest.raises(StoreError, match="are not those of evaluation"):
        made_again(copied, "pgd-2", [0])


def test_other_images_with_the_same_labels_are_not_attacked_either(copied) -> None:
    run, evaluation = copied
    inverted = dataclasses.replace(DATA, test_images=255 - DATA.test_images)
    image = np.zeros(1, np.int64)
    with pytest.raises(StoreError, match="are not those of evaluation"):
        reproduce(run, evaluation, "pgd-2", image, inverted, CPU, Observer())
    older = dataclasses.replace(evaluation, test_fingerprint="")  # does not know its images
    assert len(reproduce(run, older, "pgd-2", image, inverted, CPU, Observer()).predicted) == 1


PLANS: dict[str, dict[str, object]] = {
    "without attacks": {"eps": 0.1},
    "with attacks that are no list": {"attacks": 5},
    "with a setting of another version": {"attacks": ["pgd-2"], "mystery": 1},
    "with a text for a number": {"attacks": ["pgd-2"], "batch_size": "many"},
    "with an attack that is none": {"attacks": ["nothing-2"]},
}


@pytest.mark.parametrize("case", PLANS)
def test_a_stored_plan_that_is_none_is_a_sentence(case: str) -> None:
    with pytest.raises(CfaError):
        EvaluationPlan.of(PLANS[case])


def test_a_stored_plan_is_read_as_it_was(copied) -> None:
    run, evaluation = copied
    plan = EvaluationPlan(attacks=("pgd-2",), eps=16 / 255, batch_size=32)
    assert EvaluationPlan.of(read_evaluation(run, evaluation.id).plan) == plan
