"""The parts of a run's method, built for its configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cfa.attacks import CLEAN, named_attack
from cfa.config import RunConfig, Settings
from cfa.errors import ConfigError
from cfa.methods.catalogue import METHODS
from cfa.methods.configuring import validated_settings
from cfa.methods.interface import Gradients, Helper, Method, Objective, Pass, Sampler, TrainingAttack
from cfa.methods.rules import Rule


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What training asks of a method; the attributes are those of `Method`, built."""

    method: Method[Any]
    config: RunConfig
    settings: Settings
    attack: TrainingAttack
    objective: Objective
    rule: Rule
    passes: Sequence[Pass]
    sampler: Sampler | None
    gradients: Gradients
    helper: Helper | None


def parts_of(config: RunConfig) -> Parts:
    """Build the parts of a configuration's method.

    Raises:
        UnknownName: There is no such method.
        ConfigError: A setting that the method needs is missing or out of range.
    """
    return built(METHODS[config.method], config)


def built(method: Method[Any], config: RunConfig) -> Parts:
    """Build the parts of a method for a configuration, which has its settings and need not name it.

    Raises:
        ConfigError: As for :func:`parts_of`.
    """
    if method.validated_with == CLEAN:
        raise ConfigError(f"{config.method} validates with clean images only; name an attack such as pgd-10")
    named_attack(method.validated_with, config.attack.norm)
    settings = validated_settings(method, config)
    return Parts(
        method=method,
        config=config,
        settings=settings,
        attack=method.attack(settings, config),
        objective=method.objective(settings, config),
        rule=method.rule(settings, config),
        passes=method.passes(settings, config),
        sampler=method.sampler(settings, config),
        gradients=method.gradients(settings, config),
        helper=method.helper(settings, config),
    )
