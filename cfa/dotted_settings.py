"""Settings by dotted names, ``{"attack.eps": 0.03}``, and as groups, ``{"attack": {"eps": 0.03}}``."""

from collections.abc import Mapping
from typing import Any

from cfa.errors import ConfigError
from cfa.older_settings import GROUP, STORED_AS, under_present_names


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into one level with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted keys into nested dictionaries, the inverse of :func:`flatten`.

    Raises:
        ConfigError: A key goes below a value, or a setting is given under two names.
    """
    nested: dict[str, Any] = {}
    try:
        present = under_present_names(flat)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    for key, value in present.items():
        *groups, last = key.split(".")
        groups = [STORED_AS if group == GROUP else group for group in groups]
        level = nested
        for group in groups:
            level = level.setdefault(group, {})
            if not isinstance(level, dict):
                raise ConfigError(f"setting {key!r} goes below {group!r}, which is a value")
        level[last] = value
    return nested
