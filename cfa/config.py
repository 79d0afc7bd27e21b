"""What a run is: frozen, validated settings that survive a round trip through JSON.

Defaults here are those of the CFA paper (section 5.1, CIFAR-10 and PreActResNet-18); presets in
`cfa.methods.presets` fill in what depends on the method, the network or the data set.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from cfa.errors import ConfigError

Norm = Literal["linf", "l2", "l1", "l0"]  # l0 counts pixels
TrainingNorm = Literal["linf", "l2"]  # for the others there are attacks, but no training attack
BatchNormMode = Literal["train", "eval"]
WeightsKind = Literal["online", "ema", "fawa"]
CheckpointKind = Literal["best", "last"]
Split = Literal["train", "val", "test"]
Gate = Literal["worst", "worst-10-percent", "tail", "mean"]

WEIGHTS_KINDS: tuple[WeightsKind, ...] = get_args(WeightsKind)
CHECKPOINT_KINDS: tuple[CheckpointKind, ...] = get_args(CheckpointKind)
GATES: tuple[Gate, ...] = get_args(Gate)


# At most three digits of exponent: a fraction of exact integers takes the time and memory of its exponent.
_DECIMAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?"
_FRACTION = re.compile(rf"\s*([+-]?{_DECIMAL})\s*(?:/\s*({_DECIMAL})\s*)?", re.IGNORECASE)


def parse_fraction(value: object) -> object:
    """Read ``8/255``, ``8./255.`` or ``8e0/255`` as a number; anything else is left as it is."""
    match = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    try:
        return float(Fraction(match[1]) / Fraction(match[2] or 1))
    except (ValueError, ZeroDivisionError, OverflowError):
        return value


def format_eps(eps: float) -> str:
    """Write ``eps`` as n/255 with at most two digits, the unit of the field."""
    return f"{round(eps * 255, 2):g}/255"


UNLIKELY_LENGTH = 16  # in l2, half of an image of CIFAR-10 from black to grey; budgets there are 0.5 to 3


def read_budget(norm: Norm, value: object) -> float:
    """Read a budget as someone wrote it, and ask about one that was surely meant in n/255.

    Raises:
        ValueError: what is wrong with it, as the end of a sentence that begins with the value.
    """
    eps = parse_fraction(value)
    if not isinstance(eps, int | float) or isinstance(eps, bool):
        raise ValueError("is not a number; write a fraction such as 8/255, or a decimal such as 0.03")
    plain = not (isinstance(value, str) and "/" in value)
    if norm == "linf":
        if not 0 < eps <= 1:
            meant = f"did you mean {eps:g}/255?" if plain and 1 < eps <= 255 else ""
            raise ValueError(f"lies outside (0, 1]; {meant or 'write a fraction such as 8/255'}")
        return float(eps)
    if not 0 < eps < math.inf:
        example = "numbers of pixels such as 5" if norm == "l0" else "lengths such as 0.5"
        raise ValueError(f"is not a positive number; {norm} budgets are {example}")
    whole = isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal())
    if norm == "l2" and whole and UNLIKELY_LENGTH <= eps <= 255:
        raise ValueError(f"is a very long way in l2; did you mean {eps:g}/255? If not, write {eps:.1f}")
    return float(eps)


def eps_for(norm: Norm, value: object) -> float:
    """Return the budget that ``value`` is, text or number: in (0, 1] for linf, else any positive number.

    Raises:
        ConfigError: it is none of this norm, or was surely meant in n/255.
    """
    try:
        return read_budget(norm, value)
    except ValueError as error:
        raise ConfigError(f"eps={value!r} {error}") from error


def _read_bound(value: object) -> object:
    """Read a bound of ``eps``, which may be 0, for the settings that have one."""
    number = parse_fraction(value)
    return value if value is None or number == 0 else read_budget("linf", value)


def distinct_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Return seeds that are asked for, each a run of its own.

    Raises:
        ValueError: One is named twice; that makes the same run again, and no further seed.
    """
    found = tuple(seeds)
    repeated = [str(seed) for seed in dict.fromkeys(found) if found.count(seed) > 1]
    if repeated:
        raise ValueError(
            f"names seed {', '.join(repeated)} more than once, which makes the same run again and no further "
            "seed; name each seed once"
        )
    return found


Number = Annotated[float, BeforeValidator(parse_fraction), Field(allow_inf_nan=False)]
EpsBound = Annotated[float, BeforeValidator(_read_bound)]


class StepSize(BaseModel):
    """A step of an attack: absolute (``2/255``), or relative to each sample's ``eps`` (``eps/4``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    relative: bool = False

    def __str__(self) -> str:
        """Write the step as it is written on the command line."""
        return f"{self.value!r}*eps" if self.relative else repr(self.value)


_RELATIVE = re.compile(
    rf"\s*(?:(?P<factor>{_DECIMAL})\s*\*?\s*)?eps(?:\s*/\s*(?P<divisor>{_DECIMAL}))?\s*", re.IGNORECASE
)


def parse_step_size(value: object) -> object:
    """Read ``eps/4``, ``0.25*eps``, ``2/255`` or a number as a :class:`StepSize`."""
    relative = isinstance(value, str) and _RELATIVE.fullmatch(value)
    number: object
    if relative:
        divisor = float(relative["divisor"] or 1)
        number = float(relative["factor"] or 1) / divisor if divisor else math.inf
    else:
        number = parse_fraction(value)
    if not isinstance(number, int | float) or isinstance(number, bool):
        return number  # for pydantic to judge
    if not 0 < number < math.inf:
        raise ValueError("should be above 0; write eps/4 or 2/255")
    return StepSize(value=number, relative=bool(relative))


Step = Annotated[StepSize, BeforeValidator(parse_step_size), PlainSerializer(str, return_type=str)]


class Settings(BaseModel):
    """Base of every group of settings: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AttackSettings(Settings):
    """The attack that training, validation and the closing test share; ``eps`` is the nominal budget."""

    norm: TrainingNorm = "linf"
    eps: Number = 8 / 255  # the paper's
    steps: Annotated[int, Field(ge=1, le=1000)] = 10  # PGD-10 in training
    step_size: Step = StepSize(value=2 / 255)  # stays absolute when eps_k moves, as in the official code
    start: Literal["uniform", "normal", "none"] = "uniform"  # TRADES starts from x + 0.001 N(0, 1)
    bn_mode: BatchNormMode = "train"  # AT and FAT attack in train mode in the official code, TRADES in eval

    @pydantic.field_validator("eps", mode="before")
    @classmethod
    def _eps_is_a_budget(cls, value: object, info: pydantic.ValidationInfo) -> float:
        norm: Norm = info.data.get("norm", "linf")
        eps = read_budget(norm, value)
        if eps > 1:
            raise ValueError(f"lies outside (0, 1]; trainings take {norm} lengths up to 1")
        return eps


class ObjectiveSettings(Settings):
    """Constants of the loss; those that a method does not have are ``None``."""

    beta: Annotated[Number, Field(gt=0)] | None = None  # TRADES: weight of the KL term
    tau: Annotated[int, Field(ge=0)] | None = None  # FAT: extra steps once a sample is misclassified


class RuleSettings(Settings):
    """Class-wise calibration: CFA's (eq. 6 and 7), then FRL's constraints; each for its methods."""

    lambda_eps: Annotated[Number, Field(ge=0, le=2)] | None = None  # CCM: eps_k = (lambda_eps + t_k) eps
    lambda_beta: Annotated[Number, Field(ge=0, le=2)] | None = None  # CCR: beta_k = (lambda_beta + t_k) beta
    warmup_epochs: Annotated[int, Field(ge=1)] = 10  # official `--begin 10`; the paper does not state it
    eps_min: EpsBound | None = None  # the paper bounds nothing
    eps_max: Annotated[EpsBound, Field(gt=0)] | None = None
    clean_bound: Annotated[Number, Field(ge=0, le=1)] = 0.07  # FRL, and so down to weight_limit: the
    boundary_bound: Annotated[Number, Field(ge=0, le=1)] = 0.07  # defaults of its authors' code
    weight_rate: Annotated[Number, Field(ge=0)] = 0.05
    eps_rate: Annotated[Number, Field(ge=0)] = 0.2
    weight_limit: Annotated[Number, Field(gt=0, lt=1)] = 0.5  # below 1, so that no class weighs nothing

    @pydantic.model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.eps_min is not None and self.eps_max is not None and self.eps_min > self.eps_max:
            raise ValueError(f"eps_min {self.eps_min} exceeds eps_max {self.eps_max}; swap them")
        return self


class AveragingSettings(Settings):
    """EMA and FAWA weights, tracked in every run (CFA eq. 8 and Algorithm 1)."""

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.85
    start_epoch: Annotated[int, Field(ge=1)] = 50
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.2  # the gate opens at or above it
    gate: Gate = "worst"
    batch_norm: Literal["average", "re-estimate"] = "average"  # the official code averages the statistics


class DataSettings(Settings):
    """How the training part is cut; the test part is never touched."""

    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.02
    imbalance_ratio: Annotated[float, Field(ge=1)] = 1.0  # largest over smallest training class
    split_seed: Annotated[int, Field(ge=0)] = 0
    split_order: Literal["shuffled", "file"] = "shuffled"  # the official code takes the first images
    augment: bool = True  # crop and flip training images as the data set says


class OptimizerSettings(Settings):
    """SGD with a piecewise constant learning rate, as in the paper."""

    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False  # the official code has none; RobustLT's long-tailed configurations have
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5e-4
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.75)  # fractions of all epochs
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1


class TrainSettings(Settings):
    """Length, batches, arithmetic, and what is chosen on which split."""

    epochs: Annotated[int, Field(ge=1)] = 200
    batch_size: Annotated[int, Field(ge=1)] = 128
    batch_parts: Annotated[int, Field(ge=1)] = 1  # for memory; BatchNorm then sees parts: results are marked
    precision: Literal["float32", "bf16"] = "float32"  # bf16: autocast in training only
    compile: bool = False  # torch.compile; off wherever results are compared with the paper
    keep_every: Annotated[int, Field(ge=0)] = 0  # also keep online weights every n epochs
    select_on: Literal["val", "test"] = "val"  # `test` is the papers' protocol; results are then marked
    test_probe: bool = False  # draw test accuracy per epoch; used for no choice
    official_passes: bool = False  # the official code's extra forward passes, which move BatchNorm statistics


class RunConfig(Settings):
    """Everything that determines a run; two runs with equal configurations are the same experiment."""

    method: str
    dataset: str
    model: str
    preset: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    init: str | None = None  # a run's id or a weights file to start from
    attack: AttackSettings = AttackSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    rule: RuleSettings = RuleSettings()
    averaging: AveragingSettings = AveragingSettings()
    data: DataSettings = DataSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    train: TrainSettings = TrainSettings()

    def to_json(self) -> str:
        """Write the configuration as indented JSON."""
        return self.model_dump_json(indent=2)

    def marks(self) -> tuple[str, ...]:
        """Say what a reader of its results must know about how the run was made."""
        marks = []
        if self.train.select_on == "test":
            marks.append("selected on test: the checkpoint was chosen on the images that it is reported on")
        if self.train.batch_parts > 1:
            marks.append(
                f"batches in {self.train.batch_parts} parts: BatchNorm saw parts of a batch, "
                "which is not the method at this batch size"
            )
        return tuple(marks)

    def flat(self) -> dict[str, Any]:
        """Return the settings as ``{"attack.eps": 0.03, ...}``, in declaration order."""
        return flatten(self.model_dump(mode="json"))

    def key(self, *, without_seed: bool = False) -> str:
        """Hash the settings: equal keys mean the same experiment (or the same but for its seed)."""
        settings = self.model_dump(mode="json")
        if without_seed:
            settings.pop("seed")
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


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
    """Turn dotted keys into nested dictionaries, the inverse of :func:`flatten`."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *groups, last = key.split(".")
        level = nested
        for group in groups:
            level = level.setdefault(group, {})
            if not isinstance(level, dict):
                raise ConfigError(f"setting {key!r} goes below {group!r}, which is a value")
        level[last] = value
    return nested


def validated(settings: Mapping[str, Any]) -> RunConfig:
    """Build a :class:`RunConfig` from nested settings; errors name the setting and its range."""
    try:
        config = RunConfig.model_validate(settings)
    except pydantic.ValidationError as error:
        raise ConfigError(explain(error)) from error
    step = config.attack.step_size
    if config.attack.norm == "linf" and not step.relative and step.value >= 1:  # not for stored ones
        raise ConfigError(
            f"attack.step_size={step.value:g} crosses the whole range of pixels in one step; "
            f"did you mean {step.value:g}/255?"
        )
    return config


def explain(error: pydantic.ValidationError) -> str:
    """Put pydantic's first complaints into one sentence of the form ``attack.eps=2: ...``."""
    complaints = []
    for item in error.errors()[:3]:
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            complaints.append(f"unknown setting {where!r}; {_nearest_setting(where)}")
        else:
            message = item["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
            complaints.append(f"{where}={item['input']!r} {message}" if where else message)
    return "; ".join(complaints)


def setting_names() -> list[str]:
    """List every setting that ``--set`` takes, as dotted names."""
    names = []
    for group, field in RunConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            names += [f"{group}.{name}" for name in field.annotation.model_fields]
    return names


def _nearest_setting(where: str) -> str:
    import difflib

    near = difflib.get_close_matches(where, setting_names(), n=3, cutoff=0.3)
    return f"did you mean {', '.join(near)}?" if near else f"choose from {', '.join(setting_names())}"
