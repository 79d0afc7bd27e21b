"""A method is one file: an objective, a training attack, a rule, its own settings, and what it asks for.

Methods are values of :class:`Method`. Nothing outside a method's file asks for its name or kind: training
calls its parts, and pages read what the run's manifest says of it. Lists name methods without torch: what
computes in a method's file imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from cfa.config import WEIGHTS_KINDS, RunConfig, Settings, WeightsKind
from cfa.errors import ConfigError
from cfa.methods.knobs import Knobs
from cfa.methods.ranks import Alone, Ranks
from cfa.methods.rules import Rule, State

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Model = Callable[["Tensor"], "Tensor"]
S = TypeVar("S", bound=Settings)
T = TypeVar("T", bound=Settings)


class NoSettings(Settings):
    """The settings of a method that has none."""


def _no_teacher(x: Tensor) -> Tensor:
    raise ConfigError("this method reads a teacher and does not say so; set needs_teacher=True")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images in training, or a part of a batch.

    Attributes:
        x: Augmented images, values in [0, 1], shape (images, ...).
        y: True classes, shape (images,).
        index: Which training images they are, shape (images,).
        knobs: For each image its class's knobs: by name shape (images,), or (images, classes).
        knobs_of_class: The epoch's knobs, by class.
        class_counts: Training images of each class, shape (classes,).
        whole_y: True classes of the whole batch, of which ``x`` may be a part.
        everyone: The processes that share the batch.
        teacher: A trained network in eval mode without gradients, where the method has one.
        companions: Networks that are trained beside the model, by name.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    knobs: Mapping[str, Tensor]
    knobs_of_class: Knobs
    class_counts: Tensor
    whole_y: Tensor
    everyone: Ranks = field(default_factory=Alone)
    teacher: Model = _no_teacher
    companions: Mapping[str, nn.Module] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What a training attack made of a batch.

    Attributes:
        x_adv: Adversarial examples, shape of ``x``.
        also: More of them by name, where an attack has several results.
        steps_survived: After how many steps each image was still right, shape (images,), where it is counted.
    """

    x_adv: Tensor
    also: Mapping[str, Tensor] = field(default_factory=dict)
    steps_survived: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What an objective gives.

    Attributes:
        per_sample: The loss of each image, weights included, shape (images,); training takes its mean.
        logits_adv: Logits of the adversarial examples, which are counted as right or wrong.
        sums: More values of each image by name, shape (images,) or (images, values), without gradient:
            summed over the epoch by true class (`Tally.sums`).
    """

    per_sample: Tensor
    logits_adv: Tensor
    sums: Mapping[str, Tensor] = field(default_factory=dict)


class TrainingAttack(Protocol):
    """Makes adversarial examples to train on; their pixels stay in [0, 1]."""

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        """Attack a batch, each image within its own ``eps``."""
        ...


class Objective(Protocol):
    """Gives a loss for each image of a batch."""

    def __call__(self, model: Model, batch: Batch, attacked: Attacked) -> Loss:
        """Return the losses, in a graph that reaches the model's weights."""
        ...


class Sampler(Protocol):
    """Chooses the images of every batch; its state is kept from step to step, also when a run is stopped."""

    def initial(self, labels: Tensor) -> State:
        """Return the state that training starts with, for the labels of its images."""
        ...

    def draw(self, state: State, labels: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Return which images come next, shape (size,)."""
        ...

    def after(self, state: State, y: Tensor, correct: Tensor) -> State:
        """Return the state after a batch of which ``correct`` were right under the training attack."""
        ...


Build = Callable[[str], "nn.Module"]
"""Builds a network for the run's images by its name."""

AddGradients = Callable[[], "Tensor"]
"""Adds a batch's gradients to the weights at hand (as often as it is called), and returns its loss."""

Gradients = Callable[[Sequence["nn.Module"], AddGradients, Knobs], "Tensor"]
"""Takes the gradients of the networks that are trained, the model first; by default with one call.

It reads the epoch's knobs, on the networks' device, and returns the loss to report.
"""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A pass over images after every epoch, with the online weights in eval mode, for the rule.

    Attributes:
        name: Under which the rule finds its `Tally` in ``ClassStats.seen``.
        over: Training images (not augmented), or those that validate.
        attack: What they are attacked with.
        objective: What is summed: whether its adversarial logits are right, its ``sums``, and its losses as
            ``loss``.
        from_epoch: The first epoch after which it is made.
        every: It is made after epochs that this divides.
    """

    name: str
    over: Literal["training", "validation"]
    attack: TrainingAttack
    objective: Objective
    from_epoch: int = 1
    every: int = 1


@dataclass(frozen=True, kw_only=True)
class KnobLabel:
    """What people read of a knob.

    Attributes:
        label: Its name in a sentence.
        unit: ``/255`` for budgets, else empty.
        summary: What a larger value does to a class.
    """

    label: str
    unit: Literal["", "/255"] = ""
    summary: str = ""


@dataclass(frozen=True)
class OfficialArgument:
    """What a setting is called in the arguments of PKU-ML/CFA; it stands among the setting's annotations."""

    name: str


MethodKind = Literal["baseline", "calibrated", "re-weighted", "distilled", "long-tailed"]
"""What a method is for, by which long lists are sorted; `cfa.methods.naming` has them in words."""

HardEps = Literal["same", "smaller", "larger"]
"""With which budget hard classes (of a long tail: rare ones) are trained, beside that of the others."""

EPS_LABEL = KnobLabel(label="eps", unit="/255", summary="how far training examples of the class are moved")

OfficialPass = Literal["with-loss", "after-step"]
"""A forward pass on the clean images that an official code makes besides; it moves BatchNorm statistics."""


@dataclass(frozen=True, kw_only=True)
class Forward:
    """Forward passes that an image takes in an epoch, by any network: the model, a companion, a teacher.

    Those of the attack's steps are counted by its setting. Validation images are others.

    Attributes:
        target: Before the attack's steps: the clean prediction that a KL is to, a teacher's answer.
        loss: Of the loss.
        times: How often a step computes the loss.
        again: After the epoch every training image is attacked and predicted once more, for the rule.
    """

    target: int = 0
    loss: int = 1
    times: int = 1
    again: bool = False

    def of_epoch(self, steps: int) -> int:
        """Count them, at most, with so many steps of the attack."""
        return steps + self.target + self.times * self.loss + (steps + 1 if self.again else 0)


def _one_call(networks: Sequence[nn.Module], add_gradients: AddGradients, knobs: Knobs) -> Tensor:
    return add_gradients()


@dataclass(frozen=True, kw_only=True)
class Method(Generic[S]):
    """A method: what is minimised, on which examples, with which knobs for which class.

    Parts are functions of the method's own settings and of the run's configuration, so that a method is made
    of another one with ``dataclasses.replace``.

    Attributes:
        name: What it is called in commands and results.
        title: Short name of the plain method, for people: TRADES.
        summary: One line on what it does.
        source: Where it is from.
        year: When it was published; lists are in this order.
        settings: The class of its own settings, each with a description; ``method.NAME`` in commands.
        objective: Builds what is minimised.
        attack: Builds what makes its training examples.
        rule: Builds what sets the knobs of each class.
        loss_scale: What its loss multiplies a cross-entropy with, by default 1: a step at half the scale and
            twice the rate goes as far.
        plain: The method that it is compared with; empty where it is one itself.
        adds: What it adds to that one, as tables say it: CCM, CCR.
        kind: What it is for; by default distilled with a teacher, long-tailed where it needs images of every
            class, else a baseline (`cfa.methods.kind_of`).
        hard_eps: With which budget it trains hard or rare classes, beside that of the others.
        reported_with: Which of a run's weights are its own.
        reported_title: Its name with those weights, where that is another: TRADES + CFA.
        knobs: What people read of its knobs, by name.
        warm_up: The setting that says for how many epochs all classes are treated alike; empty: no such one.
        usual: Settings of its official code, whatever is trained; ahead of them are only presets.
        values: Settings that its source states, ahead of every preset's general ones.
        presets: By a preset's name, the method's settings under it and under those that are built on it.
        validated_with: What validation images are attacked with after every epoch: for the gate, for choosing
            checkpoints, and where the rule reads them.
        fine_tunes: It goes on from a trained network: its rule is asked about that one before epoch 1.
        forward: Forward passes that an image takes: what a training with it costs.
        passes: Builds the passes over images that its rule reads besides.
        sampler: Builds what chooses the images of a batch; by default all in random order.
        gradients: Builds what takes the gradients of a step; by default once, at the weights.
        companions: Builds networks that are trained beside the model, by the same optimiser, from what builds
            a network by name: each time with other random weights.
        head: What its network ends with, by name: ``linear``, or ``cosine`` (`cfa.models.heads`).
        needs_teacher: It learns from a trained network.
        helper: Builds what says how a network is trained before epoch 1 that is then its teacher; by default
            there is none.
        needs_every_class: It divides by how many training images a class has, or takes the logarithm of that:
            a class without any is refused.
        whole_batch: Its loss is one of all images of a batch together: a batch in parts is refused.
        official_passes: Forward passes that its official code makes besides, for comparisons with it.
        official_arguments: The arguments with which PKU-ML/CFA trains it, a flag that is off left out; empty
            where that code has no such method.
    """

    name: str
    title: str
    summary: str
    source: str
    year: int
    settings: type[S]
    objective: Callable[[S, RunConfig], Objective]
    attack: Callable[[S, RunConfig], TrainingAttack]
    rule: Callable[[S, RunConfig], Rule]
    loss_scale: Callable[[S], float] = lambda settings: 1.0
    plain: str = ""
    adds: tuple[str, ...] = ()
    kind: MethodKind | None = None
    hard_eps: HardEps = "same"
    reported_with: WeightsKind = "online"
    reported_title: str = ""
    knobs: Mapping[str, KnobLabel] = field(default_factory=lambda: {"eps": EPS_LABEL})
    warm_up: str = ""
    usual: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    validated_with: str = "pgd-10"  # at the nominal eps, step eps/4, as most papers validate
    fine_tunes: bool = False
    forward: Forward = Forward()
    passes: Callable[[S, RunConfig], Sequence[Pass]] = lambda settings, config: ()
    sampler: Callable[[S, RunConfig], Sampler | None] = lambda settings, config: None
    gradients: Callable[[S, RunConfig], Gradients] = lambda settings, config: _one_call
    companions: Callable[[S, RunConfig, Build], Mapping[str, nn.Module]] = lambda settings, config, build: {}
    head: str = "linear"
    needs_teacher: bool = False
    helper: Callable[[S, RunConfig], Helper | None] = lambda settings, config: None
    needs_every_class: bool = False
    whole_batch: bool = False
    official_passes: tuple[OfficialPass, ...] = ()
    official_arguments: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what only shows much later, on a page or after hours of training."""
        if self.reported_with not in WEIGHTS_KINDS:
            raise ConfigError(
                f"method {self.name!r} has reported_with={self.reported_with!r}; choose from "
                f"{', '.join(WEIGHTS_KINDS)}"
            )
        if self.warm_up and self.warm_up not in self.settings.model_fields:
            raise ConfigError(
                f"method {self.name!r} has warm_up={self.warm_up!r}, which is none of its settings: "
                f"{', '.join(self.settings.model_fields) or 'it has none'}"
            )

    def taking(self, settings: type[T]) -> Method[T]:
        """Return the same parts with further settings, to replace some: what another method is made of.

        Args:
            settings: A class made of this method's own.

        Raises:
            ConfigError: It is another one, which the parts cannot read.
        """
        if not issubclass(settings, self.settings):
            raise ConfigError(
                f"{settings.__name__} lacks settings of {self.name}; extend {self.settings.__name__}"
            )
        anything: Method[Any] = self
        remade: Method[T] = replace(anything, settings=settings)
        return remade

    @property
    def compared_with(self) -> str:
        """The name of the plain method, its own where it is one."""
        return self.plain or self.name


@dataclass(frozen=True, kw_only=True)
class Helper:
    """A network of the run's kind that the run trains first, and then reads as its teacher.

    It is trained on the run's training images, with its optimiser, and its rate drops at the same shares.

    Attributes:
        method: How it is trained; one without settings.
        epochs: How long.
    """

    method: Method[NoSettings]
    epochs: int
