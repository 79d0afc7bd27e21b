"""The suite of attacks around AutoAttack: sweeps, minimum norms, kept images, findings, the checklist."""

import dataclasses
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfa.attacks import ATTACKS, named_attack, predict
from cfa.data import to_float
from cfa.errors import CheckpointError, ConfigError, StoreError
from cfa.evaluation import (
    PLANS,
    EvaluationPlan,
    Outcomes,
    attack_images,
    confusion,
    estimate_evaluation_seconds,
    evaluate_weights,
    load_adversarial,
    load_model,
    remake,
    sanity_plan,
    verdicts,
)
from cfa.evaluation.reproduce import reproduce
from cfa.models import load_weights, save_weights
from cfa.progress import Observer
from cfa.runs.evaluations import read_evaluations, read_outcomes
from cfa.runs.folder import RunFolder
from tests.support.probing import probe_passes
from tests.support.tiny import CPU, tiny_config, tiny_dataset, trained

DATA = tiny_dataset(spread=2)
EPS = 16 / 255


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("run"), tiny_config("trades-cfa"), DATA)


@pytest.fixture(scope="module")
def model(run: RunFolder) -> nn.Module:
    return load_model(run, "online", "best")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten AutoAttack: what is asked here does not depend on how strong it is."""
    monkeypatch.setattr("cfa.attacks.autoattack.QUERIES", 50)
    monkeypatch.setattr("cfa.attacks.autoattack.ITERATIONS", 10)


def attacked(model: nn.Module, *attacks: str, **settings: object) -> Outcomes:
    plan = EvaluationPlan(**{"attacks": attacks, "eps": EPS, "batch_size": 32, **settings})
    return attack_images(model, DATA, plan, CPU, Observer())


# Sweeps ------------------------------------------------------------------------------------------------


def test_an_image_broken_at_one_budget_is_broken_at_every_larger_one(run: RunFolder, short: None) -> None:
    budgets = (32 / 255, 8 / 255, 16 / 255)
    plan = EvaluationPlan(attacks=("pgd-5", "autoattack"), eps_sweep=budgets, batch_size=32)
    evaluation = evaluate_weights(run, "online", "best", plan, DATA, CPU, Observer())
    found = read_outcomes(run, evaluation.id)
    for name in ("pgd-5", "autoattack"):
        broken = [found[f"{name}@{n}/255"] != found["label"] for n in (8, 16, 32)]
        assert 0 < broken[0].sum() < broken[1].sum() < broken[2].sum()
        assert not (broken[0] & ~broken[1]).any()
        assert not (broken[1] & ~broken[2]).any()
        rows = [scores for scores in evaluation.scores if scores.attack == name]
        assert [scores.eps for scores in rows] == [8 / 255, 16 / 255, 32 / 255]
        assert [sum(s.total) - sum(s.correct) for s in rows] == [int(b.sum()) for b in broken]
    by = found["autoattack/by@16/255"]
    clean_right = found["clean"] == found["label"]
    np.testing.assert_array_equal(by != "", clean_right & (found["autoattack@16/255"] != found["label"]))
    # Alone, the smallest budget is what it is in no sweep.
    alone = attacked(load_model(run, "online", "best"), "pgd-5", eps=8 / 255)
    np.testing.assert_array_equal(found["pgd-5@8/255"], alone.predictions["pgd-5"])


def test_an_attack_may_have_a_budget_of_its_own(model: nn.Module) -> None:
    found = attacked(model, "pgd-5", "pgd-5@16/255", "pgd-5@255/255")
    np.testing.assert_array_equal(found.predictions["pgd-5"], found.predictions["pgd-5@16/255"])
    assert (found.predictions["pgd-5@255/255"] == found.label).sum() < (
        found.predictions["pgd-5"] == found.label
    ).sum()


# Smallest perturbations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_smallest_perturbation_of_a_linear_model_is_its_distance(norm: str) -> None:
    """For two classes the distance to the boundary is |w x + b| over the dual norm of w."""
    data = tiny_dataset((20, 20), (20, 20), spread=0.2)
    x = to_float(data.test_images).flatten(1)
    linear = nn.Linear(64, 2)
    with torch.no_grad():
        w = (x[data.test_labels == 1].mean(0) - x[data.test_labels == 0].mean(0)) * 0.2
        linear.weight.copy_(torch.stack((-w, w)))
        linear.bias.copy_(torch.stack((w @ x.mean(0), -w @ x.mean(0))))
    model = nn.Sequential(nn.Flatten(), linear)
    plan = EvaluationPlan(attacks=("fab-min",), norm=norm, eps=0.01 if norm == "linf" else 0.5)
    found = attack_images(model, data, plan, CPU, Observer())
    gap = (2 * (x @ w - w @ x.mean(0))).abs().detach()
    dual = (2 * w).abs().sum() if norm == "linf" else (2 * w).norm()
    right = found.predictions["clean"] == found.label
    length = found.lengths["fab-min/norm"]
    expected = (gap / dual).detach().numpy()
    # The box [0, 1] may ask for more, FAB may stop a little beyond the boundary.
    assert (length[right] >= expected[right] * (1 - 1e-4)).all()
    assert np.median(length[right] / expected[right]) < 1.2
    assert (length[~right] == 0).all()
    broken = right & (found.predictions["fab-min"] != found.label)
    np.testing.assert_array_equal(broken, right & (length <= plan.eps * (1 + 1e-5) + 1e-6))


# Kept images ---------------------------------------------------------------------------------------------


def test_the_first_images_of_every_cell_are_kept_and_are_what_they_say(run: RunFolder, short: None) -> None:
    plan = EvaluationPlan(attacks=("pgd-5", "autoattack"), eps=EPS, batch_size=32)
    evaluation = evaluate_weights(run, "online", "best", plan, DATA, CPU, Observer())
    index, model = load_adversarial(run, evaluation.id), load_model(run, "online", "best")
    x = to_float(DATA.test_images)
    seen = 0
    for column in ("pgd-5", "autoattack"):
        for label in range(4):
            for predicted in range(4):
                cell = index.images_of(column, label, predicted)
                clean_wrong = index.outcomes["clean"][cell] != label
                if column == "autoattack":
                    cell = cell[~clean_wrong] if label != predicted else cell[:0]
                for image in cell[:16]:
                    stored = index.stored(column, int(image))
                    assert stored is not None, (column, label, predicted)
                    assert np.abs(stored - x[image].numpy()).max() <= EPS + 1e-6
                    assert int(predict(model, torch.from_numpy(stored)[None])) == predicted
                    seen += 1
                assert all(index.stored(column, int(image)) is None for image in cell[16:])
    assert seen > 50
    by = index.outcomes["autoattack/by"]
    (broken,) = np.flatnonzero(by == "apgd-ce")[:1]
    assert index.stored("autoattack/apgd-ce", int(broken)) is not None
    assert index.stored("autoattack/square", int(broken)) is None


def test_the_budget_of_kept_images_is_kept(model: nn.Module) -> None:
    everything = attacked(model, "pgd-5")
    cells_in_all = int((confusion(everything.label, everything.predictions["pgd-5"], 4) > 0).sum())
    assert cells_in_all > 4  # more than the diagonal
    found = attacked(model, "pgd-5", keep_megabytes=(cells_in_all + 0.5) * 64 * 4 / 1e6)
    assert found.adversarial is not None
    assert len(found.adversarial) == cells_in_all
    assert any("adversarial images were not kept" in sentence for sentence in found.findings)
    # One of every cell before a second.
    cells = list(zip(found.adversarial.label.tolist(), found.adversarial.predicted.tolist(), strict=True))
    assert len(set(cells)) == cells_in_all
    none = attacked(model, "pgd-5", keep_megabytes=0)
    assert none.adversarial is not None
    assert len(none.adversarial) == 0


@pytest.mark.parametrize("column", ["pgd-5", "autoattack", "autoattack/apgd-ce"])
def test_images_that_were_not_kept_can_be_made_again(run: RunFolder, short: None, column: str) -> None:
    plan = EvaluationPlan(attacks=("pgd-5", "autoattack"), eps=EPS, batch_size=32, seed=5)
    evaluation = evaluate_weights(run, "online", "best", plan, DATA, CPU, Observer())
    (evaluation,) = [stored for stored in read_evaluations(run) if stored.id == evaluation.id]
    index = load_adversarial(run, evaluation.id)
    right = index.outcomes["clean"] == index.outcomes["label"]
    wanted = index.outcomes["image"][right][::3].astype(np.int64)
    again = reproduce(run, evaluation, column, wanted, DATA, CPU, Observer())
    assert not again.differs.any()
    np.testing.assert_array_equal(again.predicted, index.outcomes[column][wanted])
    compared = 0
    for image, made in zip(wanted, again.adversarial, strict=True):
        stored = index.stored(column, int(image))
        if stored is not None:
            np.testing.assert_array_equal(stored, made)
            compared += 1
    assert compared > 5
    wrong = index.outcomes["image"][~right][:1].astype(np.int64)
    if column != "pgd-5":
        with pytest.raises(StoreError, match=f"{column} did not attack image {wrong[0]}"):
            reproduce(run, evaluation, column, wrong, DATA, CPU, Observer())


def test_images_of_weights_that_are_no_longer_kept_are_not_made_again(tmp_path: Path, short: None) -> None:
    """A run that trained on has other ``best`` weights: their images are not those of the evaluation."""
    run = trained(tmp_path, tiny_config("pgd-at", train__epochs=1), DATA)
    plan = EvaluationPlan(attacks=("pgd-5",), eps=EPS, batch_size=32, keep_megabytes=0)
    evaluation = evaluate_weights(run, "online", "best", plan, DATA, CPU, Observer())
    file = run.weights_file("online", "best")
    save_weights(file, {name: 1.01 * tensor for name, tensor in load_weights(file).items()}, {})
    image = load_adversarial(run, evaluation.id).outcomes["image"][:1].astype(np.int64)
    with pytest.raises(
        StoreError, match=f"is of epoch {evaluation.epoch}, and the best weights of that time"
    ):
        reproduce(run, evaluation, "pgd-5", image, DATA, CPU, Observer())


def test_what_is_made_again_of_an_evaluation_that_ships_goes_into_the_own_store(
    run: RunFolder, short: None, tmp_path: Path
) -> None:
    plan = EvaluationPlan(attacks=("pgd-5",), eps=EPS, batch_size=32, keep_megabytes=0)
    evaluation = evaluate_weights(run, "online", "best", plan, DATA, CPU, Observer())
    files = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    shipped = RunFolder(run.path, read_only=True, aside=tmp_path / "own" / "evaluations" / run.id)
    images = load_adversarial(shipped, evaluation.id).outcomes["image"][[0, 40]]
    for image in images:  # the second is added to the first
        remake(shipped, evaluation, "pgd-5", np.array([image]), DATA, CPU, Observer())
    made = load_adversarial(shipped, evaluation.id)
    assert [made.remade("pgd-5", int(image)).differs for image in images] == [False, False]
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == files
    assert read_evaluations(shipped) == read_evaluations(run)
    assert load_adversarial(run, evaluation.id).made_again is None


def test_what_is_made_again_is_stored_and_says_whether_it_differs(run: RunFolder, short: None) -> None:
    plan = EvaluationPlan(attacks=("pgd-5",), eps=EPS, batch_size=32, keep_megabytes=0)
    evaluation = evaluate_weights(run, "online", "best", plan, DATA, CPU, Observer())
    index = load_adversarial(run, evaluation.id)
    first, second = int(index.outcomes["image"][0]), int(index.outcomes["image"][40])
    assert index.stored("pgd-5", first) is None
    assert index.remade("pgd-5", first) is None
    for images in ([first], [second, first]):  # the second replaces the first's image and adds its own
        remake(run, evaluation, "pgd-5", np.array(images), DATA, CPU, Observer())
    index = load_adversarial(run, evaluation.id)
    assert len(index.made_again) == 2
    for image in (first, second):
        made = index.remade("pgd-5", image)
        assert made.predicted == index.outcomes["pgd-5"][image]
        assert not made.differs
        clean = DATA.test_images[image].numpy() / np.float32(255)
        assert 0 < np.abs(made.image - clean).max() <= EPS + 1e-6
    others = {**index.outcomes, "pgd-5": (index.outcomes["pgd-5"] + 1) % DATA.num_classes}
    assert replace(index, outcomes=others).remade("pgd-5", first).differs


# Findings ------------------------------------------------------------------------------------------------


class Wrapped(nn.Module):
    """A model whose answers are bent."""

    def __init__(self, model: nn.Module, bend: str) -> None:
        super().__init__()
        self.model, self.bend, self.calls = model, bend, 0

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x)
        if self.bend == "softmax":
            return logits.softmax(1)
        if self.bend == "random":
            return logits + 0.05 * torch.randn(
                logits.shape, generator=torch.Generator().manual_seed(id(logits) % 9999)
            )
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            torch.autograd.grad(self.model(z).sum(), z)
        return logits


@pytest.mark.parametrize(
    ("bend", "sentence"),
    [("softmax", "softmax outputs:"), ("random", "randomised model:"), ("dynamic", "dynamic model:")],
)
def test_a_model_that_attacks_say_little_about_is_a_finding(
    model: nn.Module, bend: str, sentence: str
) -> None:
    tracer = sys.gettrace()
    # Twice: the package never forgets that a dynamic model was seen.
    assert [f.partition(":")[0] + ":" for f in attacked(Wrapped(model, bend), "fgsm").findings] == [sentence]
    assert attacked(model, "fgsm").findings == ()
    assert sys.gettrace() is tracer


def test_what_the_package_does_besides_does_not_get_out(
    model: nn.Module, short: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from pyautoattack import checks

    state, counters, handlers = torch.get_rng_state(), dict(checks.funcs), list(logging.getLogger().handlers)
    required = [parameter.requires_grad for parameter in model.parameters()]
    with caplog.at_level(logging.DEBUG):
        attacked(model, "autoattack-plus")
        attacked(model, "autoattack", mode="fast")
    assert torch.equal(torch.get_rng_state(), state)
    assert checks.funcs == counters
    assert logging.getLogger().handlers == handlers
    assert [parameter.requires_grad for parameter in model.parameters()] == required
    assert all(parameter.grad is None for parameter in model.parameters())
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_what_leaves_the_ball_is_a_finding_and_does_not_count(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cheat(norm: str) -> object:
        return lambda model, x, y, eps, generator=None: torch.rand(x.shape, generator=generator)

    monkeypatch.setitem(ATTACKS._items, "cheat", cheat)
    found = attacked(model, "cheat")
    np.testing.assert_array_equal(found.predictions["cheat"], found.predictions["clean"])
    assert found.findings == (
        "cheat returned 110 images outside of the eps-ball or [0, 1]; they do not count as broken",
    )


def test_out_of_memory_halves_the_batches_and_says_so(model: nn.Module, short: None, tmp_path: Path) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 64 and torch.is_grad_enabled():
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self.model(x)

    plan = EvaluationPlan(attacks=("pgd-3", "apgd-ce"), eps=EPS, batch_size=100)
    found = attack_images(Small(), DATA, plan, CPU, Observer(), tmp_path)
    assert found.batches["pgd-3"].max() == 3  # batches of 100 and 10 become 50, 50, 5, 5
    assert any(
        sentence.startswith("apgd-ce: batches were halved") and "no longer the reference mode" in sentence
        for sentence in found.findings
    )
    again = attack_images(Small(), DATA, plan, CPU, Observer(), tmp_path)
    assert again.findings == found.findings
    assert again.made == 0


# The checklist, presets, cost ------------------------------------------------------------------------------


def test_a_sound_model_passes_the_checklist(run: RunFolder, short: None) -> None:
    plan = dataclasses.replace(sanity_plan(EPS, limit=60, transfer_from=run.id), batch_size=60)
    evaluation = evaluate_weights(run, "ema", "best", plan, DATA, CPU, Observer())
    (stored,) = [found for found in read_evaluations(run) if found.id == evaluation.id]
    assert stored.checks == evaluation.checks
    assert len(stored.checks) == 6
    table = read_outcomes(run, evaluation.id)
    for verdict in stored.checks:
        assert verdict.meaning
        for column, accuracy in verdict.numbers.items():
            assert accuracy == pytest.approx(float((table[column] == table["label"]).mean()))
    assert [verdict.passed for verdict in stored.checks][:2] == [True, True]


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"pgd-20": 0.75}, [0, 4]),
        ({"pgd-100": 0.5}, [1, 3]),
        ({"pgd-100@255/255": 0.1}, [2]),
        ({"square": 0.2}, [3]),
        ({"transfer": 0.1}, [4]),
        ({"noise": 0.6}, [5]),
    ],
)
def test_a_check_fails_where_the_order_is_wrong(changes: dict[str, float], failed: list[int]) -> None:
    accuracies = {
        "clean": 0.9,
        "fgsm": 0.5,
        "pgd-20": 0.4,
        "pgd-100": 0.39,
        "pgd-100@255/255": 0.0,
        "square": 0.45,
        "transfer": 0.7,
        "noise": 0.89,
        **changes,
    }
    label = np.zeros(1000, int)
    predictions = {name: (np.arange(1000) >= 1000 * a).astype(int) for name, a in accuracies.items()}
    plan = sanity_plan(EPS, transfer_from="another")
    found = verdicts(Outcomes(np.arange(1000), label, predictions), plan)
    assert [i for i, verdict in enumerate(found) if verdict.passed is False] == failed
    del predictions["transfer"]
    assert verdicts(Outcomes(np.arange(1000), label, predictions), plan)[4].passed is None


def test_the_presets_are_plans() -> None:
    assert list(PLANS) == ["quick", "paper", "sanity"]
    quick, paper, _ = (PLANS[name].build(EPS, "linf") for name in PLANS)
    assert (quick.attacks, quick.limit, quick.eps) == (("clean", "pgd-20"), 1000, EPS)
    assert (paper.attacks, paper.limit, paper.mode) == (("clean", "autoattack"), None, "reference")


def test_the_cost_grows_with_the_steps_and_the_images(model: nn.Module) -> None:
    def cost(images: int, *attacks: str) -> float:
        plan = EvaluationPlan(attacks=attacks, eps=EPS, batch_size=50)
        return estimate_evaluation_seconds(model, (1, 8, 8), images, 4, plan, CPU)

    assert 0 < cost(50, "pgd-10") < cost(50, "pgd-1000") < cost(5000, "pgd-1000")
    assert cost(50, "autoattack") > cost(50, "apgd-ce")


# What is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"attacks": ("pgd-20",), "norm": "l1", "eps": 12.0}, "pgd-20 does not exist for l1; there are"),
        ({"attacks": ("fab-min",), "norm": "l1", "eps": 12.0}, "fab-min does not exist for l1"),
        ({"attacks": ("autoattack(apgd-ce,apgd-ce)",)}, "names a member twice"),
        ({"attacks": ("autoattack(apgd-ce,pgd)",)}, "unknown member of AutoAttack 'pgd'; did you mean"),
        ({"attacks": ("autoattack-pluss",)}, "did you mean 'autoattack-plus'"),
        ({"attacks": ("pgd-20",), "eps_sweep": (0.1, 0.1)}, "eps_sweep names a budget twice"),
        ({"attacks": ("pgd-20",), "eps_sweep": (0.1, 2.0)}, "eps=2.0 lies outside (0, 1]"),
        ({"attacks": ("pgd-20@8/255",), "eps_sweep": (0.1,)}, "has an eps of its own"),
        ({"attacks": ("pgd-20@much",)}, "has no readable eps behind @"),
        ({"attacks": ("pgd-20@2",)}, "eps='2' lies outside (0, 1]; did you mean 2/255?"),
        ({"attacks": ("transfer",)}, "name the run in transfer_from"),
        ({"attacks": ("pgd-20",), "mode": "faster"}, "mode='faster' is unknown"),
        ({"attacks": ("pgd-20",), "keep_megabytes": -1.0}, "keep_megabytes=-1.0"),
        ({"attacks": ("autoattack",), "norm": "l2", "eps": 0.0}, "eps=0.0 is not a positive number"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_runs(settings: dict, sentence: str) -> None:
    from cfa.errors import CfaError

    with pytest.raises(CfaError) as caught:
        EvaluationPlan(**settings)
    assert sentence in str(caught.value)


def test_a_length_above_one_is_a_budget_of_l1_and_l2() -> None:
    assert EvaluationPlan(attacks=("autoattack",), norm="l1", eps=12.0).eps == 12.0
    assert EvaluationPlan(attacks=("pgd-20",), norm="l2", eps=1.5).eps == 1.5


def test_a_model_that_is_never_right_is_refused() -> None:
    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            answer = torch.zeros(len(x), 4) + 0 * x.sum()
            for i, image in enumerate(x):
                same = (to_float(DATA.test_images) == image).flatten(1).all(1).nonzero()[0, 0]
                answer[i, (int(DATA.test_labels[same]) + 1) % 4] = 1
            return answer

    with pytest.raises(CheckpointError, match=r"gets none of the 110 images right.*nothing to attack"):
        attacked(Wrong(), "autoattack")


def test_training_with_l1_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"attack\.norm='l1' should be 'linf' or 'l2'"):
        tiny_config(attack__norm="l1")


@pytest.mark.parametrize("name", ["pgd-3-r4", "cw-5", "kl-5", "cw-5-best-r2", "pgd-3-best", "noise"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_attack_stays_in_the_ball_and_says_its_cost(model: nn.Module, name: str, norm: str) -> None:
    eps = EPS if norm == "linf" else 0.5
    found = attacked(model, name, norm=norm, eps=eps)
    assert found.findings == ()
    attack = named_attack(name, norm)
    images = 110 + probe_passes(64) + 110 * attack.passes(4)  # clean, the probe, the attack
    assert found.passes <= images
    if "best" not in name and "-r" not in name:
        assert found.passes == images


def test_more_restarts_break_no_fewer(model: nn.Module) -> None:
    found = attacked(model, "pgd-3", "pgd-3-r6")
    once, often = ((found.predictions[name] == found.label).sum() for name in ("pgd-3", "pgd-3-r6"))
    assert often <= once
