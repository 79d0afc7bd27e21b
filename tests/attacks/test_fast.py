"""The leaner members of AutoAttack against the package's."""

import pytest
import torch
from pyautoattack.fab_projections import projection_l2, projection_linf
from pyautoattack.square import SquareAttack

from cfa.attacks.autoattack import MEMBERS, MemberName, autoattack
from cfa.attacks.fast import LeanSquare, _project
from cfa.attacks.named import predict
from cfa.notation import Norm
from tests.support.networks import batch_norm_network, images_and_labels


@pytest.mark.parametrize(("norm", "package"), [("linf", projection_linf), ("l2", projection_l2)])
def test_the_projection_without_sorting_is_the_packages(norm: Norm, package) -> None:
    generator = torch.Generator().manual_seed(0)
    points = (torch.rand(300, 40, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    w = torch.randn(300, 40, generator=generator)
    w[::7, ::3] = 0
    b = (w * points).sum(1) + torch.randn(300, generator=generator) * torch.logspace(-2, 1.5, 300)
    found, expected = _project(points, w, b, norm), package(points, w.clone(), b.clone())
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    moved = points + found
    assert moved.min() >= -1e-6
    assert moved.max() <= 1 + 1e-6
    reached = ((w * moved).sum(1) - b).abs() < 1e-3
    assert 100 < int(reached.sum()) < 300  # some hyperplanes do not meet the box


def test_a_row_without_a_direction_does_not_move() -> None:
    points = torch.full((2, 4), 0.5)
    w = torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, 0]])
    found = _project(points, w, torch.tensor([1.0, 0.75]), "linf")
    torch.testing.assert_close(found, torch.tensor([[0.0, 0, 0, 0], [0.25, 0, 0, 0]]))


def test_square_draws_the_same_squares() -> None:
    model, (x, _) = batch_norm_network(seed=2).eval(), images_and_labels(40)
    y, found = predict(model, x), []
    for kind in (SquareAttack, LeanSquare):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            attack = kind(model, norm="Linf", n_queries=200, eps=0.08, seed=3, resc_schedule=False)
            found.append(attack.perturb(x.clone(), y.clone()))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)
    broken = predict(model, found[0]) != y
    assert 0 < int(broken.sum()) < 40


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", MEMBERS)
def test_the_fast_members_break_what_the_packages_break(
    name: MemberName, norm: Norm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cfa.attacks.autoattack.ITERATIONS", 20)
    monkeypatch.setattr("cfa.attacks.autoattack.QUERIES", 150)
    eps = {"linf": 0.05, "l2": 0.35, "l1": 1.5}[norm]
    model, (x, _) = batch_norm_network(classes=6, seed=1).eval(), images_and_labels(60)
    y, passes, found = predict(model, x), [], []
    for attack in (autoattack("alone", norm, (name,)), autoattack("alone", norm, (name,)).faster()):
        (member,) = attack.for_classes(6)[0].members
        counted: list[int] = []
        handle = model.register_forward_pre_hook(lambda _, given, c=counted: c.append(len(given[0])))
        found.append(member(model, x, y, eps, generator=torch.Generator().manual_seed(0)))
        handle.remove()
        passes.append(sum(counted))
    broken = [predict(model, x_adv) != y for x_adv in found]
    assert 5 < int(broken[0].sum()) < 60
    assert int((broken[0] != broken[1]).sum()) <= 2
    change = (found[1] - x).flatten(1)
    length = torch.linalg.vector_norm(change, {"linf": torch.inf, "l2": 2.0, "l1": 1.0}[norm], dim=1)
    assert length.max() <= eps * (1 + 1e-5)
    assert passes[1] <= passes[0]
    if name != "square" and norm != "l1":
        assert passes[1] < 0.8 * passes[0]
