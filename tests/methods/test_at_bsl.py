"""AT-BSL's loss by hand, and a class without training images."""

import pytest
import torch

from cfa.errors import ConfigError
from cfa.methods import METHODS, configure, display_name, parts_of
from cfa.methods.catalogue.at_bsl import balanced_cross_entropy
from cfa.methods.catalogue.pgd_at import adversarial_cross_entropy
from cfa.training.step import Step
from tests.support.seen import small_network
from tests.support.worked import adversarial, batch_of, same

LOGITS, CLASSES, COUNTS = [[1.0, 0.5, 0.0], [0.0, 1.0, 1.5]], [0, 2], (100, 50, 10)


def test_the_prior_of_the_training_set_is_added_to_the_logits() -> None:
    """Numbers of the published formula, computed apart from this project."""
    batch = batch_of(LOGITS, CLASSES, counts=COUNTS)
    found = balanced_cross_entropy(same, batch, adversarial(LOGITS))
    assert found.per_sample.tolist() == pytest.approx([0.292709, 1.834812], abs=1e-6)
    assert found.logits_adv.tolist() == LOGITS  # predictions are made without it
    plain = adversarial_cross_entropy(same, batch, adversarial(LOGITS))
    assert plain.per_sample.tolist() == pytest.approx([0.680270, 0.604131], abs=1e-6)


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.needs_every_class])
def test_a_class_without_training_images_is_refused(method: str) -> None:
    parts = parts_of(configure(method, "tiny", model="small-cnn", preset="demo"))
    counts = torch.tensor([20, 0, 5])
    with pytest.raises(ConfigError, match=f"^{method} divides by .* class 1 has none; add images"):
        Step.of(parts, small_network(3), counts)


def test_cfa_around_it_is_said_to_be_ours() -> None:
    assert display_name("at-bsl-cfa", "fawa") == "AT-BSL + CFA (ours)"
    assert display_name("at-bsl-cfa", "online") == "AT-BSL + CCM"
