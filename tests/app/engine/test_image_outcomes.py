"""The images that pages show are those that were evaluated."""

import dataclasses

import numpy as np
import pytest

from app.engine import image_outcomes
from cfa.data import fingerprint_of_arrays, read_test_part
from cfa.errors import StoreError
from tests.app.views.examples import example_of, method


@pytest.fixture
def outcomes(example_home):
    run = method("trades-cfa")
    return image_outcomes.outcomes(run, example_of(run, "images"))


def having_tested(found, fingerprint):
    evaluation = dataclasses.replace(found.evaluation, test_fingerprint=fingerprint)
    return dataclasses.replace(found, evaluation=evaluation)


def test_images_are_shown_of_the_test_part_that_was_attacked_and_of_no_other(outcomes, tmp_path):
    images, labels = read_test_part("fashion-mnist-mini", tmp_path)
    wanted = outcomes.index.outcomes["image"][:3].tolist()
    true, inverted = (fingerprint_of_arrays(part, labels) for part in (images, 255 - images))
    for known in (true, ""):  # an older evaluation does not know its images
        shown = image_outcomes.test_images(having_tested(outcomes, known), wanted)
        np.testing.assert_array_equal(shown, images[wanted].astype(np.float32) / 255)
    with pytest.raises(StoreError, match="are not those that were evaluated"):
        image_outcomes.test_images(having_tested(outcomes, inverted), wanted)
