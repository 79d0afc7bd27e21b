"""Whole runs on a tiny data set: rows, weights, rules in action, and everything that must not matter."""

import copy
import dataclasses
import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import update_bn

from cfa.config import RunConfig
from cfa.data import NO_AUGMENTATION, Images, clean_batches
from cfa.errors import CheckpointError, ConfigError, DataError, Diverged
from cfa.evaluation import default_weights, load_model
from cfa.methods import METHODS, Averager
from cfa.models import all_finite, load_metadata, load_weights
from cfa.progress import Observer
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Epoch, KnobValues, Row, Scores
from cfa.training import fit, split_images
from cfa.training.validation import count_correct
from tests.support.tiny import (
    CLASSES,
    CPU,
    Stopper,
    assert_same_weights,
    go_on,
    timeless,
    tiny_config,
    tiny_dataset,
    tiny_run,
    trained,
    weights_of,
)

DATA = tiny_dataset()
HARD = tiny_dataset(spread=3)  # validation robustness then moves from epoch to epoch
MODULE = importlib.import_module("cfa.training.fit")  # its name is also that of the function


def rows_of(run: RunFolder, kind: type) -> list:
    return [row for row in run.rows() if isinstance(row, kind)]


def scores(run: RunFolder, **wanted: object) -> list[Scores]:
    return [
        row
        for row in rows_of(run, Scores)
        if all(getattr(row, key) == value for key, value in wanted.items())
    ]


# What a run leaves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_to_its_end(tmp_path: Path, method: str) -> None:
    run = tiny_run(tmp_path, tiny_config(method))
    observer = Stopper()
    go_on(run, DATA, observer)
    assert (run.status.state, run.status.epoch) == ("finished", 4)
    kinds = ("online", "ema", "fawa") if "fawa" in weights_kinds(run) else ("online", "ema")
    assert set(run.kept_weights()) == {(kind, kept) for kind in kinds for kept in ("best", "last")}
    assert [row.epoch for row in rows_of(run, Epoch)] == [1, 2, 3, 4]
    assert [row.epoch for row in rows_of(run, KnobValues)] == [1, 2, 3, 4]
    for split, weights, epochs in (("train", "online", 4), ("val", "online", 4), ("val", "ema", 3)):
        found = scores(run, split=split, weights=weights)
        assert len({row.epoch for row in found}) == epochs
    assert scores(run, split="test") == []  # nothing looks at test images unless asked
    assert all(all_finite(weights) for weights in weights_of(run).values())
    done = [report.done for report in observer.reports]
    assert done == sorted(done)
    assert done[-1] == 4.0


def weights_kinds(run: RunFolder) -> set[str]:
    return {weights for weights, _ in run.kept_weights()}


def test_the_manifest_and_the_split_say_how_it_was_made(tmp_path: Path) -> None:
    run = trained(tmp_path, tiny_config())
    manifest = run.manifest
    assert manifest is not None
    assert manifest.class_names == CLASSES
    assert manifest.train_counts == (40,) * 4
    assert manifest.val_counts == (20,) * 4
    assert manifest.data_fingerprint == DATA.fingerprint
    assert manifest.threads == 1
    assert "torch" in manifest.packages
    split = split_images(run.config, DATA)
    together = torch.cat([split.train, split.validation]).sort().values
    assert together.tolist() == list(range(240))


def test_training_accuracy_is_counted_over_each_classs_true_number_of_images(tmp_path: Path) -> None:
    run = trained(tmp_path, tiny_config("trades-cfa"), tiny_dataset(train=(60, 90, 63, 75)))
    manifest = run.manifest
    assert manifest is not None
    assert manifest.train_counts == (40, 60, 42, 50)
    for row in scores(run, split="train"):
        assert row.total == manifest.train_counts
        assert all(0 <= k <= n for k, n in zip(row.correct, row.total, strict=True))


@pytest.mark.parametrize("warmup", [1, 2])
def test_knobs_follow_from_the_counts_of_the_epoch_before(tmp_path: Path, warmup: int) -> None:
    """The paper's recursion, recomputed from the rows of an unbalanced run."""
    config = tiny_config("trades-cfa", rule__warmup_epochs=warmup, rule__lambda_eps=0.3)
    run = trained(tmp_path, config, tiny_dataset(train=(60, 90, 63, 75)))
    eps, beta = config.attack.eps, 6.0
    before = {row.epoch: np.array(row.correct) / np.array(row.total) for row in scores(run, split="train")}
    for knobs in rows_of(run, KnobValues):
        t = before.get(knobs.epoch - 1, np.zeros(4))
        calibrated = knobs.epoch > warmup
        eps_k = (0.3 + t) * eps if calibrated else np.full(4, eps)
        beta_k = (0.5 + t) * beta if calibrated else np.full(4, beta)
        np.testing.assert_allclose(knobs.eps, eps_k, rtol=1e-12)
        np.testing.assert_allclose(knobs.values["robust_weight"], beta_k / (1 + beta_k), rtol=1e-12)
        np.testing.assert_allclose(knobs.values["clean_weight"], 1 / (1 + beta_k), rtol=1e-12)
    assert len({knobs.eps for knobs in rows_of(run, KnobValues)}) == 5 - warmup


def test_bounds_hold_in_a_run(tmp_path: Path) -> None:
    run = trained(tmp_path, tiny_config(rule__eps_min=0.06, rule__eps_max=0.07))
    later = [eps for knobs in rows_of(run, KnobValues)[1:] for eps in knobs.eps]
    assert min(later) >= 0.06
    assert max(later) <= 0.07
    assert len(set(later)) > 1


def test_warm_up_and_averaging_may_be_longer_than_the_run(tmp_path: Path) -> None:
    config = tiny_config("trades-cfa", rule__warmup_epochs=10, averaging__start_epoch=8, train__epochs=2)
    run = trained(tmp_path, config)
    assert len({knobs.eps for knobs in rows_of(run, KnobValues)}) == 1
    assert weights_kinds(run) == {"online"}
    assert default_weights(run) == "online"
    assert all(row.gate_accepted is None for row in rows_of(run, Epoch))
    assert "ended before averaging started (averaging.start_epoch=8)" in run.status.message
    assert "gate never opened" not in run.status.message
    assert "What comes after method.warmup_epochs=10 never came: the run has 2 epochs." in run.status.message


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("trades-cfa", {"method.warmup_epochs": 1}, ""),
        ("trades-cfa", {"method.warmup_epochs": 2}, "method.warmup_epochs=2"),
        ("dafa", {"method.dafa_warmup": 5}, "method.dafa_warmup=5"),
        ("cgr", {"method.feedback_every": 9}, "method.feedback_every=9"),
        ("pgd-at", {}, ""),
    ],
)
def test_what_a_run_is_too_short_for_is_said_when_it_ends(tmp_path: Path, method, changes, said) -> None:
    config = tiny_config(
        method, train__epochs=2, **{name.replace(".", "__"): v for name, v in changes.items()}
    )
    message = trained(tmp_path, config).status.message
    assert (f"What comes after {said} never came" in message) == bool(said)
    assert ("never came" in message) == bool(said)


# Averages ----------------------------------------------------------------------------------------------


def online_of_each_epoch(run: RunFolder) -> list[dict[str, torch.Tensor]]:
    epochs = run.config.train.epochs
    return [load_weights(run.weights_file("online", f"epoch{epoch}")) for epoch in range(1, epochs + 1)]


def threshold_that_rejects_some(tmp_path: Path, method: str) -> float:
    """Training does not depend on the gate, so a first run tells what a second one's gate will see."""
    first = trained(tmp_path / "first", tiny_config(method, train__epochs=6), HARD)
    return float(np.median([row.gate_worst for row in rows_of(first, Epoch)[1:]]))


@pytest.mark.parametrize("method", ["trades", "fat-cfa"])
def test_averaged_weights_are_the_recursion_over_the_snapshots(tmp_path: Path, method: str) -> None:
    threshold = threshold_that_rejects_some(tmp_path, method)
    config = tiny_config(method, train__keep_every=1, train__epochs=6, averaging__threshold=threshold)
    run = trained(tmp_path, config, HARD)
    snapshots, epochs = online_of_each_epoch(run), rows_of(run, Epoch)
    for kind in ("ema", "fawa"):
        expected: dict[str, np.ndarray] | None = None
        for row, weights in zip(epochs, snapshots, strict=True):
            worst = scores(run, split="val", weights="online", attack="pgd-10", epoch=row.epoch)[0]
            statistic = min(np.array(worst.correct) / np.array(worst.total))
            assert row.gate_worst == pytest.approx(statistic)
            if row.epoch < 2 or (kind == "fawa" and statistic < threshold):
                continue
            theta = {name: value.double().numpy() for name, value in weights.items()}
            expected = (
                theta
                if expected is None
                else {name: 0.85 * expected[name] + 0.15 * theta[name] for name in theta}
            )
        assert expected is not None
        found = load_weights(run.weights_file(kind, "last"))
        for name, value in found.items():
            if value.is_floating_point():
                np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-4, atol=1e-6)
    accepted = [row.gate_accepted for row in epochs]
    assert accepted[0] is None
    assert False in accepted
    assert True in accepted
    for row in epochs[1:]:
        assert row.gate_accepted == (row.gate_worst >= threshold)


def test_weights_that_did_not_change_keep_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threshold, evaluated = threshold_that_rejects_some(tmp_path, "trades"), []

    def counting(*arguments):
        evaluated.append(1)
        return count_correct(*arguments)

    monkeypatch.setattr(MODULE, "count_correct", counting)
    run = trained(tmp_path, tiny_config("trades", train__epochs=6, averaging__threshold=threshold), HARD)
    accepted = sum(row.gate_accepted is True for row in rows_of(run, Epoch))
    assert len(evaluated) == 6 + 5 + accepted  # online always, EMA from epoch 2, FAWA when it took an epoch
    fawa = scores(run, weights="fawa", attack="pgd-10")
    for before, after in itertools.pairwise(fawa):
        if not next(row for row in rows_of(run, Epoch) if row.epoch == after.epoch).gate_accepted:
            assert after == dataclasses.replace(before, epoch=after.epoch)


def test_a_gate_that_never_opened_is_said_and_leaves_no_fawa_weights(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config("pgd-at-cfa", averaging__threshold=1.0, optimizer__lr=0.001))
    observer = Stopper()
    fit(run, DATA, CPU, observer)
    assert "FAWA's gate never opened" in run.status.message
    assert "online weights are reported" in run.status.message
    assert any("gate never opened" in line for line in observer.lines)
    assert weights_kinds(run) == {"online", "ema"}
    assert scores(run, weights="fawa") == []
    assert [row.gate_accepted for row in rows_of(run, Epoch)] == [None, False, False, False]
    assert default_weights(run) == "online"


@pytest.mark.parametrize(
    "method", [name for name, method in METHODS.items() if method.reported_with == "fawa"]
)
def test_too_few_validation_images_for_the_worst_class_gate_are_refused(tmp_path: Path, method: str) -> None:
    run = tiny_run(tmp_path, tiny_config(method, data__val_fraction=0.3))
    with pytest.raises(ConfigError) as caught:
        fit(run, DATA, CPU, Observer())
    sentence = str(caught.value)
    assert "averaging.gate=worst needs 20 validation images a class and the smallest has 18" in sentence
    for way_out in ("data.val_fraction", "worst-10-percent", "tail", "mean"):
        assert way_out in sentence
    assert (run.status.state, run.status.message) == ("failed", sentence)
    assert weights_of(run) == {}


def test_elsewhere_fawa_is_then_not_kept_and_the_run_says_so(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config("trades", data__val_fraction=0.3))
    observer = Stopper()
    fit(run, DATA, CPU, observer)
    assert weights_kinds(run) == {"online", "ema"}
    assert any(line.startswith("FAWA weights are not kept") for line in observer.lines)
    assert "FAWA weights were not kept" in run.status.message
    assert {row.gate_accepted for row in rows_of(run, Epoch)} == {None}


@pytest.mark.parametrize("gate", ["worst-10-percent", "tail", "mean"])
def test_other_gates_do_with_few_validation_images(tmp_path: Path, gate: str) -> None:
    run = trained(tmp_path, tiny_config("pgd-at-cfa", data__val_fraction=0.3, averaging__gate=gate))
    assert "fawa" in weights_kinds(run)
    last = scores(run, split="val", weights="online", attack="pgd-10", epoch=4)[0]
    accuracy = np.array(last.correct) / np.array(last.total)
    expected = {"worst-10-percent": accuracy.min(), "tail": accuracy[:2].mean(), "mean": accuracy.mean()}[
        gate
    ]
    assert rows_of(run, Epoch)[-1].gate_worst == pytest.approx(expected)


def test_batch_norm_is_reestimated_where_that_is_set(tmp_path: Path) -> None:
    averaged = trained(tmp_path / "a", tiny_config("trades"))
    again = trained(tmp_path / "b", tiny_config("trades", averaging__batch_norm="re-estimate"))
    train = Images(DATA.train_images, DATA.train_labels).subset(split_images(again.config, DATA).train)
    model = load_model(averaged, "ema", "last")
    expected = copy.deepcopy(model)
    update_bn(clean_batches(train, 32), expected)
    found = load_weights(again.weights_file("ema", "last"))
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found[name], value, msg=name)
    statistics = load_weights(averaged.weights_file("ema", "last"))["network.bn1.running_mean"]
    assert not torch.allclose(statistics, found["network.bn1.running_mean"], atol=1e-4)
    # The online weights are those of the other run: averaging never touches training.
    for name, value in load_weights(averaged.weights_file("online", "last")).items():
        assert torch.equal(value, load_weights(again.weights_file("online", "last"))[name])


# What is chosen, and by what ---------------------------------------------------------------------------


def best_epochs(run: RunFolder, split: str) -> dict[str, int]:
    best: dict[str, tuple[float, int]] = {}
    for row in scores(run, split=split, attack="pgd-10"):
        accuracy = np.array(row.correct) / np.array(row.total)
        score = accuracy.mean() + accuracy.min()
        if score > best.get(row.weights, (-1.0, 0))[0] + 1e-12:
            best[row.weights] = (score, row.epoch)
    return {weights: epoch for weights, (_, epoch) in best.items()}


@pytest.mark.parametrize("select_on", ["val", "test"])
def test_the_best_checkpoint_is_the_one_of_the_rows(tmp_path: Path, select_on: str) -> None:
    config = tiny_config("trades", train__epochs=6, train__select_on=select_on, train__test_probe=True)
    run = trained(tmp_path, config)
    expected = best_epochs(run, select_on)
    for kind, epoch in expected.items():
        metadata = load_metadata(run.weights_file(kind, "best"))
        assert (metadata["epoch"], metadata["weights"], metadata["checkpoint"]) == (str(epoch), kind, "best")
        assert metadata["select_on"] == select_on
    online = load_weights(run.weights_file("online", "last"))
    assert load_metadata(run.weights_file("online", "last"))["epoch"] == "6"
    if expected["online"] == 6:
        for name, value in load_weights(run.weights_file("online", "best")).items():
            assert torch.equal(value, online[name])


def test_stored_best_weights_score_what_their_row_says(tmp_path: Path) -> None:
    run = trained(tmp_path, tiny_config("trades-cfa"))
    val = Images(DATA.train_images, DATA.train_labels).subset(split_images(run.config, DATA).validation)
    for kind, epoch in best_epochs(run, "val").items():
        counts = count_correct(load_model(run, kind, "best"), val, run.config, 4, "pgd-10")
        row = scores(run, split="val", weights=kind, attack="pgd-10", epoch=epoch)[0]
        assert counts.robust == row.correct
        clean = scores(run, split="val", weights=kind, attack="clean", epoch=epoch)[0]
        assert counts.clean == clean.correct


def test_keep_every_keeps_the_online_weights_of_these_epochs(tmp_path: Path) -> None:
    run = trained(tmp_path, tiny_config("pgd-at", train__epochs=5, train__keep_every=2))
    kept = {checkpoint for weights, checkpoint in run.kept_weights() if weights == "online"}
    assert kept == {"best", "last", "epoch2", "epoch4"}
    plain = trained(tmp_path / "plain", tiny_config("pgd-at", train__epochs=2))
    assert load_metadata(run.weights_file("online", "epoch2"))["epoch"] == "2"
    assert {checkpoint for _, checkpoint in plain.kept_weights()} == {"best", "last"}


# What must not matter ----------------------------------------------------------------------------------


def test_two_runs_with_equal_settings_are_equal_bit_for_bit(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", tiny_config("trades-cfa"))
    torch.manual_seed(1234)  # the caller's random numbers are the caller's
    torch.rand(100)
    other = trained(tmp_path / "two", tiny_config("trades-cfa"))
    assert_same_weights(one, other)
    assert timeless(one.rows()) == timeless(other.rows())
    third = trained(tmp_path / "three", tiny_config("trades-cfa", seed=1))
    assert timeless(one.rows()) != timeless(third.rows())


def test_the_callers_random_numbers_are_left_as_found(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    trained(tmp_path, tiny_config("pgd-at", train__epochs=1))
    assert torch.equal(torch.get_rng_state(), state)


class Meddler(Observer):
    """Does what an observer may do at worst, short of reaching into the trainer."""

    def progress(self, progress) -> None:
        torch.manual_seed(0)
        torch.rand(3)
        np.random.default_rng().random()

    def log(self, message: str) -> None:
        torch.rand(7)

    def stop_requested(self) -> None:
        torch.randn(2)


@pytest.mark.parametrize("method", ["trades-cfa", "fat-cfa"])
def test_observers_cannot_change_the_weights(tmp_path: Path, method: str) -> None:
    plain = trained(tmp_path / "plain", tiny_config(method))
    watched = tiny_run(tmp_path / "watched", tiny_config(method))
    fit(watched, DATA, CPU, Meddler())
    assert_same_weights(plain, watched)
    assert timeless(plain.rows()) == timeless(watched.rows())


def test_looking_at_test_images_between_epochs_changes_nothing(tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain", tiny_config())
    probed = trained(tmp_path / "probed", tiny_config(train__test_probe=True))
    assert_same_weights(plain, probed)
    without_test = [row for row in timeless(probed.rows()) if row.get("split") != "test"]
    assert without_test == timeless(plain.rows())
    test = scores(probed, split="test", weights="online")
    assert len(test) == 8
    assert test[0].total == (30, 20, 25, 35)


def test_averaging_validation_and_selection_do_not_reach_the_online_weights(tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain", tiny_config())
    other = trained(
        tmp_path / "other",
        tiny_config(
            averaging__decay=0.3,
            averaging__start_epoch=1,
            averaging__batch_norm="re-estimate",
            train__select_on="test",
        ),
    )
    one, two = (load_weights(run.weights_file("online", "last")) for run in (plain, other))
    assert all(torch.equal(one[name], two[name]) for name in one)


# Data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "expected", "validating"),
    [(1, (40,) * 4, (20,) * 4), (8, (40, 20, 10, 5), (20, 10, 5, 2)), (20, (40, 15, 5, 2), (20, 7, 3, 1))],
)
def test_an_imbalance_ratio_thins_the_classes_before_validation_images_are_set_aside(
    tmp_path: Path, ratio: float, expected: tuple[int, ...], validating: tuple[int, ...]
) -> None:
    config = tiny_config("pgd-at", data__imbalance_ratio=ratio, train__epochs=1, train__batch_size=16)
    run = trained(tmp_path, config)
    assert run.manifest is not None
    assert run.manifest.train_counts == expected  # of n_0 * ratio^(-k / 3), rounded down, two thirds
    assert run.manifest.val_counts == validating
    assert scores(run, split="train")[0].total == expected


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config(train__batch_size=161))
    with pytest.raises(ConfigError, match=r"train\.batch_size=161 exceeds the 160 training images; lower it"):
        fit(run, DATA, CPU, Observer())
    assert run.status.state == "failed"
    whole = trained(tmp_path / "whole", tiny_config(train__batch_size=160, train__epochs=1))
    assert whole.status.state == "finished"


def test_a_class_that_validation_would_take_whole_is_refused(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config("pgd-at", data__val_fraction=0.9))
    with pytest.raises(DataError, match="class 3 has 1 training images"):
        fit(run, tiny_dataset(train=(60, 60, 60, 1)), CPU, Observer())
    assert run.status.state == "failed"


def test_images_are_augmented_where_that_is_set_and_validation_images_never(tmp_path: Path) -> None:
    still = dataclasses.replace(DATA, augmentation=NO_AUGMENTATION)
    plain = trained(tmp_path / "a", tiny_config(data__augment=False), DATA)
    same = trained(tmp_path / "b", tiny_config(data__augment=True), still)
    varied = trained(tmp_path / "c", tiny_config(data__augment=True), DATA)
    assert_same_weights(plain, same)
    assert timeless(plain.rows()) != timeless(varied.rows())
    val = Images(DATA.train_images, DATA.train_labels).subset(split_images(varied.config, DATA).validation)
    counts = count_correct(load_model(varied, "online", "last"), val, varied.config, 4, "pgd-10")
    assert counts.robust == scores(varied, split="val", weights="online", attack="pgd-10", epoch=4)[0].correct


# Warm start --------------------------------------------------------------------------------------------


def test_a_warm_start_begins_with_the_weights_given(tmp_path: Path) -> None:
    source = trained(tmp_path, tiny_config("pgd-at"))
    weights = load_weights(source.weights_file("online", "last"))
    config = tiny_config("trades", optimizer__lr=1e-12, train__epochs=1)
    config = RunConfig.model_validate({**config.model_dump(), "init": source.id})
    run = tiny_run(tmp_path / "warm", config)
    fit(run, DATA, CPU, Observer(), initial=weights)
    found = load_weights(run.weights_file("online", "last"))
    for name in weights:
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(found[name], weights[name], msg=name)


def test_a_warm_start_without_weights_or_with_foreign_ones_is_refused(tmp_path: Path) -> None:
    config = RunConfig.model_validate({**tiny_config("trades").model_dump(), "init": "some-run"})
    run = tiny_run(tmp_path, config)
    with pytest.raises(ConfigError, match="init='some-run' names weights to start from"):
        fit(run, DATA, CPU, Observer())
    with pytest.raises(CheckpointError, match="some-run does not fit this network"):
        fit(run, DATA, CPU, Observer(), initial={"foreign": torch.ones(3)})
    assert run.status.state == "failed"


# Divergence --------------------------------------------------------------------------------------------


def assert_what_is_left_is_finite(run: RunFolder) -> None:
    assert all(all_finite(weights) for weights in weights_of(run).values())
    if run.state_file.exists():
        state = torch.load(run.state_file, weights_only=True)
        assert all_finite(state["model"])
        assert all(all_finite(average) for average in state["averages"].values())


def test_a_run_that_diverges_at_once_says_where_and_what_to_lower(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config(optimizer__lr=1e30))
    observer = Stopper()
    with pytest.raises(Diverged) as caught:
        fit(run, DATA, CPU, observer)
    sentence = str(caught.value)
    assert "not finite in epoch 1, step 2; lower optimizer.lr (now 1e+30)" in sentence
    assert (run.status.state, run.status.message) == ("failed", sentence)
    assert observer.lines[-1] == sentence
    assert_what_is_left_is_finite(run)


@pytest.mark.parametrize("steps", [2, 5])
def test_a_run_that_diverges_later_keeps_its_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    config = tiny_config("trades-cfa", train__batch_size=160 // steps)
    reference = trained(tmp_path / "reference", config)
    monkeypatch.setattr(MODULE, "learning_rate", lambda settings, epoch, epochs: 0.05 if epoch < 3 else 3e38)
    run = tiny_run(tmp_path, config)
    with pytest.raises(Diverged, match=r"epoch 3, step 2; lower optimizer\.lr \(now 3e\+38\)"):
        fit(run, DATA, CPU, Observer())
    assert_it_stands_after_epoch_2(run, reference)


def test_weights_that_an_epochs_last_update_broke_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is computed before the update, so no loss of the epoch has seen these weights."""
    reference = trained(tmp_path / "reference", tiny_config("trades-cfa"))

    def breaking(state, *arguments, **settings) -> None:
        train_epoch(state, *arguments, **settings)
        if state.epoch == 2:
            next(state.model.parameters()).data[0] = torch.inf

    train_epoch = MODULE.train_epoch
    monkeypatch.setattr(MODULE, "train_epoch", breaking)
    run = tiny_run(tmp_path, tiny_config("trades-cfa"))
    with pytest.raises(Diverged, match=r"weights are not finite after epoch 3, step 5; lower optimizer\.lr"):
        fit(run, DATA, CPU, Observer())
    assert_it_stands_after_epoch_2(run, reference)


def assert_it_stands_after_epoch_2(run: RunFolder, reference: RunFolder) -> None:
    assert_what_is_left_is_finite(run)
    assert run.state_file.exists()
    assert timeless(run.rows()) == [row for row in timeless(reference.rows()) if row["epoch"] <= 2]
    assert load_metadata(run.weights_file("online", "last"))["epoch"] == "2"
    assert run.status.state == "failed"


# Ended runs --------------------------------------------------------------------------------------------


def test_a_finished_run_is_not_trained_again_also_when_its_state_is_gone(tmp_path: Path) -> None:
    run = trained(tmp_path, tiny_config())
    rows: list[Row] = run.rows()
    before = weights_of(run)
    run.prune()
    fit(run, DATA, CPU, Observer())
    assert run.rows() == rows
    assert run.status.state == "finished"
    assert all(torch.equal(before[f][n], weights_of(run)[f][n]) for f in before for n in before[f])


def test_ema_alone_takes_a_rejected_epoch() -> None:
    """The two averages of a run differ in their threshold alone."""
    ema, fawa = Averager(decay=0.5, start_epoch=1), Averager(decay=0.5, start_epoch=1, threshold=0.9)
    assert ema.accepts(1, 0.0)
    assert not fawa.accepts(1, 0.0)
