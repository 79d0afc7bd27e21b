"""REAT's weights and its term for features, by hand and in plain loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cfa.methods import TRAINING, ClassStats, Tally, configure, parts_of
from cfa.methods.catalogue.reat import (
    EffectiveNumbers,
    ReatSettings,
    apart,
    reat,
    tail_classes,
    weighed_cross_entropy,
)
from tests.support.worked import adversarial, batch_of, of, same

LOGITS, CLASSES, COUNTS = [[1.0, 0.5, 0.0], [0.0, 1.0, 1.5]], [0, 2], (100, 50, 10)
WEIGHTS = (0.338508, 0.532475, 2.129017)  # of the published formula, computed apart from this project


def test_classes_that_are_rarely_predicted_weigh_more_in_the_attack() -> None:
    predicted = torch.tensor([[70, 20, 10], [10, 35, 5], [0, 5, 5]])  # 80, 60 and 20 in all
    tally = Tally(total=torch.tensor(COUNTS), correct=torch.tensor(COUNTS), sums={"predicted": predicted})
    rule = EffectiveNumbers(eps=0.1)
    state, knobs = rule.initial(3)
    assert knobs["attack_weight"].tolist() == [1, 1, 1]
    stats = ClassStats(epoch=1, class_counts=torch.tensor(COUNTS), seen={TRAINING: tally})
    _, knobs = rule(state, stats)
    assert knobs["attack_weight"].tolist() == pytest.approx(WEIGHTS, abs=1e-5)
    batch = batch_of(LOGITS, CLASSES, counts=COUNTS, attack_weight=knobs["attack_weight"])
    raised = weighed_cross_entropy(batch, batch.x)
    # Theirs divides by the sum of the weights, one number for the batch.
    assert float(raised.sum() / batch.knobs["attack_weight"].sum()) == pytest.approx(0.614576, abs=1e-5)


def test_weights_of_classes_do_not_change_what_the_attack_finds_in_eval_mode() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(12, 3), torch.nn.ReLU(), torch.nn.Linear(3, 3)
    )
    config = configure("reat", "tiny", model="small-cnn", preset="demo")
    attack = parts_of(config).attack
    x = [[0.1 * ((7 * i + j) % 10) for j in range(12)] for i in range(6)]
    found = []
    for weight in ([1.0, 1, 1], list(WEIGHTS)):
        batch = batch_of(x, [0, 1, 2, 0, 1, 2], attack_weight=of([*weight, *[1.0] * 9]))
        found.append(attack(model.double(), batch, torch.Generator().manual_seed(0)).x_adv)
    assert torch.equal(*found)


@pytest.mark.parametrize("of_pairs", [False, True])
def test_features_of_rare_classes_are_kept_apart(of_pairs: bool) -> None:
    """Loops over pairs of images, as the authors' code has them, with numpy."""
    y, counts = np.array([0, 5, 3, 5, 1]), np.array([90, 70, 50, 40, 20, 9])
    features = np.random.default_rng(0).normal(size=(5, 6))
    p = np.exp(features) / np.exp(features).sum(axis=1, keepdims=True)
    v = np.sqrt(counts.sum() / counts)
    total, of_tail = 0.0, 0
    for i in range(5):
        if y[i] != 5:  # of six classes one is of the tail
            continue
        of_tail += 1
        pairs = np.array([p[i] * (np.log(p[i]) - np.log(p[j])) for j in range(5)])
        scale = np.array([(-1 if y[i] == y[j] else 1) * (v[y[i]] + v[y[j]]) for j in range(5)])
        total += (scale * pairs.mean(axis=1)).mean() if of_pairs else (scale * pairs.mean()).mean()
    batch = batch_of(features.tolist(), y.tolist(), counts=tuple(counts.tolist()))
    settings = ReatSettings(of_pairs=of_pairs)
    assert float(apart(settings, batch.x, batch)) == pytest.approx(total / of_tail, rel=1e-12)
    loss = reat(settings, same, batch, adversarial(features.tolist()))
    balanced = F.cross_entropy(batch.x + torch.tensor(counts).log(), batch.y)
    assert float(loss.per_sample.mean()) == pytest.approx(float(balanced) + total / of_tail, rel=1e-6)
    assert loss.sums["predicted"].argmax(dim=1).tolist() == features.argmax(axis=1).tolist()


def test_without_an_image_of_the_tail_the_loss_is_the_balanced_one() -> None:
    batch = batch_of(LOGITS, CLASSES, counts=COUNTS)
    found = reat(ReatSettings(), same, batch, adversarial(LOGITS)).per_sample
    assert found.tolist() == pytest.approx(
        [0.292709, 1.834812], abs=1e-5
    )  # of three classes none is of the tail


@pytest.mark.parametrize(
    ("counts", "tail"),
    [
        (range(100, 0, -10), [7, 8, 9]),
        (range(10, 101, 10), [0, 1, 2]),
        ([20] * 10, [7, 8, 9]),
        (range(200, 100, -1), list(range(67, 100))),
    ],
)
def test_the_tail_is_the_last_third_by_size(counts: range | list[int], tail: list[int]) -> None:
    assert tail_classes(torch.tensor(list(counts))).nonzero().flatten().tolist() == tail
