"""Evaluations: outcomes of every image, counts against scikit-learn, resumable, refusing nonsense."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import nn

import cfa
from cfa.attacks import named_attack, predict
from cfa.data import Dataset, to_float
from cfa.errors import CfaError, CheckpointError, ConfigError, StoreError, UnknownName
from cfa.evaluation import (
    EvaluationPlan,
    Outcomes,
    attack_images,
    default_weights,
    evaluate_weights,
    load_model,
)
from cfa.models import load_weights, save_weights, weights_hash
from cfa.progress import Observer, Progress, Stopped
from cfa.runs.evaluations import outcomes_file, read_evaluation, read_evaluations, read_outcomes
from cfa.runs.folder import RunFolder
from tests.support.networks import buffers_of, same_tensors
from tests.support.probing import probe_passes
from tests.support.tiny import CLASSES, CPU, Stopper, tiny_config, tiny_dataset, tiny_run, trained

DATA = tiny_dataset(spread=2)
PLAN = EvaluationPlan(attacks=("pgd-5", "fgsm"), eps=16 / 255, batch_size=32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("run"), tiny_config("trades-cfa"), DATA)


def test_counts_equal_the_confusion_matrix_of_the_outcomes(run: RunFolder) -> None:
    evaluation = evaluate_weights(run, "online", "best", PLAN, DATA, CPU, Observer())
    outcomes = read_outcomes(run, evaluation.id)
    assert list(outcomes) == ["image", "label", "clean", "pgd-5", "fgsm"]
    np.testing.assert_array_equal(outcomes["image"], np.arange(110))
    np.testing.assert_array_equal(outcomes["label"], DATA.test_labels.numpy())
    assert [scores.attack for scores in evaluation.scores] == ["clean", "pgd-5", "fgsm"]
    for scores in evaluation.scores:
        matrix = confusion_matrix(outcomes["label"], outcomes[scores.attack], labels=range(4))
        assert scores.correct == tuple(matrix.diagonal())
        assert scores.total == tuple(matrix.sum(axis=1)) == (30, 20, 25, 35)
        clean = scores.attack == "clean"
        assert (scores.norm, scores.eps) == (("none", 0.0) if clean else ("linf", 16 / 255))
        assert (scores.split, scores.weights) == ("test", "online")
    clean, robust = (sum(scores.correct) for scores in evaluation.scores[:2])
    assert 0 < robust < clean


def test_the_outcomes_are_those_of_the_attack_on_the_stored_weights(run: RunFolder) -> None:
    """Batch by batch with the seeds that the plan states, judged in eval mode."""
    evaluation = evaluate_weights(run, "ema", "last", PLAN, DATA, CPU, Observer())
    outcomes, model = read_outcomes(run, evaluation.id), load_model(run, "ema", "last")
    x, y = to_float(DATA.test_images), DATA.test_labels
    np.testing.assert_array_equal(outcomes["clean"], predict(model, x).numpy())
    attack = named_attack("fgsm", "linf")
    assert attack is not None
    np.testing.assert_array_equal(outcomes["fgsm"], predict(model, attack(model, x, y, 16 / 255)).numpy())


def test_whose_weights_they_were_stands_in_the_result(run: RunFolder, tmp_path: Path) -> None:
    """The hash of their content: equal for a copy, and for the same model handed over in Python."""
    plan = EvaluationPlan(attacks=("fgsm",), eps=16 / 255, batch_size=200)
    made = {
        kind: evaluate_weights(run, kind, "best", plan, DATA, CPU, Observer()) for kind in ("online", "ema")
    }
    for kind, evaluation in made.items():
        assert evaluation.weights_hash == weights_hash(load_weights(run.weights_file(kind, "best")))
        assert read_evaluation(run, evaluation.id).weights_hash == evaluation.weights_hash
    assert made["online"].weights_hash != made["ema"].weights_hash
    again = cfa.evaluate(load_model(run, "ema", "best"), DATA, plan, home=tmp_path)
    assert again.weights_hash == made["ema"].weights_hash


def test_what_was_done_stands_in_the_result(run: RunFolder) -> None:
    observer = Stopper()
    plan = EvaluationPlan(attacks=("pgd-5",), norm="l2", eps=0.5, limit=41, seed=7, batch_size=50)
    evaluation = evaluate_weights(run, "fawa", "best", plan, DATA, CPU, observer)
    assert evaluation in read_evaluations(run)
    assert (evaluation.weights, evaluation.checkpoint, evaluation.split) == ("fawa", "best", "test")
    assert (evaluation.dataset, evaluation.seed, evaluation.limit) == ("tiny", 7, 41)
    assert evaluation.class_names == CLASSES
    assert evaluation.findings == ()
    assert evaluation.settings["pgd-5"]["norm"] == "l2"
    assert evaluation.scores[0].total == (10,) * 4  # 41 // 4 of each class
    outcomes = read_outcomes(run, evaluation.id)
    for k in range(4):
        first = (DATA.test_labels == k).nonzero().squeeze(1)[:10].tolist()
        assert outcomes["image"][outcomes["label"] == k].tolist() == first
    assert 1 <= evaluation.epoch <= 4
    done = [report.done for report in observer.reports]
    assert done == sorted(done)
    assert all(report.done <= report.total for report in observer.reports)
    assert {report.unit for report in observer.reports} == {"forward passes"}
    # Clean; the probe; five steps and the judge's look.
    assert done[-1] == observer.reports[-1].total == 40 + probe_passes(40) + 6 * 40


def test_the_same_plan_gives_the_same_outcomes(run: RunFolder) -> None:
    one, two = (evaluate_weights(run, "online", "last", PLAN, DATA, CPU, Observer()) for _ in range(2))
    torch.rand(4)
    assert one.scores == two.scores
    assert one.id != two.id
    first, second = read_outcomes(run, one.id), read_outcomes(run, two.id)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def passes(model: nn.Module, *arguments: object) -> tuple[Outcomes | None, int]:
    """Carry out a plan; also count the images that went through the model, however it ended."""
    counted = []
    handle = model.register_forward_pre_hook(lambda module, inputs: counted.append(len(inputs[0])))
    try:
        return attack_images(model, DATA, PLAN, CPU, *arguments), sum(counted)
    except Stopped:
        return None, sum(counted)
    finally:
        handle.remove()


@pytest.mark.parametrize("after", [1, 2, 5, 9, 21, 33, 39])
def test_stopped_anywhere_and_resumed_gives_the_same_and_repeats_one_batch_at_most(
    run: RunFolder, tmp_path: Path, after: int
) -> None:
    model, scratch = load_model(run, "online", "best"), tmp_path / "parts"
    expected, whole = passes(model, Observer())
    stopped, before = passes(model, Stopper(after), scratch)
    found, rest = passes(model, Observer(), scratch)
    assert expected is not None
    assert stopped is None
    assert found is not None
    for name, predictions in expected.predictions.items():
        np.testing.assert_array_equal(found.predictions[name], predictions)
    assert found.passes == expected.passes
    # Each call looks at eight images first; a batch of 32 images takes 6 passes at most, the probe its own.
    assert whole <= before + rest <= whole + 8 + max(6 * 32, probe_passes(64))


def test_an_evaluation_that_was_killed_goes_on_under_its_id(run: RunFolder) -> None:
    expected = evaluate_weights(run, "online", "best", PLAN, DATA, CPU, Observer())
    before = read_evaluations(run)

    class Killed(BaseException):
        pass

    class Killer(Observer):
        def progress(self, progress: Progress) -> None:
            if progress.phase.startswith("fgsm, 64 of "):  # the third of its four batches
                raise Killed

    with pytest.raises(Killed):
        evaluate_weights(run, "online", "best", PLAN, DATA, CPU, Killer(), evaluation_id="mine")
    folder = outcomes_file(run, "mine").parent
    assert len(list((folder / "parts").glob("*.npz"))) == 4 + 4 + 2
    assert read_evaluations(run) == before  # half an evaluation is none
    (folder / "parts" / ".step-2-2.npz.0.tmp").write_bytes(b"half")  # a write that the kill cut short
    finished = evaluate_weights(run, "online", "best", PLAN, DATA, CPU, Observer(), evaluation_id="mine")
    assert finished.id == "mine"
    assert finished.scores == expected.scores
    assert sorted(path.name for path in folder.iterdir()) == [
        "adversarial.safetensors",
        "batches.parquet",
        "evaluation.json",
        "outcomes.parquet",
    ]


@pytest.mark.parametrize("content", [b"garbage", b""])
@pytest.mark.parametrize("name", ["step-0-0.npz", "step-0.json", "plan.json"])
def test_a_damaged_batch_is_a_sentence(run: RunFolder, tmp_path: Path, name: str, content: bytes) -> None:
    model = load_model(run, "online", "best")
    attack_images(model, DATA, PLAN, CPU, Observer(), tmp_path)
    assert (tmp_path / name).exists()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CfaError, match=r"a stored batch in .* is damaged; delete that folder and retry"):
        attack_images(model, DATA, PLAN, CPU, Observer(), tmp_path)


def test_batches_of_another_plan_are_not_taken_up(run: RunFolder, tmp_path: Path) -> None:
    model = load_model(run, "online", "best")
    attack_images(model, DATA, PLAN, CPU, Observer(), tmp_path)
    other = dataclasses.replace(PLAN, eps=8 / 255)
    with pytest.raises(CfaError, match="belong to another plan, model or data set; start a new evaluation"):
        attack_images(model, DATA, other, CPU, Observer(), tmp_path)


def test_a_full_disk_is_a_sentence_and_what_was_done_remains(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced, replace = [], os.replace

    def full(file: Path, target: Path) -> None:
        replaced.append(file)
        if len(replaced) > 5:  # the plan, the partition, three batches
            raise OSError(28, "No space left on device")
        replace(file, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match=r"No space left on device.*free disk space, then retry or resume"):
        attack_images(load_model(run, "online", "best"), DATA, PLAN, CPU, Observer(), tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 3
    assert list(tmp_path.glob("*.tmp")) == list(tmp_path.glob(".*.tmp")) == []


# What it refuses ---------------------------------------------------------------------------------------


def five_classes() -> Dataset:
    labels = torch.arange(5).repeat(4)
    images = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
    return Dataset("five", ("a", "b", "c", "d", "e"), images, labels, images, labels)


def colour() -> Dataset:
    labels = torch.arange(4).repeat(4)
    images = torch.zeros(16, 3, 8, 8, dtype=torch.uint8)
    return Dataset("colour", CLASSES, images, labels, images, labels)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (five_classes(), "knows 4 classes and five has 5; evaluate it on tiny"),
        (colour(), r"the model does not take images of shape \(3, 8, 8\)"),
    ],
)
def test_data_that_the_run_was_not_trained_for_are_refused(
    run: RunFolder, data: Dataset, sentence: str
) -> None:
    before = read_evaluations(run)
    with pytest.raises(CheckpointError, match=sentence):
        evaluate_weights(run, "online", "best", PLAN, data, CPU, Observer())
    assert read_evaluations(run) == before


def test_a_model_that_answers_with_other_classes_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    with pytest.raises(CheckpointError, match=r"answers with shape \(2, 5\) where \(images, 4\) is expected"):
        attack_images(model, DATA, PLAN, CPU, Observer())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_diverged_are_refused(run: RunFolder, value: float) -> None:
    weights = load_weights(run.weights_file("online", "last"))
    weights["network.linear.weight"][:] = value
    save_weights(run.weights_file("online", "epoch9"), weights, {})
    with pytest.raises(CheckpointError, match="logits are not finite; its weights diverged"):
        evaluate_weights(run, "online", "epoch9", PLAN, DATA, CPU, Observer())
    run.weights_file("online", "epoch9").unlink()


def test_missing_weights_and_damaged_files_are_named(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"kept no best file weights; it has: online \(best\), online"):
        load_model(run, "file", "best")
    run.weights_file("online", "epoch8").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="is a text file, not a weights file"):
        load_model(run, "online", "epoch8")
    run.weights_file("online", "epoch8").unlink()
    with pytest.raises((StoreError, UnknownName), match="kept no best online weights"):
        load_model(tiny_run(tmp_path, tiny_config()), "online", "best")


def test_a_limit_below_the_number_of_classes_is_refused(run: RunFolder) -> None:
    plan = EvaluationPlan(attacks=("pgd-5",), limit=3)
    with pytest.raises(ConfigError, match="limit=3 is less than one image for each of 4 classes"):
        evaluate_weights(run, "online", "best", plan, DATA, CPU, Observer())


# What it leaves as found -------------------------------------------------------------------------------


def test_a_model_of_ones_own_is_left_as_found(run: RunFolder) -> None:
    model = load_model(run, "online", "best")
    model.train()
    before, state = buffers_of(model), torch.get_rng_state()
    attack_images(model, DATA, PLAN, CPU, Observer())
    assert same_tensors(before, buffers_of(model))
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_loaded_model_is_in_eval_mode_and_holds_the_stored_weights(run: RunFolder) -> None:
    model = load_model(run, "fawa", "last")
    assert not any(module.training for module in model.modules())
    stored = load_weights(run.weights_file("fawa", "last"))
    assert same_tensors(dict(model.state_dict()), stored)


# Which weights a run is reported with ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "kept", "reported"),
    [
        ("trades-cfa", ("online", "ema", "fawa"), "fawa"),
        ("pgd-at-cfa", ("online", "ema"), "online"),  # the gate never opened
        ("trades-ccm", ("online", "ema", "fawa"), "online"),  # FAWA is kept, but not the method's own
        ("pgd-at", ("online", "ema", "fawa"), "online"),
        ("fat-cfa", (), "online"),
        ("external", ("file",), "file"),  # foreign weights
        ("external", (), "file"),
    ],
)
def test_default_weights(tmp_path: Path, method: str, kept: tuple[str, ...], reported: str) -> None:
    config = tiny_config("pgd-at").model_copy(update={"method": method})
    run = tiny_run(tmp_path, config)
    for kind in kept:
        checkpoint = "file" if kind == "file" else "best"
        save_weights(run.weights_file(kind, checkpoint), {"a": torch.ones(1)}, {})
    assert default_weights(run) == reported


def test_results_selected_on_test_are_marked(tmp_path: Path) -> None:
    config = tiny_config("pgd-at", train__select_on="test", train__epochs=1)
    run = trained(tmp_path, config, DATA)
    evaluation = evaluate_weights(run, "online", "best", PLAN, DATA, CPU, Observer())
    assert len(evaluation.findings) == 1
    assert evaluation.findings[0].startswith("selected on test:")
