"""Methods: objectives, calibration rules, weight averages, and the recipes and presets made of them."""

from cfa.methods.averaging import Averager, blend, gate_statistic, tail_classes
from cfa.methods.constraints import FairConstraints
from cfa.methods.grids import configure_grid, grid
from cfa.methods.objectives import Objective, Terms
from cfa.methods.presets import (
    MAIN_SETTINGS,
    PRESETS,
    SETTING_HELP,
    Preset,
    config_differences,
    configure,
    default_model,
    default_preset,
    preset_settings,
    train_command,
)
from cfa.methods.recipes import (
    METHODS,
    Recipe,
    display_name,
    known_recipe,
    title_of_ours,
    unused_settings,
)
from cfa.methods.rules import Calibration, ClassKnobs, ClassStats, Rule

__all__ = [
    "MAIN_SETTINGS",
    "METHODS",
    "PRESETS",
    "SETTING_HELP",
    "Averager",
    "Calibration",
    "ClassKnobs",
    "ClassStats",
    "FairConstraints",
    "Objective",
    "Preset",
    "Recipe",
    "Rule",
    "Terms",
    "blend",
    "config_differences",
    "configure",
    "configure_grid",
    "default_model",
    "default_preset",
    "display_name",
    "gate_statistic",
    "grid",
    "known_recipe",
    "preset_settings",
    "tail_classes",
    "title_of_ours",
    "train_command",
    "unused_settings",
]
