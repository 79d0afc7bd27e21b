"""TAET's loss by hand, its two stages, and batches that must stay whole."""

import pytest

from cfa.errors import ConfigError
from cfa.methods import ClassStats, configure, parts_of
from cfa.methods.catalogue.taet import TaetSettings, taet
from tests.support.worked import adversarial, batch_of, of, same

LOGITS, CLASSES = (
    [[1.0, 0.5, 0.0], [0.0, 1.0, 1.5]],
    [0, 2],
)  # losses 0.680270 and 0.604131; class 1 is absent


@pytest.mark.parametrize(
    ("absent_as_zero", "expected"),
    [
        (True, 0.10225058),  # numbers of the published formula, computed apart from this project
        # mean 0.6422005, variance 0.0380695^2 = 0.0014493, shares 0.5296398 and 0.4703602
        (False, 0.1 * (0.6422005 + 0.0014493 + 0.5017571)),
    ],
)
def test_the_classes_of_a_batch_are_evened_out(absent_as_zero: bool, expected: float) -> None:
    batch = batch_of(LOGITS, CLASSES, evened_out=of([1.0, 1.0, 1.0]))
    settings = TaetSettings(absent_as_zero=absent_as_zero)
    found = taet(settings, same, batch, adversarial(LOGITS)).per_sample
    assert found.tolist() == pytest.approx([expected, expected], abs=1e-6)


def test_it_is_cross_entropy_in_the_first_stage() -> None:
    batch = batch_of(LOGITS, CLASSES, evened_out=of([0.0, 0.0, 0.0]))
    found = taet(TaetSettings(), same, batch, adversarial(LOGITS)).per_sample
    assert found.tolist() == pytest.approx([0.680270, 0.604131], abs=1e-6)


def test_images_are_clean_before_the_second_stage() -> None:
    """40 of 100 epochs, or the same share of a shorter run."""
    for epochs, first in ((100, 40), (10, 4)):
        config = configure("taet", "cifar10", overrides={"train.epochs": epochs})
        rule = parts_of(config).rule
        state, knobs = rule.initial(3)
        for epoch in range(1, epochs + 1):
            second = epoch > first
            assert knobs["eps"].tolist() == [config.attack.eps * second] * 3, epoch
            assert knobs["evened_out"].tolist() == [float(second)] * 3, epoch
            state, knobs = rule(state, ClassStats(epoch=epoch, class_counts=of([1, 1, 1]), seen={}))


def test_a_batch_in_parts_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^taet takes the loss of a whole batch, and train\.batch_parts=2 cuts it"
    ):
        configure("taet", "cifar10", overrides={"train.batch_parts": 2})
