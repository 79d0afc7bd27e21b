"""ARD and Fair-ARD: one image's loss, and weights by the attack steps that classes survive."""

import pytest
import torch
from torch import Tensor

from cfa.attacks import PGD
from cfa.methods import TRAINING, Attacked, Batch, ClassStats, Knobs, Tally
from cfa.methods.attacking import CountingSteps
from cfa.methods.catalogue.ard import as_the_teacher
from cfa.methods.catalogue.fair_ard import (
    FairArdSettings,
    WeighsShortLived,
    fair_as_the_teacher,
    weights_by_steps,
)
from cfa.notation import StepSize

STEP = StepSize(value=0.1)
SURVIVED = (7.5, 8.6, 5, 3.8, 4.6, 5.2, 7.2, 7, 7.9, 7.4)
WEIGHTS = (5 / 6, 5 / 6, 1.338801, 2.317866, 1.581759, 1.237797, 5 / 6, 5 / 6, 5 / 6, 5 / 6)


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def same(x: Tensor) -> Tensor:
    return x


def batch_of(x: Tensor, y: list[int], teacher: Tensor, **knobs: Tensor) -> Batch:
    of_class = Knobs(eps=torch.full((3,), 0.1, dtype=x.dtype), **knobs)
    classes = torch.tensor(y)
    return Batch(
        x=x,
        y=classes,
        index=torch.arange(len(y)),
        knobs=of_class.at(classes),
        knobs_of_class=of_class,
        class_counts=torch.full((3,), 10),
        whole_y=classes,
        teacher=lambda x: teacher,
    )


def test_the_loss_of_one_image_is_at_temperature_30() -> None:
    """Example 8; its sixth digit is that of float32."""
    student, teacher = doubles([[1, 0, -1]]), doubles([[2, 1, 0.5]])
    loss = as_the_teacher(30.0, same, batch_of(student, [0], teacher), Attacked(x_adv=student))
    assert loss.per_sample.item() == pytest.approx(0.00913739, abs=1e-6)


def test_a_class_that_is_broken_early_weighs_more() -> None:
    """Example 8."""
    found = weights_by_steps(doubles(SURVIVED), FairArdSettings())
    assert found.tolist() == pytest.approx(WEIGHTS, abs=1e-6)
    assert float(found.sum()) == pytest.approx(11.476222, abs=1e-5)


def test_weights_come_from_the_steps_of_the_images_of_each_class() -> None:
    """Classes of 10, 20, ... images: means count, so that rare classes are no heavier for being rare."""
    total = torch.arange(1, 11) * 10
    tally = Tally(total=total, correct=total, sums={"steps_survived": total * doubles(SURVIVED)})
    rule = WeighsShortLived(0.1, FairArdSettings())
    state, knobs = rule.initial(10)
    assert knobs["weight"].tolist() == [1] * 10
    _, knobs = rule(state, ClassStats(epoch=1, class_counts=total, seen={TRAINING: tally}))
    assert knobs["weight"].tolist() == pytest.approx(WEIGHTS, abs=1e-6)
    assert set(knobs["eps"].tolist()) == {0.1}


def test_a_class_that_is_never_right_weighs_most_and_gives_a_number() -> None:
    found = weights_by_steps(doubles([0, 5, 5]), FairArdSettings())
    assert found.tolist() == pytest.approx([5 / 2, 5 / 6, 5 / 6])


def test_the_loss_is_multiplied_with_the_weight_of_the_class() -> None:
    student, teacher = doubles([[1, 0, -1], [1, 0, -1]]), doubles([[2, 1, 0.5], [2, 1, 0.5]])
    batch = batch_of(student, [0, 2], teacher, weight=doubles([1, 1, 2.5]))
    survived = torch.tensor([3, 10])
    loss = fair_as_the_teacher(30.0, same, batch, Attacked(x_adv=student, steps_survived=survived))
    assert loss.per_sample[1].item() == pytest.approx(2.5 * loss.per_sample[0].item())
    assert loss.sums["steps_survived"].tolist() == [3, 10]


def test_steps_are_counted_before_each_of_them() -> None:
    """Logits (0, 10 (x - s)): class 1 while the pixel is above s; each of five steps takes .1 off it.

    The pixel is .5 .4 .3 .2 .1 before the steps: above .25 before three of them, above .05 before all, above
    .6 before none.
    """
    threshold = torch.tensor([0.25, 0.05, 0.6])

    def model(x: Tensor) -> Tensor:
        pixel = x.flatten(1)[:, 0]
        return torch.stack([torch.zeros_like(pixel), 10 * (pixel - threshold)], dim=1)

    x = torch.full((3, 1, 1, 1), 0.5)
    knobs = Knobs(eps=torch.full((2,), 0.5))
    y = torch.ones(3, dtype=torch.int64)
    batch = Batch(
        x=x,
        y=y,
        index=torch.arange(3),
        knobs=knobs.at(y),
        knobs_of_class=knobs,
        class_counts=torch.tensor([1, 3]),
        whole_y=y,
    )
    pgd = PGD(steps=5, step_size=STEP, start="none")
    found = CountingSteps(pgd)(model, batch, torch.Generator())
    assert found.steps_survived is not None
    assert found.steps_survived.tolist() == [3, 5, 0]
    assert found.x_adv.flatten().tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    torch.testing.assert_close(found.x_adv, pgd(model, x, y, 0.5))
