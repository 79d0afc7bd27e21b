"""A draft is what the form on Train says; its trainings are the product of methods, values and seeds."""

import re
import shlex
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from app import wording
from app.engine import errors, training_settings

EPS_SETTINGS = ("attack.eps", "method.eps_min", "method.eps_max")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Settings as typed: texts by dotted name, empty ones left out; a text with commas is several values."""

    methods: tuple[str, ...]
    dataset: str
    model: str
    preset: str
    seeds: tuple[int, ...] = (0,)
    init: str | None = None
    teacher: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def taught(self) -> tuple[str, ...]:
        """Its methods that learn from a teacher."""
        return tuple(name for name in self.methods if training_settings.METHODS[name].needs_teacher)

    def configurations(self) -> list[training_settings.RunConfig]:
        """Build every training once; a setting is used for the methods that have it.

        Raises:
            CfaError: a name nobody answers to, or a value outside its range.
        """
        grid = training_settings.Grid(
            methods=self.methods,
            dataset=self.dataset,
            model=self.model,
            preset=self.preset,
            seeds=self.seeds,
            settings=self.settings,
            init={} if self.init is None else dict.fromkeys(self.methods, self.init),
            teacher={} if self.teacher is None else dict.fromkeys(self.taught, self.teacher),
        )
        return grid.configs()

    def problems(self) -> dict[str, str]:
        """Say by setting what is wrong with what was typed; each is tried with those before it that are not.

        Raises:
            CfaError: Something is wrong beside the settings.
        """
        alone = replace(self, seeds=self.seeds[:1], settings={})
        alone.configurations()
        found: dict[str, str] = {}
        usable: dict[str, str] = {}
        for name, text in self.settings.items():
            try:
                replace(alone, settings={**usable, name: text}).configurations()
            except errors.CfaError as error:
                found[name] = str(error)
            else:
                usable[name] = text.partition(",")[0]
        return found

    def commands(
        self, *, name: str = "", device: str | None = None, tags: Sequence[str] = (), notes: str = ""
    ) -> list[str]:
        """Write the commands that train the same, one a method, as a shell takes them.

        Args:
            name: Of the runs; the commands of several methods leave it out, for each would count from 1.
            device: Where to train.
            tags: Of the runs.
            notes: Of the runs.
        """
        lines = []
        for method in self.methods:
            words = ["cfa", "train", "--method", method, "--dataset", self.dataset, "--model", self.model]
            words += ["--preset", self.preset, "--seed", ",".join(map(str, self.seeds))]
            words += ["--init", self.init] if self.init else []
            words += ["--teacher", self.teacher] if self.teacher and method in self.taught else []
            words += ["--name", name] if name and len(self.methods) == 1 else []
            words += ["--device", device] if device else []
            words += [word for tag in tags for word in ("--tag", tag)]
            words += ["--notes", notes] if notes else []
            known = training_settings.settings_of([method])
            given = [f"{setting}={text}" for setting, text in self.settings.items() if setting in known]
            words += [word for text in given for word in ("--set", text)]
            lines.append(shlex.join(words))
        return lines

    def preset_values(self) -> dict[str, str]:
        """Say what the preset sets, per setting, as text; methods that differ are named."""
        flats = {method: self._preset_of(method).flat() for method in self.methods}
        values = {}
        for name in training_settings.settings_of(self.methods):
            texts = {method: setting_text(name, flat[name]) for method, flat in flats.items() if name in flat}
            distinct = set(texts.values())
            if len(distinct) == 1:
                values[name] = distinct.pop()
            elif distinct:
                values[name] = ", ".join(f"{text} ({method})" for method, text in texts.items())
        return values

    def changes(self) -> pd.DataFrame:
        """Tabulate what differs from the preset: columns ``setting, preset, yours``."""
        presets = self.preset_values()
        rows = [
            (name, presets.get(name, "–"), text)
            for name, text in self.settings.items()
            if text != presets.get(name)
        ]
        return pd.DataFrame(rows, columns=["setting", "preset", "yours"])

    def _preset_of(self, method: str) -> training_settings.RunConfig:
        return training_settings.configure(
            method, self.dataset, model=self.model, preset=self.preset, init=self.init
        )


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read ``0, 1, 2`` or ``0-4``.

    Raises:
        ConfigError: something else was typed, or a seed twice.
    """
    seeds: list[int] = []
    for part in filter(None, re.split(r"[,\s]+", text.strip())):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if match is None:
            raise errors.ConfigError(f"seeds {part!r} cannot be read; write numbers such as 0, 1, 2 or 0-4")
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= 100:
            raise errors.ConfigError(f"seeds {part!r} are {last - first + 1} runs; ask for at most 100")
        seeds += range(first, last + 1)
    if not seeds:
        raise errors.ConfigError("no seed is given; write at least one number, such as 0")
    try:
        return training_settings.distinct_seeds(seeds)
    except ValueError as error:
        raise errors.ConfigError(f"seeds {text.strip()!r} {error}") from error


def setting_text(name: str, value: Any) -> str:
    """Write a setting's value as the form takes it back."""
    if value is None:
        return "none"
    if name in EPS_SETTINGS:
        return wording.eps_255(value)
    if isinstance(value, list | tuple):
        return ";".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def choices(name: str, methods: Iterable[str]) -> tuple[str, ...]:
    """List the values of a setting that has only a few for some methods; empty for numbers."""
    kind = training_settings.kind_of_setting(name, methods)
    if kind is bool:
        return ("false", "true")
    return tuple(typing.get_args(kind)) if typing.get_origin(kind) is typing.Literal else ()
