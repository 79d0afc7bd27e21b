"""What a run is: frozen, validated settings that survive a round trip through JSON.

Defaults here are those of the CFA paper (section 5.1, CIFAR-10 and PreActResNet-18); presets in
`cfa.methods.presets` fill in what depends on the method, the network or the data set.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from cfa.dotted_settings import flatten
from cfa.errors import ConfigError
from cfa.notation import AnyStep, Norm, Number, StepSize, read_budget, refusal_in_words
from cfa.older_settings import FORMAT, GROUP, STORED_AS, present_settings, telling

TrainingNorm = Literal["linf", "l2"]  # for the others there are attacks, but no training attack
BatchNormMode = Literal["train", "eval"]
WeightsKind = Literal["online", "ema", "fawa"]
CheckpointKind = Literal["best", "last"]
Split = Literal["train", "val", "test"]
Gate = Literal["worst", "worst-10-percent", "tail", "mean"]

EXTERNAL = "external"
"""What stands for the method of a model of others."""

MOST = 2**31 - 1
"""The largest whole number that a setting may be."""

WEIGHTS_KINDS: tuple[WeightsKind, ...] = get_args(WeightsKind)
CHECKPOINT_KINDS: tuple[CheckpointKind, ...] = get_args(CheckpointKind)
GATES: tuple[Gate, ...] = get_args(Gate)


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


class Settings(BaseModel):
    """Base of every group of settings: immutable, and a misspelt key or an absurd number is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @pydantic.field_validator("*")
    @classmethod
    def _is_no_absurd_number(cls, value: object) -> object:
        if isinstance(value, int) and not -MOST <= value <= MOST:
            raise ValueError(f"is beyond any number of epochs, images or steps; the largest is {MOST}")
        return value


class AttackSettings(Settings):
    """The attack that training, validation and the closing test share; ``eps`` is the nominal budget."""

    norm: TrainingNorm = Field(
        default="linf",
        description="Threat model: linf bounds every pixel, l2 the length of the whole change.",
    )
    eps: Number = Field(
        default=8 / 255,  # the paper's
        description="Largest perturbation, as a fraction of the pixel range; calibration moves it per class.",
    )
    steps: int = Field(
        default=10,  # PGD-10 in training
        description="Gradient steps of the training attack.",
        ge=1,
        le=1000,
    )
    step_size: AnyStep = Field(
        default=StepSize(value=2 / 255),  # stays absolute when eps_k moves, as in the official code
        description="Size of a step: absolute (2/255) or relative to each sample's eps (eps/4).",
    )
    start: Literal["uniform", "normal", "none"] = Field(
        default="uniform",  # TRADES starts from x + 0.001 N(0, 1)
        description="Where the attack starts: uniform in the ball, 0.001 N(0, 1) as TRADES, or the image.",
    )
    bn_mode: BatchNormMode = Field(
        default="train",  # AT and FAT attack in train mode in the official code, TRADES in eval
        description="BatchNorm while attacking: train (official AT and FAT) or eval (official TRADES).",
    )

    @pydantic.field_validator("eps", mode="before")
    @classmethod
    def _eps_is_a_budget(cls, value: object, info: pydantic.ValidationInfo) -> float:
        norm: Norm = info.data.get("norm", "linf")
        eps = read_budget(norm, value)
        if eps > 1:
            raise ValueError(f"lies outside (0, 1]; trainings take {norm} lengths up to 1")
        return eps


class AveragingSettings(Settings):
    """EMA and FAWA weights, tracked in every run (CFA eq. 8 and Algorithm 1)."""

    decay: float = Field(
        default=0.85,
        description="Share that the EMA and FAWA averages keep at every epoch.",
        ge=0,
        lt=1,
    )
    start_epoch: int = Field(
        default=50,
        description="First epoch that may enter the averages.",
        ge=1,
    )
    threshold: float = Field(
        default=0.2,  # the gate opens at or above it
        description="FAWA's gate: an epoch enters if its validation statistic reaches this.",
        ge=0,
        le=1,
    )
    gate: Gate = Field(
        default="worst",
        description="The gate's statistic: worst class, worst 10 %, tail classes, or mean.",
    )
    batch_norm: Literal["average", "re-estimate"] = Field(
        default="average",  # the official code averages the statistics
        description="BatchNorm statistics of averages: averaged, or re-estimated on training images.",
    )


class DataSettings(Settings):
    """How the training part is cut; the test part is never touched."""

    val_fraction: float = Field(
        default=0.02,
        description="Share of each class's training images held out for the gate and for checkpoints.",
        gt=0,
        lt=1,
    )
    imbalance_ratio: float = Field(
        default=1.0,  # largest over smallest training class
        description="Largest over smallest class (exponential profile); 1 is the data set as it is.",
        ge=1,
    )
    split_seed: int = Field(
        default=0,
        description="Seed of the validation split, apart from the run's own seed.",
        ge=0,
    )
    split_order: Literal["shuffled", "file"] = Field(
        default="shuffled",  # the official code takes the first images
        description="Which images validate: drawn at random, or the first in file order.",
    )
    augment: bool = Field(
        default=True,  # crop and flip training images as the data set says
        description="Crop and flip training images as is usual for the data set.",
    )


Precision = Literal["tf32", "float32", "bf16"]


class OptimizerSettings(Settings):
    """SGD with a piecewise constant learning rate, as in the paper."""

    lr: float = Field(
        default=0.1,
        description="Learning rate of SGD at the start.",
        gt=0,
        allow_inf_nan=False,
    )
    momentum: float = Field(
        default=0.9,
        description="Momentum of SGD.",
        ge=0,
        lt=1,
    )
    nesterov: bool = Field(
        default=False,  # the official code has none; RobustLT's long-tailed configurations have
        description="Nesterov's form of the momentum.",
    )
    weight_decay: float = Field(
        default=5e-4,
        description="Weight decay of SGD.",
        ge=0,
        allow_inf_nan=False,
    )
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.5, 0.75),  # fractions of all epochs
        description="Where the learning rate drops, as fractions of all epochs.",
    )
    gamma: float = Field(
        default=0.1,
        description="Factor of each drop of the learning rate.",
        gt=0,
        le=1,
    )

    @pydantic.field_validator("milestones")
    @classmethod
    def _in_order(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(milestones))  # in whichever order they are named it is the same training


class TrainSettings(Settings):
    """Length, batches, arithmetic, and what is chosen on which split."""

    epochs: int = Field(
        default=200,
        description="Passes over the training images.",
        ge=1,
    )
    batch_size: int = Field(
        default=128,
        description="Images per step.",
        ge=1,
    )
    batch_parts: int = Field(
        default=1,  # for memory; BatchNorm then sees parts: results are marked
        description="Compute a step in so many parts, for memory; BatchNorm sees parts: marked.",
        ge=1,
    )
    precision: Precision = Field(
        default="tf32",  # what PyTorch does unless told otherwise, and so what the official codes did
        description="tf32 (convolutions on GPUs, else float32), float32, or bf16 autocast; in training.",
    )
    compile: bool = Field(
        default=False,  # torch.compile; off wherever results are compared with the paper
        description="torch.compile the network for training.",
    )
    graphs: bool = Field(
        default=True,  # bit for bit the same numbers, so no other experiment
        description="On NVIDIA GPUs capture a step once as a graph and replay it; the numbers are the same.",
    )
    keep_every: int = Field(
        default=0,  # also keep online weights every n epochs
        description="Also keep the online weights every n epochs; 0 keeps best and last only.",
        ge=0,
    )
    select_on: Literal["val", "test"] = Field(
        default="val",  # `test` is the papers' protocol; results are then marked
        description="Split that picks the best checkpoint; test is the papers' protocol and is marked.",
    )
    test_probe: bool = Field(
        default=False,  # draw test accuracy per epoch; used for no choice
        description="Also draw test accuracy per epoch; it is used for no choice.",
    )
    official_passes: bool = Field(
        default=False,  # the official code's extra forward passes, which move BatchNorm statistics
        description="Make the official code's extra forward passes; they move BatchNorm statistics.",
    )


Scalar = (
    bool | int | Annotated[float, Field(allow_inf_nan=False)] | Annotated[str, Field(max_length=1000)] | None
)
Value = Scalar | tuple[Scalar, ...]


_ONLY_KEPT = ("keep_every", "test_probe")  # what is kept and drawn besides; training takes no notice of it


class RunConfig(Settings):
    """Everything that determines a run; two runs with equal configurations are the same experiment."""

    format: Literal[3] = FORMAT  # what earlier ones mean: `cfa.older_settings`
    method: str
    dataset: str
    model: str
    preset: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    init: str | None = None  # a run's id or a weights file to start from
    teacher: str | None = None  # likewise, to learn from; behind a run's id may stand #last, #ema
    attack: AttackSettings = AttackSettings()
    method_settings: Mapping[str, Value] = {}  # the method's own, `method.NAME`; it validates them
    averaging: AveragingSettings = AveragingSettings()
    data: DataSettings = DataSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    train: TrainSettings = TrainSettings()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _in_present_settings(cls, data: object) -> object:
        return present_settings(data) if isinstance(data, Mapping) else data

    @property
    def is_external(self) -> bool:
        """Whether it stands for a model of others, of which nobody here knows how it was made."""
        return self.method == EXTERNAL

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
        flat: dict[str, Any] = {}
        for name, value in self.model_dump(mode="json", exclude={"format"}).items():
            flat |= flatten({GROUP if name == STORED_AS else name: value})
        return flat

    def in_words(self) -> str:
        """Name the training in a line."""
        return f"{self.method} on {self.dataset}, {self.model}, seed {self.seed}"

    def key(self, *, without_seed: bool = False) -> str:
        """Hash the settings: equal keys mean the same experiment (or the same but for its seed)."""
        settings = self.model_dump(mode="json", exclude={"format"})
        if ":" not in self.method:  # what says nothing is known of our own methods alone
            settings[STORED_AS] = telling(settings[STORED_AS])
        settings["train"].pop("graphs")
        if self.teacher is None:
            settings.pop("teacher")
        if without_seed:
            settings.pop("seed")
            for name in _ONLY_KEPT:  # seeds are seeds of one experiment whatever else of them was kept
                settings["train"].pop(name)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


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
    if config.train.batch_parts > config.train.batch_size:
        raise ConfigError(
            f"train.batch_parts={config.train.batch_parts} cuts a batch of {config.train.batch_size} images "
            "into more parts than it has images; take fewer parts"
        )
    return config


def explain(error: pydantic.ValidationError, group: str = "", names: Sequence[str] = ()) -> str:
    """Put pydantic's first complaints into one sentence of the form ``attack.eps=2: ...``.

    Args:
        error: The complaints.
        group: What stands before the dot of each setting that they name.
        names: What settings there are; by default those that every method has.
    """
    complaints: dict[str, str] = {}
    for item in error.errors()[:6]:
        parts = [str(part) for part in (*([group] if group else []), *item["loc"])]
        # Of a setting that may be of two types pydantic complains twice: the wider one, a number, comes last.
        where = ".".join(parts[:-1] if parts[-1:] in (["int"], ["float"]) else parts)
        if item["type"] == "extra_forbidden":
            near = _nearest_setting(where, names or setting_names())
            complaints[where] = f"unknown setting {where!r}; {near}"
        else:
            message = refusal_in_words(item["type"], item["msg"])
            complaints[where] = f"{where}={item['input']!r} {message}" if where else message
    return "; ".join([*complaints.values()][:3])


def setting_names() -> list[str]:
    """List the settings that every method has, as dotted names; `cfa.methods` adds each method's own."""
    return list(setting_help())


def setting_help() -> dict[str, str]:
    """Return what each of these settings means, by dotted name."""
    return {
        f"{group}.{name}": field.description or ""
        for group, of_group in RunConfig.model_fields.items()
        if isinstance(of_group.annotation, type) and issubclass(of_group.annotation, Settings)
        for name, field in of_group.annotation.model_fields.items()
    }


def _nearest_setting(where: str, names: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(where, names, n=3, cutoff=0.3)
    return f"did you mean {', '.join(near)}?" if near else f"choose from {', '.join(names) or 'none'}"
