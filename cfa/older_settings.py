"""Settings under the names and in the groups that they had before methods brought their own.

``rule.lambda_eps`` and ``objective.beta`` are ``method.lambda_eps`` and ``method.beta`` today: each method
declares its own settings (`cfa.methods`). The old names go on working in commands, suites and stored runs.
"""

from collections.abc import Mapping
from typing import Any, Literal

FORMAT: Literal[3] = 3
"""Of stored configurations. In format 2 `train.precision` float32 meant PyTorch's own arithmetic, which is
tf32 today; before, without a format, all methods' settings stood in two groups besides."""

GROUP = "method"
OLD_GROUPS = ("objective", "rule")
STORED_AS = "method_settings"  # `method` is the method's name

# What stored runs of every method held in these groups, also where the method had no use for it. Such values
# say nothing; a method whose setting has one of these names has the same default.
SAID_OF_ALL: Mapping[str, Any] = {
    "warmup_epochs": 10,
    "clean_bound": 0.07,
    "boundary_bound": 0.07,
    "weight_rate": 0.05,
    "eps_rate": 0.2,
    "weight_limit": 0.5,
}


def present_name(name: str) -> str:
    """Return the name that a setting has today."""
    group, dot, rest = name.partition(".")
    return f"{GROUP}.{rest}" if dot and group in OLD_GROUPS else name


def under_present_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by dotted name under the names that they have today.

    Raises:
        ValueError: One is given under two names with different values.
    """
    found: dict[str, Any] = {}
    said_as: dict[str, str] = {}
    for name, value in settings.items():
        present = present_name(name)
        if present in found and found[present] != value:
            raise ValueError(
                f"{said_as[present]}={found[present]!r} and {name}={value!r} are the same setting; "
                "give it once"
            )
        found[present], said_as[present] = value, name
    return found


def present_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a stored configuration into one of today; what was typed today is left as it is.

    Raises:
        ValueError: A group is none, or a setting stands in two with different values.
    """
    older = stored.get("format") == 2 or any(group in stored for group in OLD_GROUPS)
    found = _present_groups(stored)
    return {**found, "format": FORMAT, "train": _present_precision(found.get("train"))} if older else found


def _present_precision(train: object) -> Any:
    """Name PyTorch's own arithmetic, in which stored runs trained that say float32, by its name of today."""
    if not isinstance(train, Mapping):
        return {} if train is None else train
    return {**train, "precision": "tf32"} if train.get("precision") == "float32" else train


def _present_groups(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the groups of a stored configuration into those of today.

    Raises:
        ValueError: A group is none, or a setting stands in two with different values.
    """
    given = {group: stored[group] for group in OLD_GROUPS if group in stored}
    if not given:
        return dict(stored)
    flat: dict[str, Any] = {}
    for group, settings in {STORED_AS: stored.get(STORED_AS, {}), **given}.items():
        if not isinstance(settings, Mapping):
            raise ValueError(f"{group}={settings!r} should be a group of settings")
        prefix = GROUP if group == STORED_AS else group
        flat |= {f"{prefix}.{name}": value for name, value in settings.items()}
    own = {name.partition(".")[2]: value for name, value in under_present_names(flat).items()}
    rest = {name: value for name, value in stored.items() if name not in OLD_GROUPS}
    return {**rest, STORED_AS: {name: value for name, value in own.items() if _says_something(name, own)}}


def _says_something(name: str, own: Mapping[str, Any]) -> bool:
    """Tell a value that its method read from one that every run had."""
    calibrates = {
        "warmup_epochs": ("lambda_eps", "lambda_beta"),
        "eps_min": ("lambda_eps",),
        "eps_max": ("lambda_eps",),
    }
    if any(own.get(other) is not None for other in calibrates.get(name, ())):
        return True
    return name in telling({name: own[name]})


def telling(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's settings without those that say nothing, by which equal experiments are known."""
    return {
        name: value for name, value in own.items() if value is not None and SAID_OF_ALL.get(name) != value
    }
