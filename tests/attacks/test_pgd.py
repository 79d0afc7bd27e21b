"""PGD against loops that were written without looking at it, and what it must leave alone."""

import copy
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfa.attacks import PGD, FirstBreak, FriendlyPGD, OfficialFriendlyPGD
from cfa.attacks.pgd import NORMAL_START
from cfa.notation import StepSize
from tests.support.networks import batch_norm_network, buffers_of, images_and_labels, same_tensors

EPS = 0.1
TWO = StepSize(value=0.03)
QUARTER = StepSize(value=0.25, relative=True)
Kind = Callable[..., PGD]
KINDS: list[Kind] = [PGD, partial(FriendlyPGD, tau=1), FirstBreak]


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def per_class_eps(y: Tensor) -> Tensor:
    return torch.tensor([0.02, 0.07, 0.1, 0.3])[y]


def reference_linf(model: nn.Module, x: Tensor, y: Tensor, eps: Tensor, alpha: Tensor, steps: int) -> Tensor:
    """Madry's PGD sample by sample: start uniform in the ball, ascend along the sign, project, clip."""
    noise = torch.rand(x.shape, generator=seeded())
    found = []
    for i in range(len(x)):
        low = (x[i] - eps[i]).clamp(0, 1)
        high = (x[i] + eps[i]).clamp(0, 1)
        z = torch.clamp(x[i] + (2 * noise[i] - 1) * eps[i], 0, 1)
        for _ in range(steps):
            z = z.clone().requires_grad_(True)
            F.cross_entropy(model(z[None]), y[i : i + 1]).backward()
            assert z.grad is not None
            z = torch.maximum(torch.minimum(z.detach() + alpha[i] * z.grad.sign(), high), low)
        found.append(z)
    return torch.stack(found)


@pytest.mark.parametrize("relative", [False, True])
def test_it_is_madrys_pgd_with_a_radius_per_sample(relative: bool) -> None:
    model, (x, y) = batch_norm_network().eval(), images_and_labels()
    eps = per_class_eps(y)
    step = QUARTER if relative else TWO
    alpha = eps / 4 if relative else torch.full_like(eps, 0.03)
    expected = reference_linf(copy.deepcopy(model), x, y, eps, alpha, 7)
    found = PGD(steps=7, step_size=step)(model, x, y, eps, generator=seeded())
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert (found - x).abs().amax() > 0.25  # the attack moved


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("start", ["uniform", "normal", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_radius_per_sample_is_the_scalar_one(norm: str, start: str, kind: Kind) -> None:
    model, (x, y) = batch_norm_network().eval(), images_and_labels()
    attack = kind(norm=norm, start=start, steps=5, step_size=QUARTER)
    scalar = attack(model, x, y, EPS, generator=seeded())
    constant = attack(model, x, y, torch.full((len(x),), EPS), generator=seeded())
    assert torch.equal(scalar, constant)


def test_l2_steps_and_projections_equal_numpy() -> None:
    """One step from the image: x + alpha * g / ||g||, pulled back to the ball, clipped to [0, 1]."""
    model, (x, y) = batch_norm_network().eval(), images_and_labels()
    eps = torch.linspace(0.05, 1.5, len(x))
    z = x.clone().requires_grad_(True)
    F.cross_entropy(model(z), y, reduction="sum").backward()
    assert z.grad is not None
    gradient = z.grad.double().numpy().reshape(len(x), -1)
    direction = gradient / np.sqrt((gradient**2).sum(1, keepdims=True))
    moved = 0.4 * direction
    length = np.sqrt((moved**2).sum(1, keepdims=True))
    radius = eps.double().numpy()[:, None]
    projected = np.where(length > radius, moved * radius / length, moved)
    expected = np.clip(x.double().numpy().reshape(len(x), -1) + projected, 0, 1)
    found = PGD(norm="l2", start="none", steps=1, step_size=StepSize(value=0.4))(model, x, y, eps)
    np.testing.assert_allclose(found.numpy().reshape(len(x), -1), expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("start", ["uniform", "normal", "none"])
@pytest.mark.parametrize("loss", ["cross-entropy", "kl", "margin"])
@pytest.mark.parametrize("tau", [None, 0, 2])
def test_it_stays_in_the_ball_and_the_pixel_range(norm: str, start: str, loss: str, tau: int | None) -> None:
    model, (x, y) = batch_norm_network().eval(), images_and_labels(24)
    eps = per_class_eps(y) * (3 if norm == "l2" else 1)
    kind = PGD if tau is None else partial(FriendlyPGD, tau=tau)
    attack = kind(norm=norm, start=start, loss=loss, steps=6, step_size=StepSize(value=0.5))
    found = attack(model, x, y, eps, generator=seeded())
    if not (tau == 0 and start == "normal"):  # FAT without a step is TRADES' start, which nothing clips
        assert found.min() >= 0
        assert found.max() <= 1
    change = (found - x).flatten(1)
    if norm == "linf":
        assert (change.abs().amax(1) <= eps + 1e-6).all() or (tau == 0 and start == "normal")
    else:
        assert (change.norm(dim=1) <= eps * (1 + 1e-5)).all() or (tau == 0 and start == "normal")
    assert not found.requires_grad


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_radius_of_zero_and_a_flat_loss_leave_the_image(norm: str) -> None:
    x, y = images_and_labels()
    found = PGD(norm=norm, steps=3, step_size=TWO)(batch_norm_network().eval(), x, y, 0.0, generator=seeded())
    torch.testing.assert_close(found, x, atol=1e-7, rtol=0)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(36, 4))
    nn.init.zeros_(flat[1].weight)  # type: ignore[arg-type]
    found = PGD(norm=norm, start="none", steps=3, step_size=TWO)(flat, x, y, EPS)
    assert torch.equal(found, x)


def test_the_uniform_linf_start_fills_the_ball() -> None:
    from cfa.attacks import NORMS, per_sample

    x = torch.full((2000, 1, 2, 2), 0.5)
    eps = torch.cat([torch.full((1000,), 0.1), torch.full((1000,), 0.4)])
    delta = NORMS["linf"].random_start(x, per_sample(eps, x), seeded())
    scaled = (delta.flatten(1) / eps[:, None]).flatten()
    assert scaled.abs().max() <= 1
    # A uniform variable on [-1, 1] has mean 0 and variance 1/3; 8,000 draws, five standard errors.
    assert scaled.mean().abs() < 5 * math.sqrt(1 / 3 / 8000)
    assert abs(scaled.var().item() - 1 / 3) < 5 * math.sqrt((1 / 5 - 1 / 9) / 8000)


def test_the_uniform_l2_start_fills_the_ball() -> None:
    from cfa.attacks import NORMS, per_sample

    x = torch.zeros(4000, 1, 1, 3)
    eps = torch.linspace(0.1, 2, len(x))
    delta = NORMS["l2"].random_start(x, per_sample(eps, x), seeded()).flatten(1)
    radius = delta.norm(dim=1) / eps
    assert radius.max() <= 1 + 1e-6
    # In a ball of dimension d the d-th power of the radius is uniform: mean 1/2, variance 1/12.
    assert abs((radius**3).mean().item() - 0.5) < 5 * math.sqrt(1 / 12 / len(x))
    direction = delta / delta.norm(dim=1, keepdim=True)
    assert direction.mean(0).abs().max() < 5 * math.sqrt(1 / 3 / len(x))


def test_the_normal_start_is_that_of_trades() -> None:
    x, y = images_and_labels()
    still = FriendlyPGD(start="normal", tau=0)(batch_norm_network().eval(), x, y, EPS, generator=seeded())
    noise = torch.randn(x.shape, generator=seeded())
    assert torch.equal(still, x + NORMAL_START * noise)
    assert NORMAL_START == 0.001


# TRADES' own attack ------------------------------------------------------------------------------------


def test_the_kl_attack_is_that_of_trades() -> None:
    """The loop of Zhang et al. 2019: KLDivLoss(log softmax(f(x')), softmax(f(x))), sign steps."""
    model, (x, y) = batch_norm_network().eval(), images_and_labels()
    eps, z = per_class_eps(y).view(-1, 1, 1, 1), x + 0.001 * torch.randn(x.shape, generator=seeded())
    for _ in range(6):
        z = z.detach().requires_grad_(True)
        target = F.softmax(model(x), dim=1)
        loss = nn.KLDivLoss(reduction="sum")(F.log_softmax(model(z), dim=1), target)
        (gradient,) = torch.autograd.grad(loss, z)
        z = z.detach() + 0.03 * gradient.sign()
        z = torch.min(torch.max(z, x - eps), x + eps).clamp(0, 1)
    attack = PGD(loss="kl", start="normal", steps=6, step_size=TWO)
    found = attack(model, x, y, per_class_eps(y), generator=seeded())
    torch.testing.assert_close(found, z, atol=1e-6, rtol=0)


# FAT ---------------------------------------------------------------------------------------------------


def slow_fat(
    model: nn.Module, x: Tensor, y: Tensor, eps: Tensor, tau: int, alpha: float, steps: int
) -> Tensor:
    """Friendly adversarial training's attack, whole batch forward, a loop over samples for the rest."""
    noise = torch.rand(x.shape, generator=seeded())
    x_adv = (x + (2 * noise - 1) * eps.view(-1, 1, 1, 1)).clamp(0, 1)
    budget = [tau] * len(x)
    for _ in range(steps):
        x_adv = x_adv.detach().requires_grad_(True)
        logits = model(x_adv)
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, y), x_adv)
        following = x_adv.detach().clone()
        for i in range(len(x)):
            if budget[i] == 0:
                continue
            if logits[i].argmax() != y[i]:
                budget[i] -= 1
            step = x_adv[i].detach() + alpha * gradient[i].sign() - x[i]
            following[i] = (x[i] + step.clamp(-eps[i], eps[i])).clamp(0, 1)
        x_adv = following
    return x_adv.detach()


@pytest.mark.parametrize("tau", [0, 1, 3, 20])
@pytest.mark.parametrize("bn_mode", ["train", "eval"])
def test_the_fat_attack_equals_a_slow_loop_over_samples(tau: int, bn_mode: str) -> None:
    model, (x, y) = batch_norm_network(), images_and_labels(24)
    y[:8] = model.train()(x).argmax(dim=1)[:8]  # right at first, in the mode of the official code
    eps = per_class_eps(y)
    slow = copy.deepcopy(model).train(bn_mode == "train")
    expected = slow_fat(slow, x, y, eps, tau, 0.03, 8)
    attack = FriendlyPGD(steps=8, step_size=TWO, bn_mode=bn_mode, tau=tau)
    found = attack(model, x, y, eps, generator=seeded())
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    full = PGD(steps=8, step_size=TWO, bn_mode=bn_mode)(model, x, y, eps, generator=seeded())
    assert torch.allclose(found, full, atol=1e-6) == (tau == 20)  # tau 20 never stops within 8 steps


def test_in_train_mode_fat_moves_the_statistics_as_whole_batches_do() -> None:
    model, (x, y) = batch_norm_network(), images_and_labels(24)
    slow = copy.deepcopy(model).train()
    slow_fat(slow, x, y, per_class_eps(y), 1, 0.03, 8)
    FriendlyPGD(steps=8, step_size=TWO, bn_mode="train", tau=1)(
        model, x, y, per_class_eps(y), generator=seeded()
    )
    for name, value in slow.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)


# What it leaves as found -------------------------------------------------------------------------------

ATTACKS = [
    kind(steps=3, bn_mode=mode, loss=loss, **extra)
    for mode in ("train", "eval")
    for kind, loss, extra in (
        (PGD, "cross-entropy", {}),
        (PGD, "kl", {"start": "normal"}),
        (PGD, "margin", {"norm": "l2"}),
        (KINDS[1], "cross-entropy", {}),
        (FirstBreak, "cross-entropy", {}),
    )
]


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_modes_and_gradients_and_the_callers_random_numbers_are_left_as_found(attack: PGD) -> None:
    model, (x, y) = batch_norm_network(), images_and_labels()
    model.train()
    model[1].eval()  # a mixture: frozen BatchNorm in a network that trains
    modes = [module.training for module in model.modules()]
    gradients = [torch.randn(p.shape, generator=seeded(i)) for i, p in enumerate(model.parameters())]
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient.clone()
    before, state, images = buffers_of(model), torch.get_rng_state(), x.clone()
    attack(model, x, y, EPS, generator=seeded())
    assert [module.training for module in model.modules()] == modes
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert parameter.requires_grad
        assert torch.equal(parameter.grad, gradient)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, images)
    after = buffers_of(model)
    if attack.bn_mode == "eval":
        assert same_tensors(before, after)
    else:  # running statistics move, weights do not
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert moved == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_modes_are_left_as_found_when_the_model_fails() -> None:
    model, (x, y) = batch_norm_network().train(), images_and_labels()
    with pytest.raises(RuntimeError):
        PGD(bn_mode="eval")(model, x[:, :, :3], y, EPS)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(("bn_mode", "updates"), [("train", 6), ("eval", 0)])
def test_batch_norm_is_in_the_mode_asked_for(bn_mode: str, updates: int) -> None:
    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = batch_norm_network()
            self.seen: list[bool] = []

        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(self.network[1].training)
            return self.network(x)

    model, (x, y) = Spy().train(bn_mode == "eval"), images_and_labels()  # found in the other mode
    PGD(steps=6, bn_mode=bn_mode)(model, x, y, EPS, generator=seeded())
    assert model.seen == [bn_mode == "train"] * 6
    assert int(model.network[1].num_batches_tracked) == updates
    assert model.training == (bn_mode == "eval")


def test_a_plain_function_can_be_attacked() -> None:
    x, y = images_and_labels()
    weight = torch.randn(36, 4, generator=seeded())
    found = PGD(steps=3)(lambda z: z.flatten(1) @ weight, x, y, EPS, generator=seeded())
    assert (found - x).abs().max() > 0.01


# The official loop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bn_mode", ["train", "eval"])
@pytest.mark.parametrize("tau", [0, 1])
def test_fat_without_patience_trains_on_its_starts(bn_mode: str, tau: int) -> None:
    """With tau 0 the official loop ends before its first step, after one look; more would move BatchNorm."""
    model, (x, y) = batch_norm_network(), images_and_labels(24)
    attack = OfficialFriendlyPGD(steps=8, step_size=TWO, bn_mode=bn_mode, tau=tau)
    before = int(model[1].num_batches_tracked)
    found = attack(model, x, y, per_class_eps(y), generator=seeded())
    noise = 2 * torch.rand(x.shape, generator=seeded()) - 1
    start = (x + noise * per_class_eps(y).view(-1, 1, 1, 1)).clamp(0, 1)
    assert torch.equal(found, start) == (tau == 0)
    if bn_mode == "train" and tau == 0:
        assert int(model[1].num_batches_tracked) == before + 1


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_shared_step_is_that_of_the_whole_batch(parts: int, kind: Kind) -> None:
    """FRL steps by a quarter of the batch's largest eps, also where it is computed in parts, or shrinks."""
    model, (x, y) = batch_norm_network().eval(), images_and_labels(24)
    eps = per_class_eps(y)
    shared = kind(steps=4, step_size=QUARTER, start="none")
    absolute = kind(steps=4, step_size=StepSize(value=float(eps.max()) / 4), start="none")
    expected = absolute(model, x, y, eps)
    found = [
        shared(model, xs, ys, radius, unit=eps.max())
        for xs, ys, radius in zip(x.chunk(parts), y.chunk(parts), eps.chunk(parts), strict=True)
    ]
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-6, rtol=0)
