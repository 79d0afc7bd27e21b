"""Attacks by name: what a result's attack column promises."""

import pytest
import torch
import torch.nn.functional as F

from cfa.attacks import ATTACKS, PGD, FirstBreak, described, named_attack, predict, predict_under
from cfa.errors import UnknownName
from cfa.notation import StepSize
from cfa.trust import allowing
from tests.support.networks import batch_norm_network, buffers_of, images_and_labels, same_tensors

QUARTER = StepSize(value=0.25, relative=True)


@pytest.mark.parametrize(
    ("name", "steps", "best"),
    [("pgd-10", 10, False), ("pgd-20", 20, False), ("pgd-7", 7, False), ("pgd-33-best", 33, True)],
)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_n_is_what_the_design_says(name: str, steps: int, best: bool, norm: str) -> None:
    kind = FirstBreak if best else PGD
    expected = kind(
        norm=norm, steps=steps, step_size=QUARTER, loss="cross-entropy", start="uniform", bn_mode="eval"
    )
    assert named_attack(name, norm) == expected


@pytest.mark.parametrize(("name", "best"), [("pgd-20", False), ("pgd-20-best", True)])
def test_results_describe_pgd_as_they_always_did(name: str, best: bool) -> None:
    """Evaluations of before and after are of equal settings, or they would be told apart in tables."""
    assert described(named_attack(name, "linf")) == {
        "attack": "PGD",
        "norm": "linf",
        "steps": 20,
        "step_size": "0.25*eps",
        "loss": "cross-entropy",
        "start": "uniform",
        "bn_mode": "eval",
        "tau": None,
        "stop_when_broken": best,
        "official_loop": False,
        "shared_step": False,
    }


def test_clean_is_no_attack() -> None:
    assert named_attack("clean", "linf") is None


@pytest.mark.parametrize("name", [name for name in ATTACKS if ":" not in name])  # others: test_torchattacks
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_registered_attack_stays_in_its_ball(name: str, norm: str) -> None:
    model, (x, y) = batch_norm_network().eval(), images_and_labels()
    attack = named_attack(name, norm)
    assert attack is not None
    found = attack(model, x, y, 0.1, generator=torch.Generator().manual_seed(0))
    change = (found - x).flatten(1)
    length = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert length.max() <= 0.1 * (1 + 1e-5)
    assert 0 <= found.min() <= found.max() <= 1


def test_fgsm_is_one_signed_step() -> None:
    model, (x, y) = batch_norm_network().eval(), images_and_labels()
    z = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(z), y), z)
    attack = named_attack("fgsm", "linf")
    assert attack is not None
    torch.testing.assert_close(attack(model, x, y, 0.1), (x + 0.1 * gradient.sign()).clamp(0, 1))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pdg-20", "did you mean 'pgd-20'"),
        ("cleen", "did you mean 'clean'"),
        ("pgd-0", "did you mean 'pgd-"),
        ("pgd-20-beast", "did you mean 'pgd-20-best'"),
        ("PGD-20", "unknown attack 'PGD-20'"),
        ("pgd-20\n", "unknown attack"),
        ("pgd-99999", "unknown attack"),
    ],
)
def test_an_unknown_attack_gets_the_nearest_choices(name: str, hint: str) -> None:
    with pytest.raises(UnknownName) as caught:
        named_attack(name, "linf")
    assert hint in str(caught.value)


def test_a_users_own_attack_that_cannot_be_imported_says_so() -> None:
    with (
        allowing(["nowhere:mine@4/255"]),
        pytest.raises(UnknownName, match="cannot import attack 'nowhere:mine'"),
    ):
        named_attack("nowhere:mine", "linf")


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_the_best_of_the_iterates_is_never_weaker(norm: str, steps: int) -> None:
    """Same start: whatever the last iterate breaks, some iterate has broken."""
    broken, eps = 0, {"linf": 0.1, "l2": 0.6}[norm]
    for seed in range(6):
        model, (x, y) = batch_norm_network(seed=seed).eval(), images_and_labels(60, seed=seed)
        y = torch.where(torch.arange(60) < 45, predict(model, x), y)
        right = {}
        for name in (f"pgd-{steps}", f"pgd-{steps}-best"):
            noise = torch.Generator().manual_seed(seed)
            right[name] = predict_under(model, named_attack(name, norm), x, y, eps, noise) == y
        last, best = right[f"pgd-{steps}"], right[f"pgd-{steps}-best"]
        assert not (best & ~last).any()
        broken += int((~last).sum())
    assert 75 < broken < 355  # of 360, some 67 of which are wrong without an attack


def test_a_broken_image_keeps_the_iterate_that_broke_it() -> None:
    model, (x, y) = batch_norm_network().eval(), images_and_labels(40)
    y = predict(model, x)
    attack = named_attack("pgd-20-best", "linf")
    assert attack is not None
    found = attack(model, x, y, 0.2, generator=torch.Generator().manual_seed(0))
    broken = predict(model, found) != y
    assert broken.any()
    # The iterates by hand: each step of length eps/4 from the same start.
    z = (x + (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) - 1) * 0.2).clamp(0, 1)
    first = torch.where((predict(model, z) != y).view(-1, 1, 1, 1), z, torch.nan)
    for _ in range(20):
        z = z.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(z), y, reduction="sum"), z)
        z = (x + (z.detach() + 0.05 * gradient.sign() - x).clamp(-0.2, 0.2)).clamp(0, 1)
        now = (predict(model, z) != y).view(-1, 1, 1, 1)
        first = torch.where(first.isnan() & now, z, first)
    torch.testing.assert_close(found[broken], first[broken], atol=1e-6, rtol=0)


def test_predictions_are_made_in_eval_mode_and_change_nothing() -> None:
    model, (x, y) = batch_norm_network().train(), images_and_labels()
    before = buffers_of(model)
    expected = batch_norm_network().eval()(x).argmax(1)
    assert torch.equal(predict(model, x), expected)
    assert torch.equal(predict_under(model, None, x, y, 0.1), expected)
    assert same_tensors(before, buffers_of(model))
    assert all(module.training for module in model.modules())
