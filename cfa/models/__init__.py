"""Networks that take images in [0, 1], and their weights in files."""

from cfa.models.answers import require_finite, require_logits
from cfa.models.checkpoints import all_finite, save_weights, weights_hash
from cfa.models.contract import admit
from cfa.models.device import float32, ieee_float32, repeatable, wait_for
from cfa.models.foreign import (
    OnCopies,
    as_network,
    in_eval_mode,
    takes,
    weights_in_float32,
    weights_type,
)
from cfa.models.heads import head_of
from cfa.models.model_spec import ModelSpec
from cfa.models.networks import MODELS, ModelBuilder, build_model, for_training, wants_spec
from cfa.models.normalise import Normalise, NormalisedModel, channel_statistics
from cfa.models.preact_resnet import PreActResNet18
from cfa.models.resnet import ResNet18
from cfa.models.small_cnn import SmallCNN
from cfa.models.state_dicts import Reading, load_into
from cfa.models.weights_files import WeightsFile, load_metadata, load_weights, read_weights
from cfa.models.wide_resnet import WideResNet

__all__ = [
    "MODELS",
    "ModelBuilder",
    "ModelSpec",
    "Normalise",
    "NormalisedModel",
    "OnCopies",
    "PreActResNet18",
    "Reading",
    "ResNet18",
    "SmallCNN",
    "WeightsFile",
    "WideResNet",
    "admit",
    "all_finite",
    "as_network",
    "build_model",
    "channel_statistics",
    "float32",
    "for_training",
    "head_of",
    "ieee_float32",
    "in_eval_mode",
    "load_into",
    "load_metadata",
    "load_weights",
    "read_weights",
    "repeatable",
    "require_finite",
    "require_logits",
    "save_weights",
    "takes",
    "wait_for",
    "wants_spec",
    "weights_hash",
    "weights_in_float32",
    "weights_type",
]
