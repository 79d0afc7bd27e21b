"""A run's configuration: from a method, a preset and what somebody sets, and back to the command for it."""

import functools
import operator
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pydantic

from cfa.config import RunConfig, Settings, explain, setting_help, setting_names, validated
from cfa.dotted_settings import nest
from cfa.errors import ConfigError
from cfa.methods.catalogue import METHODS
from cfa.methods.epochs import epochs_of
from cfa.methods.interface import Method, OfficialArgument
from cfa.methods.presets import PRESETS, fixed_settings, lineage, shared_settings
from cfa.older_settings import GROUP, under_present_names
from cfa.registry import unknown

S = TypeVar("S", bound=Settings)

WORD_NONE = ("attack.start",)  # here `none` is a choice and not the absence of one
# Shown first on a form, in this order, with what a method cannot do without; the rest is "advanced".
_MAIN_SETTINGS: tuple[str, ...] = (
    "train.epochs",
    "attack.eps",
    "attack.steps",
    "averaging.threshold",
    "averaging.start_epoch",
    "optimizer.lr",
    "train.batch_size",
)
_OWN_AFTER = "attack.steps"


def default_model(dataset: str) -> str:
    """Return the network for a data set when none is named."""
    return "small-cnn" if dataset.startswith("fashion-mnist") else "preact-resnet18"


def default_preset(model: str) -> str:
    """Return the preset for a network when none is named."""
    return "demo" if model == "small-cnn" else "paper"


def own_settings(method: Method[Any]) -> dict[str, str]:
    """Return the names of a method's own settings, as they are set, and what each means."""
    fields = method.settings.model_fields.items()
    return {f"{GROUP}.{name}": field.description or "" for name, field in fields}


def official_settings(method: Method[Any]) -> dict[str, str]:
    """Return what PKU-ML/CFA calls a method's own settings, each with the name by which it is set here."""
    return {
        one.name: f"{GROUP}.{name}"
        for name, field in method.settings.model_fields.items()
        for one in field.metadata
        if isinstance(one, OfficialArgument)
    }


def settings_of(methods: Iterable[str]) -> dict[str, str]:
    """Return every setting that some methods have, by dotted name, and what each means.

    Where it means something else to some of them, there is a line for each meaning, which says whose it is.

    Raises:
        UnknownName: There is no such method.
    """
    meanings: dict[str, dict[str, list[str]]] = {}
    for method in methods:
        for name, text in own_settings(METHODS[method]).items():
            meanings.setdefault(name, {}).setdefault(text, []).append(method)
    own = {name: _each_with_its_methods(texts) for name, texts in meanings.items()}
    shared = setting_help()
    attack = {name: text for name, text in shared.items() if name.startswith("attack.")}
    return {**attack, **own, **shared}


def _each_with_its_methods(texts: Mapping[str, list[str]]) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    return "\n".join(f"{', '.join(methods)}: {text}" for text, methods in texts.items())


def main_settings(methods: Iterable[str]) -> list[str]:
    """Return what a form shows first: settings of every run, and what the methods cannot do without."""
    own = [
        f"{GROUP}.{name}"
        for method in methods
        for name, field in METHODS[method].settings.model_fields.items()
        if field.is_required()
    ]
    place = _MAIN_SETTINGS.index(_OWN_AFTER) + 1
    return [*_MAIN_SETTINGS[:place], *dict.fromkeys(own), *_MAIN_SETTINGS[place:]]


def kind_of_setting(name: str, methods: Iterable[str]) -> Any:
    """Return the type of a setting that some methods have; their union where it is another for some of them.

    Raises:
        UnknownName: There is no such method, or none of them has it.
    """
    group, _, rest = name.partition(".")
    methods = tuple(methods)
    having = [METHODS[method].settings for method in methods] if group == GROUP else [_group(group)]
    kinds = [
        one.model_fields[rest].annotation for one in having if one is not None and rest in one.model_fields
    ]
    if not kinds:
        raise unknown("setting", name, list(settings_of(methods)))
    return functools.reduce(operator.or_, kinds)


def _group(name: str) -> type[Settings] | None:
    kind = RunConfig.model_fields[name].annotation if name in RunConfig.model_fields else None
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else None


def preset_settings(method: Method[Any], preset: str) -> dict[str, Any]:
    """Return a preset's settings for one method, as dotted names."""
    under = [method.presets.get(name, {}) for name in lineage(preset)]
    fixed = fixed_settings(preset, fine_tunes=method.fine_tunes)
    layers = [method.usual, shared_settings(preset), method.values, *under, fixed]
    return {name: value for layer in layers for name, value in layer.items()}


def configure(
    method: str,
    dataset: str,
    *,
    model: str | None = None,
    preset: str | None = None,
    seed: int = 0,
    init: str | None = None,
    teacher: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Build a run's configuration.

    Args:
        method: A name in :data:`METHODS`.
        dataset: A data set's name.
        model: A network's name; by default the data set's usual one.
        preset: A name in :data:`PRESETS`; by default the network's usual one.
        seed: Seed of weights, order and noise.
        init: A run or a weights file to start from.
        teacher: A run or a weights file to learn from, for methods that do.
        overrides: Settings by dotted name, values or text (``{"attack.eps": "8/255"}``).

    Raises:
        UnknownName: No method or preset has that name.
        ConfigError: A setting does not exist, is out of range, means nothing to the method, or is missing: no
            preset knows the numbers of somebody's own method.
    """
    chosen = METHODS[method]
    model = model or default_model(dataset)
    preset = preset or default_preset(model)
    given = usable_settings(method, overrides or {})
    settings = preset_settings(chosen, preset) | given
    identity = {"method": method, "dataset": dataset, "model": model, "preset": preset}
    if teacher is not None and not chosen.needs_teacher:
        raise ConfigError(f"{method} learns from no teacher; leave it out or choose a method that does")
    sources = {"init": init, "teacher": teacher}
    config = validated({**identity, "seed": seed, **sources, **nest(settings)})
    own = validated_settings(chosen, config)
    return config.model_copy(update={"method_settings": own.model_dump(mode="json")})


def validated_settings(method: Method[S], config: RunConfig) -> S:
    """Return the method's own settings of a configuration.

    Raises:
        ConfigError: One is missing, out of range, or none of the method's; or the method needs whole batches,
            and the configuration cuts them.
    """
    if method.whole_batch and config.train.batch_parts > 1:
        raise ConfigError(
            f"{config.method} takes the loss of a whole batch, and train.batch_parts="
            f"{config.train.batch_parts} cuts it; leave that at 1 and lower train.batch_size for memory"
        )
    try:
        return method.settings.model_validate(dict(config.method_settings))
    except pydantic.ValidationError as error:
        for item in error.errors():
            if item["type"] == "missing":
                raise ConfigError(_asked_for(method, config, str(item["loc"][0]))) from error
        raise ConfigError(explain(error, group=GROUP, names=list(own_settings(method)))) from error


def _asked_for(method: Method[Any], config: RunConfig, name: str) -> str:
    usual = method.settings.model_fields[name].examples
    example = f"; set it, for example --set {GROUP}.{name}={usual[0]}" if usual else "; set it with --set"
    return (
        f"{config.method} needs {GROUP}.{name}, which neither the method nor the preset {config.preset!r} "
        f"gives{example}"
    )


def warm_up_of(config: RunConfig) -> int:
    """Return for how many epochs a run's method treats all classes alike; 0 where it has no warm-up."""
    name = METHODS[config.method].warm_up if config.method in METHODS else ""
    value = config.method_settings.get(name)
    return epochs_of(value, config) if isinstance(value, int | float) else 0


def helper_epochs(config: RunConfig) -> int:
    """Return for how many epochs a run trains its helper first; 0 where its method has none.

    Raises:
        ConfigError: As for :func:`validated_settings`.
    """
    if config.method not in METHODS:
        return 0
    method = METHODS[config.method]
    helper = method.helper(validated_settings(method, config), config)
    return helper.epochs if helper else 0


def usable_settings(method: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return what somebody set under the names of today, texts such as ``none`` read.

    Raises:
        ConfigError: A setting does not exist, means nothing to the method, or is given twice.
    """
    known = settings_of([method])
    try:
        given = under_present_names(overrides)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    for name in given:
        if name in known:
            continue
        if name in settings_of(METHODS):
            raise ConfigError(f"{method} has no {name}; leave it out or choose a method that uses it")
        raise ConfigError(str(unknown("setting", name, list(known))))
    return {name: _plain(name, value) for name, value in given.items()}


def config_differences(config: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which a configuration differs from its preset: ``{name: (preset, own)}``.

    Empty for a preset that is not known here. Of a method that is not, the preset is what it says of all
    methods, and all of the method's own settings are named.
    """
    if config.preset not in PRESETS:
        return {}
    if config.method in METHODS:
        method = METHODS[config.method]
        identity = config.model_dump(include={"method", "dataset", "model", "preset", "seed"})
        plain = validated({**identity, **nest(preset_settings(method, config.preset))}).flat()
        defaults = {
            f"{GROUP}.{n}": f.default for n, f in method.settings.model_fields.items() if not f.is_required()
        }
        plain, own = {**defaults, **plain}, {**defaults, **config.flat()}
    else:
        identity = config.model_dump(include={"method", "dataset", "model", "preset"})
        plain = validated({**identity, **nest(shared_settings(config.preset))}).flat()
        own = config.flat()
    comparable = {*setting_names(), *(name for name in own if name.startswith(f"{GROUP}."))}
    return {
        name: (plain.get(name), value)
        for name, value in own.items()
        if plain.get(name) != value and name in comparable
    }


def train_command(config: RunConfig) -> str:
    """Write the command that trains a configuration."""
    words = ["cfa", "train", "--method", config.method, "--dataset", config.dataset]
    words += ["--model", config.model, "--preset", config.preset, "--seed", str(config.seed)]
    words += ["--init", config.init] if config.init else []
    words += ["--teacher", config.teacher] if config.teacher else []
    for name, (_, own) in config_differences(config).items():
        text = ";".join(map(str, own)) or "none" if isinstance(own, list | tuple) else str(own)
        words += ["--set", f"{name}={text if own is not None else 'none'}"]
    return shlex.join(words)


def _plain(name: str, value: Any) -> Any:
    """Read the texts ``none`` and ``0.5;0.75`` as a form or a command line gives them."""
    if name == "optimizer.milestones" and isinstance(value, str):
        stripped = value.strip().lower()
        return () if stripped == "none" else tuple(part.strip() for part in stripped.split(";"))
    if isinstance(value, str) and value.strip().lower() in ("none", ""):
        return value if name in WORD_NONE else None
    return value
