"""FAT-var: the variance of the classes' losses by hand, and as the authors' code takes it."""

import statistics

import pytest
import torch
from torch import Tensor

from cfa.methods import METHODS, Attacked, Batch, constant
from cfa.methods.catalogue.fat_var import FatVarSettings, fat_var, variance_of_classes
from cfa.methods.class_losses import losses_of_classes
from tests.methods.test_formulas import ADVERSARIAL, CLASSES, CLEAN


def of(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def batch_of(y: Tensor, x: Tensor) -> Batch:
    knobs = constant(4, eps=0.1)
    return Batch(
        x=x,
        y=y,
        index=torch.arange(len(y)),
        knobs=knobs.at(y),
        knobs_of_class=knobs,
        class_counts=torch.full((4,), 10),
        whole_y=y,
    )


def test_the_losses_of_classes_are_means_and_absent_ones_are_marked() -> None:
    y = torch.tensor([0, 2, 0, 3])
    losses, images = losses_of_classes(of([1, 4, 2, 5]), batch_of(y, torch.zeros(4, 1)), 4)
    assert losses.tolist() == [1.5, 0, 4, 5]
    assert images.tolist() == [2, 0, 1, 1]


def test_the_variance_is_that_of_the_classes_that_are_present() -> None:
    """Of .9, .3 and 1.5: .36. A class with no image does not count, also not as a loss of 0."""
    assert float(variance_of_classes(of([0.9, 0, 0.3, 1.5]), of([2, 0, 1, 7]))) == pytest.approx(0.36)


def test_one_class_alone_has_no_variance() -> None:
    assert float(variance_of_classes(of([0, 0.7, 0]), of([0, 3, 0]))) == 0


def test_as_coded_it_is_that_of_a_list_of_100_mostly_zeros() -> None:
    expected = statistics.variance([0.9, 0.3, 1.5] + [0.0] * 97)
    assert expected == pytest.approx(0.031081818)
    found = variance_of_classes(of([0.9, 0, 0.3, 1.5]), of([2, 0, 1, 7]), listed=100)
    assert float(found) == pytest.approx(expected)


def test_as_coded_more_than_100_classes_are_all_listed() -> None:
    losses, images = torch.linspace(0, 1, 200, dtype=torch.float64), torch.ones(200)
    torch.testing.assert_close(variance_of_classes(losses, images, listed=100), losses.var())


@pytest.mark.parametrize(("as_coded", "expected"), [(False, 0.821660), (True, 0.792965)])
def test_the_loss_of_given_logits(as_coded: bool, expected: float) -> None:
    """Losses 1.180270 and .402569."""
    batch = batch_of(CLASSES, CLEAN)
    settings = FatVarSettings(as_coded=as_coded)
    loss = fat_var(settings, lambda logits: logits, batch, Attacked(x_adv=ADVERSARIAL)).per_sample.mean()
    assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_a_batch_in_parts_is_refused() -> None:
    assert METHODS["fat-var"].whole_batch
