"""Validation counts, the selection score, and BatchNorm re-estimation."""

import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch.optim.swa_utils import update_bn

from cfa.attacks import named_attack, predict
from cfa.data import Images, clean_batches, to_float
from cfa.training import validation
from cfa.training.validation import Counts, count_correct, score_rows
from tests.support.networks import batch_norm_network, buffers_of, same_tensors
from tests.support.tiny import tiny_config


def some_images(count: int = 90) -> Images:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (count, 1, 6, 6), generator=generator, dtype=torch.uint8)
    return Images(images, torch.randint(4, (count,), generator=generator))


def test_counts_equal_the_diagonal_of_a_confusion_matrix() -> None:
    model, images = batch_norm_network().eval(), some_images()
    labels = images.labels.numpy()
    counts = count_correct(model, images, tiny_config(), 4, "pgd-10")
    predicted = predict(model, to_float(images.images)).numpy()
    matrix = confusion_matrix(labels, predicted, labels=range(4))
    assert counts.clean == tuple(matrix.diagonal())
    assert counts.total == tuple(matrix.sum(axis=1))
    assert all(robust <= clean for robust, clean in zip(counts.robust, counts.clean, strict=True))
    assert sum(counts.robust) < sum(counts.clean)


@pytest.mark.parametrize("attack", ["pgd-10", "pgd-20"])
def test_it_attacks_at_the_nominal_eps_and_depends_on_weights_and_seed_alone(
    monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    model, images, config = batch_norm_network().train(), some_images(), tiny_config()
    seen = []

    def spy(name: str, norm: str) -> object:
        seen.append((name, norm))
        return named_attack(name, norm)

    monkeypatch.setattr(validation, "named_attack", spy)
    before, state = buffers_of(model), torch.get_rng_state()
    first = count_correct(model, images, config, 4, attack)
    torch.manual_seed(99)
    assert count_correct(model, images, config, 4, attack) == first
    torch.set_rng_state(state)
    assert seen == [(attack, "linf")] * 2
    assert first.attack == attack
    assert same_tensors(before, buffers_of(model))
    assert model.training


def test_the_last_small_batch_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "BATCH_SIZE", 40)
    counts = count_correct(batch_norm_network().eval(), some_images(90), tiny_config(), 4, "pgd-10")
    assert sum(counts.total) == 90


def test_the_selection_score_is_mean_plus_worst_class() -> None:
    counts = Counts(clean=(9, 9, 9), robust=(5, 2, 30), total=(10, 20, 60))
    assert counts.selection_score == pytest.approx((0.5 + 0.1 + 0.5) / 3 + 0.1)


def test_scores_that_are_equal_in_whole_numbers_are_equal() -> None:
    """So that the first of them is kept, whatever order rounding would give them."""
    shares = [(60, 70, 80), (80, 60, 70), (70, 60, 80)]
    scores = {Counts((0,) * 3, robust, (100,) * 3).selection_score for robust in shares}
    assert scores == {1.3}


def test_rows_carry_what_was_counted() -> None:
    counts, config = Counts((3, 4), (1, 2), (5, 6), "pgd-20"), tiny_config()
    clean, robust = score_rows(counts, config, epoch=7, split="val", weights="ema")
    assert (clean.attack, clean.norm, clean.eps, clean.correct) == ("clean", "none", 0.0, (3, 4))
    assert (robust.attack, robust.norm, robust.eps) == ("pgd-20", "linf", config.attack.eps)
    assert (robust.correct, robust.total, robust.epoch, robust.weights) == ((1, 2), (5, 6), 7, "ema")


@pytest.mark.parametrize("batch_size", [30, 40, 90])
def test_reestimated_statistics_are_the_average_over_batches(batch_size: int) -> None:
    model, images = batch_norm_network(), some_images(90)
    untouched = copy.deepcopy(model)
    update_bn(clean_batches(images, batch_size), model)
    with torch.no_grad():
        features = untouched[0](images.images.double().float() / 255)
    chunks = [chunk.transpose(0, 1).reshape(6, -1).double().numpy() for chunk in features.split(batch_size)]
    expected_mean = np.mean([chunk.mean(axis=1) for chunk in chunks], axis=0)
    expected_var = np.mean([chunk.var(axis=1, ddof=1) for chunk in chunks], axis=0)
    np.testing.assert_allclose(model[1].running_mean.numpy(), expected_mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model[1].running_var.numpy(), expected_var, rtol=1e-4)
    assert int(model[1].num_batches_tracked) == len(chunks)
    assert model[1].momentum == untouched[1].momentum == 0.1
    assert model.training == untouched.training
    for (name, one), (_, other) in zip(model.named_parameters(), untouched.named_parameters(), strict=True):
        assert torch.equal(one, other), name
