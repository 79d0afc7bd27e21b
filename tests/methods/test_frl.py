"""FRL's constraints against numbers worked out by hand, and its loss and attack against their formulas."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfa.attacks import PGD
from cfa.methods import VALIDATION_CLEAN, VALIDATION_ROBUST, ClassStats, Knobs, Tally, configure, parts_of
from cfa.methods.catalogue.frl import FRL, FairConstraints
from cfa.notation import StepSize
from cfa.progress import Observer
from cfa.runs.rows import KnobValues, Scores
from cfa.training import fit
from cfa.training.preparing import TrainingImages, model_spec, starting_model
from cfa.training.step import Step, as_tensors
from cfa.training.validation import count_correct
from tests.support.tiny import (
    CPU,
    Stopper,
    stopped,
    tiny_config,
    tiny_dataset,
    tiny_run,
    trained,
    weights_of,
)

EPS, BETA = 8 / 255, 1.5
RULE = FairConstraints(eps=EPS, beta=BETA)


def stats(clean: list[int], robust: list[int], total: list[int], epoch: int = 0) -> ClassStats:
    counted = {VALIDATION_CLEAN: clean, VALIDATION_ROBUST: robust}
    seen = {
        name: Tally(total=torch.tensor(total), correct=torch.tensor(correct))
        for name, correct in counted.items()
    }
    return ClassStats(epoch=epoch, class_counts=torch.full((len(total),), 1000), seen=seen)


def test_the_start_is_uniform() -> None:
    state, knobs = RULE.initial(4)
    assert all(multipliers.tolist() == [0] * 4 for multipliers in state.values())
    assert knobs["eps"].tolist() == [EPS] * 4
    assert knobs["clean_weight"].tolist() == [1] * 4
    assert knobs["robust_weight"].tolist() == [BETA] * 4


def test_one_epoch_by_hand() -> None:
    """Four classes, 100 validation images each (one of them 200).

    clean accuracy  0.90 0.80 0.60 0.90, mean 0.80: clean errors 0.10 0.20 0.40 0.10, mean 0.20
    robust accuracy 0.70 0.50 0.10 0.70: boundary errors 0.20 0.30 0.50 0.20, mean 0.30
    over the mean by more than 0.07: clean -0.17 -0.07 0.13 -0.17, boundary -0.17 -0.07 0.13 -0.17
    u = 0.05 * clean, cut at 0: 0 0 0.0065 0; v = 0.1 * boundary, cut at 0: 0 0 0.013 0; sums below 0.5
    m = 0.2 * boundary: -0.034 -0.014 0.026 -0.034; exp(2 m): 0.9343 0.9724 1.0534 0.9343, cut at 0.98
    """
    state, knobs = RULE(RULE.initial(4)[0], stats([90, 80, 120, 90], [70, 50, 20, 70], [100, 100, 200, 100]))
    assert state["clean"].tolist() == pytest.approx([0, 0, 0.0065, 0])
    assert state["boundary"].tolist() == pytest.approx([0, 0, 0.013, 0])
    assert state["eps"].tolist() == pytest.approx([-0.034, -0.014, 0.026, -0.034])
    assert (knobs["eps"] / EPS).tolist() == pytest.approx([0.98, 0.98, 1.0533757, 0.98], rel=1e-7)
    assert knobs["clean_weight"].tolist() == pytest.approx([0.9935, 0.9935, 1.0195, 0.9935])
    assert (knobs["robust_weight"] / BETA).tolist() == pytest.approx([0.987, 0.987, 1.039, 0.987])


def test_many_epochs_are_those_of_the_authors_formulas() -> None:
    """Ten classes; weights as the authors write them: 1/10 + 9/10 l_k - 1/10 sum of the others, times 10."""
    chance = np.random.default_rng(0)
    state, _ = RULE.initial(10)
    u, v, m = np.zeros(10), np.zeros(10), np.zeros(10)
    limited = widest = 0
    for epoch in range(60):
        clean = chance.integers(100, 300, 10)
        clean[3] = 60
        robust = (clean * chance.uniform(0.1, 0.9, 10)).astype(int)
        robust[3], robust[5] = 0, 2
        state, knobs = RULE(state, stats(clean.tolist(), robust.tolist(), [300] * 10, epoch))
        clean_error, near = 1 - clean / 300, clean / 300 - robust / 300
        rate = 0.05 if epoch + 1 < 40 else 0.025
        u = np.maximum(u + rate * (clean_error - clean_error.mean() - 0.07), 0)
        v = np.maximum(v + 2 * rate * (near - near.mean() - 0.07), 0)
        m = m + 0.2 * (near - near.mean() - 0.07)
        limited += (u.sum() > 0.5) + (v.sum() > 0.5)
        u, v = (x if x.sum() <= 0.5 else 0.5 * x / x.sum() for x in (u, v))
        by_hand = [
            [0.1 + 0.9 * x[k] - 0.1 * sum(x[j] for j in range(10) if j != k) for k in range(10)]
            for x in (u, v)
        ]
        factor = [min(max(math.exp(2 * x), 0.98), 3) for x in m]
        widest += max(factor) == 3
        np.testing.assert_allclose(knobs["clean_weight"].numpy(), 10 * np.array(by_hand[0]), rtol=1e-12)
        np.testing.assert_allclose(knobs["robust_weight"].numpy(), 15 * np.array(by_hand[1]), rtol=1e-12)
        np.testing.assert_allclose(knobs["eps"].numpy(), EPS * np.array(factor), rtol=1e-12)
        assert float(knobs["clean_weight"].mean()) == pytest.approx(1)
        assert float(knobs["clean_weight"].min()) > 0.499
    assert limited > 5  # the test saw the limit on the sums,
    assert widest > 5  # and the limit on eps


def test_hard_classes_get_a_larger_eps_where_cfa_gives_a_smaller_one() -> None:
    _, knobs = RULE(RULE.initial(2)[0], stats([90, 90], [80, 20], [100, 100]))
    assert knobs["eps"][1] > EPS > knobs["eps"][0]


@pytest.mark.parametrize(
    ("shared", "relative", "expected"),
    [(True, True, [0.04, 0.04]), (False, True, [0.01, 0.04]), (True, False, [0.25, 0.25])],
)
def test_one_step_for_all_is_a_share_of_the_largest_eps(
    shared: bool, relative: bool, expected: list[float]
) -> None:
    x = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)

    def model(images: Tensor) -> Tensor:
        return torch.stack([images.flatten(1).sum(1), torch.zeros(len(images))], 1)

    attack = PGD(steps=1, step_size=StepSize(value=0.25, relative=relative), start="none")
    eps = torch.tensor([0.04, 0.16])
    moved = attack(model, x, torch.zeros(2, dtype=torch.int64), eps, unit=eps.max() if shared else None)
    moved_by = (x - moved).amax((1, 2, 3)).tolist()
    assert moved_by == pytest.approx([min(e, r) for e, r in zip(expected, (0.04, 0.16), strict=True)])


def test_the_loss_is_normalised_by_the_weights_in_the_batch() -> None:
    """sum(w0 CE) / sum(w0) + 1.5 sum(w1 KL) / sum(w1), and one step of SGD follows its gradient."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    twin = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    twin.load_state_dict(model.state_dict())
    x = torch.rand(7, 3, 2, 2, dtype=torch.float64)
    y = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    config = configure("frl", "tiny", model="small-cnn", preset="demo")
    step = Step.of(parts_of(config), model, torch.ones(3))
    w0 = torch.tensor([0.5, 0.7, 1.8], dtype=torch.float64)
    w1 = torch.tensor([0.8, 1.6, 0.6], dtype=torch.float64)
    eps = torch.full((3,), EPS, dtype=torch.float64)
    knobs = Knobs(eps=eps, clean_weight=w0, robust_weight=BETA * w1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    index = torch.arange(7)
    loss = step(optimizer, x, y, index, knobs, torch.Generator().manual_seed(1)).loss

    batch = step.batch_of(as_tensors(x, y, index, knobs))
    x_adv = step.parts.attack(twin, batch, torch.Generator().manual_seed(1)).x_adv
    p, q = twin(x).softmax(1), twin(x_adv).softmax(1)
    cross_entropy = -p[range(7), y].log()
    divergence = (p * (p / q).log()).sum(1)
    expected = (w0[y] * cross_entropy).sum() / w0[y].sum() + BETA * (w1[y] * divergence).sum() / w1[y].sum()
    assert float(loss) == pytest.approx(float(expected.detach()), rel=1e-10)
    expected.backward()
    for (name, new), (_, old) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
        torch.testing.assert_close(new, old - 0.1 * old.grad, rtol=1e-9, atol=1e-12, msg=name)


def test_epoch_1_has_the_knobs_of_the_network_that_it_starts_from(tmp_path: Path) -> None:

    data = tiny_dataset(spread=2.0)
    source = trained(tmp_path, tiny_config("trades", train__epochs=2), data)
    start = weights_of(source)["last-online"]
    settings = {"train__epochs": 2, "attack__eps": EPS, "rule__clean_bound": 0, "rule__boundary_bound": 0}
    config = tiny_config("frl", **settings).model_copy(update={"init": source.id})
    run = tiny_run(tmp_path, config, "fine-tuned")
    fit(run, data, CPU, Observer(), initial=start)
    first, second = (row for row in run.rows() if isinstance(row, KnobValues))
    assert len(set(first.eps)) > 1  # not uniform: the classes differ before the first step

    rule = parts_of(config).rule
    state, _ = rule.initial(4)
    val = {
        row.attack: row
        for row in run.rows()
        if isinstance(row, Scores) and row.split == "val" and row.weights == "online" and row.epoch == 1
    }
    # What the start scored is in no row, but it can be measured again.
    images = TrainingImages.of(config, data, CPU)
    model = starting_model(config, model_spec(data, images.train, FRL.head), CPU, start, Observer())
    counts = count_correct(model, images.val, config, 4, "pgd-20")
    total = list(counts.total)
    state, knobs = rule(state, stats(list(counts.clean), list(counts.robust), total, 0))
    assert first.eps == pytest.approx(knobs["eps"].tolist())
    assert first.values["clean_weight"] == pytest.approx(knobs["clean_weight"].tolist())
    _, knobs = rule(state, stats(list(val["clean"].correct), list(val["pgd-20"].correct), total, 1))
    assert second.eps == pytest.approx(knobs["eps"].tolist())
    assert second.values["robust_weight"] == pytest.approx(knobs["robust_weight"].tolist())


def test_its_authors_validate_with_twenty_steps(tmp_path: Path) -> None:
    """utils_frl2.py: PGD-20 for the constraints; ours also counts with it for the gate and the checkpoint."""
    plain = tiny_run(tmp_path / "plain", tiny_config("trades", train__epochs=1))
    frl = tiny_run(tmp_path / "frl", tiny_config("frl", train__epochs=1, train__test_probe="true"))
    for run in (plain, frl):
        fit(run, tiny_dataset(spread=2.0), CPU, Observer())
    attacks = [
        {(row.split, row.attack) for row in run.rows() if isinstance(row, Scores) and row.attack != "clean"}
        for run in (plain, frl)
    ]
    assert attacks == [
        {("train", "training"), ("val", "pgd-10")},
        {("train", "training"), ("val", "pgd-20"), ("test", "pgd-20")},
    ]


def test_a_run_that_began_with_ten_steps_goes_on_with_ten(tmp_path: Path) -> None:
    """As one that was stopped before the authors' twenty were known here: one history, one attack."""
    config = tiny_config("frl", train__epochs=2)
    run = tiny_run(tmp_path, config)
    stopped(run, tiny_dataset(spread=2.0), after=7)
    state = torch.load(run.state_file, weights_only=True)
    for splits in state["scores"].values():
        for counts in splits.values():
            del counts["attack"]
    torch.save(state, run.state_file)
    before = len(list(run.rows()))
    fit(run, tiny_dataset(spread=2.0), CPU, Observer())
    later = [row.attack for row in run.rows()[before:] if isinstance(row, Scores) and row.split == "val"]
    assert set(later) == {"clean", "pgd-10"}


def test_a_start_from_random_weights_is_remarked_on(tmp_path: Path) -> None:

    heard = Stopper()
    fit(tiny_run(tmp_path, tiny_config("frl", train__epochs=1)), tiny_dataset(), CPU, heard)
    assert any("--init RUN" in line for line in heard.lines)
