"""Methods: the interface, one file a method, presets, and the weight averages that every run keeps."""

from typing import TYPE_CHECKING

from cfa.later import imported_later
from cfa.methods.catalogue import METHODS
from cfa.methods.configuring import (
    config_differences,
    configure,
    default_model,
    default_preset,
    helper_epochs,
    kind_of_setting,
    main_settings,
    official_settings,
    own_settings,
    preset_settings,
    settings_of,
    train_command,
    usable_settings,
    validated_settings,
    warm_up_of,
)
from cfa.methods.epochs import Epochs, epochs_of
from cfa.methods.grids import Grid, GridRun
from cfa.methods.interface import (
    Attacked,
    Batch,
    Helper,
    KnobLabel,
    Loss,
    Method,
    NoSettings,
    Objective,
    Pass,
    Sampler,
    TrainingAttack,
)
from cfa.methods.knobs import Knobs, constant
from cfa.methods.naming import (
    KINDS,
    display_name,
    display_name_of_method,
    family_of,
    kind_of,
    kind_of_title,
    known_method,
    passes_an_epoch,
    plain_methods,
)
from cfa.methods.presets import FIRST_METHOD, PRESETS, Preset
from cfa.methods.ranks import Alone, Ranks
from cfa.methods.rules import (
    TRAINING,
    VALIDATION_CLEAN,
    VALIDATION_ROBUST,
    ClassStats,
    OverEpochs,
    Rule,
    State,
    Tally,
    Uniform,
)

if TYPE_CHECKING:
    from cfa.methods.averaging import Averager, blend, gate_statistic, tail_classes
    from cfa.methods.parts import Parts, built, parts_of

__all__ = [
    "FIRST_METHOD",
    "KINDS",
    "METHODS",
    "PRESETS",
    "TRAINING",
    "VALIDATION_CLEAN",
    "VALIDATION_ROBUST",
    "Alone",
    "Attacked",
    "Averager",
    "Batch",
    "ClassStats",
    "Epochs",
    "Grid",
    "GridRun",
    "Helper",
    "KnobLabel",
    "Knobs",
    "Loss",
    "Method",
    "NoSettings",
    "Objective",
    "OverEpochs",
    "Parts",
    "Pass",
    "Preset",
    "Ranks",
    "Rule",
    "Sampler",
    "State",
    "Tally",
    "TrainingAttack",
    "Uniform",
    "blend",
    "built",
    "config_differences",
    "configure",
    "constant",
    "default_model",
    "default_preset",
    "display_name",
    "display_name_of_method",
    "epochs_of",
    "family_of",
    "gate_statistic",
    "helper_epochs",
    "kind_of",
    "kind_of_setting",
    "kind_of_title",
    "known_method",
    "main_settings",
    "official_settings",
    "own_settings",
    "parts_of",
    "passes_an_epoch",
    "plain_methods",
    "preset_settings",
    "settings_of",
    "tail_classes",
    "train_command",
    "usable_settings",
    "validated_settings",
    "warm_up_of",
]

__getattr__ = imported_later(
    __name__,
    {
        "averaging": ("Averager", "blend", "gate_statistic", "tail_classes"),
        "parts": ("Parts", "built", "parts_of"),
    },
)
