"""Evaluations that scripts log under one name: of one model, as far as its weights and its answers tell.

A model of somebody's own may answer otherwise with the same weights: what stands around a network, or a
number that is no tensor, is in no hash. Its figures must not stand beside those of the model before.
"""

import hashlib

import numpy as np

from cfa.errors import StoreError
from cfa.runs.evaluations import Evaluation, read_evaluations, read_outcomes
from cfa.runs.folder import RunFolder

OTHERWISE = 0.05  # of the images: a randomised model is still one
_KEPT = 32  # characters of the weights' hash, by which evaluations of the same weights are known


def identity_of(run: RunFolder, made: Evaluation, image: np.ndarray, predicted: np.ndarray) -> str:
    """Return what identifies the model: its weights' hash, or one of its own where its answers are others.

    Args:
        run: Where earlier evaluations were logged.
        made: The evaluation, with the hash of the model's weights.
        image: Positions in the test part of the images that were evaluated.
        predicted: Their classes without an attack.
    """
    earlier = [
        one
        for one in read_evaluations(run)
        if one.weights_hash[:_KEPT] == made.weights_hash[:_KEPT]
        and one.test_fingerprint == made.test_fingerprint
    ]
    for one in reversed(earlier):
        if not _answers_otherwise(run, one, image, predicted):
            return one.weights_hash
    own = hashlib.sha256(made.id.encode()).hexdigest()
    return made.weights_hash[:_KEPT] + own[:_KEPT] if earlier else made.weights_hash


def _answers_otherwise(run: RunFolder, one: Evaluation, image: np.ndarray, predicted: np.ndarray) -> bool:
    try:
        table = read_outcomes(run, one.id, ("image", "clean"))
    except StoreError:
        return False
    if not {"image", "clean"} <= table.keys():
        return False
    _, theirs, ours = np.intersect1d(table["image"], image, return_indices=True)
    return bool(len(ours)) and float(np.mean(table["clean"][theirs] != predicted[ours])) > OTHERWISE
