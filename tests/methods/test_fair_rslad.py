"""RSLAD and Fair-RSLAD: the loss of one image, its attack, and its weights."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cfa.attacks import PGD
from cfa.methods import METHODS, Attacked, configure, parts_of
from cfa.methods.catalogue.fair_rslad import fair_soft_labels
from cfa.methods.catalogue.rslad import as_it_answers, soft_labels
from cfa.methods.distilling import AwayFromTeacher
from tests.methods.test_fair_ard import batch_of, doubles, same
from tests.support.networks import batch_norm_network, images_and_labels

TAUGHT = doubles([[2, 1, 0.5]])


def test_the_loss_of_one_image() -> None:
    """Example 8: without the constant 1e-5."""
    batch = batch_of(doubles([[1.5, 0.2, -1]]), [0], TAUGHT)
    loss = soft_labels(5 / 6, same, batch, Attacked(x_adv=doubles([[1, 0, -1]])))
    assert loss.per_sample.item() == pytest.approx(0.00641990, abs=1e-7)


def test_both_terms_are_multiplied_with_the_weight_of_the_class() -> None:
    batch = batch_of(doubles([[1.5, 0.2, -1]]), [2], TAUGHT, weight=doubles([1, 1, 2.5]))
    loss = fair_soft_labels(5 / 6, same, batch, Attacked(x_adv=doubles([[1, 0, -1]])))
    assert loss.per_sample.item() == pytest.approx(2.5 * 0.00641990, abs=1e-6)


def test_the_attack_moves_away_from_the_clean_answers_of_the_teacher() -> None:
    """One step of the sign of the gradient of KL(teacher(x) || student(z)), written out."""
    student, teacher = batch_norm_network().eval(), batch_norm_network(seed=3).eval()
    x, y = images_and_labels(8)
    knobs = {"eps": torch.full((8,), 0.1)}
    batch = replace(
        batch_of(torch.zeros(8, 3), y.clamp_max(2).tolist(), torch.zeros(8, 4)),
        x=x,
        y=y,
        knobs=knobs,
        teacher=lambda x: teacher(x).detach(),
    )
    attack = AwayFromTeacher(PGD(steps=1, start="none"), as_it_answers)
    found = attack(student, batch, torch.Generator())
    z = x.clone().requires_grad_(True)
    loss = F.kl_div(F.log_softmax(student(z), dim=1), F.softmax(teacher(x), dim=1).detach(), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(found.x_adv, (x + 2 / 255 * gradient.sign()).clamp(0, 1))
    assert torch.equal(found.also["teacher"], teacher(x))
    assert found.steps_survived is not None
    assert torch.equal(found.steps_survived, (student(x).argmax(dim=1) == y).long())


@pytest.mark.parametrize("method", ["rslad", "fair-rslad", "absld"])
def test_the_teacher_is_asked_once_for_attack_and_loss(method: str) -> None:
    asked = []

    def teacher(x: torch.Tensor) -> torch.Tensor:
        asked.append(len(x))
        return torch.zeros(len(x), 4)

    parts = parts_of(configure(method, "x", model="small-cnn", preset="demo"))
    assert METHODS[method].needs_teacher
    x, y = images_and_labels(8)
    _, knobs = parts.rule.initial(4)
    of_class = knobs.on(torch.device("cpu"))
    batch = replace(
        batch_of(torch.zeros(8, 3), [0] * 8, torch.zeros(8, 4)),
        x=x,
        y=y,
        knobs=of_class.at(y),
        knobs_of_class=of_class,
        teacher=teacher,
    )
    model = batch_norm_network()
    parts.objective(model, batch, parts.attack(model, batch, torch.Generator().manual_seed(0)))
    assert asked == [8]
