"""What a run's manifest says, for whoever reads it, of its method and of networks that it is made from."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from cfa.stored import STRICT, Count, Name, Text


@dataclass(frozen=True)
class KnobCard:
    """What people read of a knob: its name in a sentence, its unit, what a larger value does."""

    __pydantic_config__ = STRICT

    label: Name
    unit: Literal["", "/255"] = ""
    summary: Text = ""


@dataclass(frozen=True)
class MethodCard:
    """What people read of a run's method; lists must not import it to ask."""

    __pydantic_config__ = STRICT

    title: Name
    reported_title: Name = ""  # with the weights that it is reported with, where that is another name
    knobs: Annotated[dict[str, KnobCard], Field(max_length=100)] = dataclasses.field(default_factory=dict)
    settings: Annotated[dict[str, Text], Field(max_length=1000)] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class OriginCard:
    """A trained network that a run was made from: its start, or its teacher.

    Attributes:
        name: The name of its run when this one began, or of its file.
        model: Its architecture.
        method: How it was trained, where that is known.
        weights_hash: Of its weights, by their content.
        run_id: Its run; empty where it is a file.
        weights: Which of the run's weights.
        checkpoint: Of which checkpoint.
        experiment: What it shares with the same of another seed.
        passes: Forward passes that an image took in its training, those of its own origins included; 0 where
            nobody knows.
        marks: What a reader of results must know of it.
    """

    __pydantic_config__ = STRICT

    name: Text
    model: Name
    weights_hash: Name
    method: Name = ""
    run_id: Name = ""
    weights: Name = ""
    checkpoint: Name = ""
    experiment: Name = ""
    passes: Count = 0
    marks: Annotated[tuple[Text, ...], Field(max_length=20)] = ()
