"""Timing steps in a process of its own: whoever asks keeps neither torch's threads nor a card's memory.

``ask`` starts ``cfa time-steps``, which reads the questions from its input and writes a line for each answer.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cfa.config import RunConfig
from cfa.data import DatasetInfo
from cfa.errors import CfaError
from cfa.training.estimate import Timing, time_steps

PROJECT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "cfa", "time-steps")


class Question(BaseModel):
    """A configuration whose steps are to be timed, the shape of its images, and its teacher's network."""

    model_config = ConfigDict(frozen=True)

    config: RunConfig
    info: DatasetInfo
    teacher: str = ""


class Questions(BaseModel):
    """What a process is asked.

    Attributes:
        device: Where steps are timed.
        patience: As for :func:`cfa.training.estimate.time_steps`.
        typed: Code that a person typed, which may be imported for it.
        asked: The questions.
    """

    model_config = ConfigDict(frozen=True)

    device: str
    patience: float
    typed: tuple[str, ...] = ()
    asked: tuple[Question, ...]


class Answer(BaseModel):
    """What steps took, or why that is not known."""

    model_config = ConfigDict(frozen=True)

    timing: Timing | None = None
    problem: str = ""


def ask(questions: Questions) -> Iterator[Answer]:
    """Have steps timed by a process, and return each answer as it comes, as many as there are questions."""
    places = [*filter(None, [os.environ.get("PYTHONPATH")]), str(PROJECT)]
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        text=True,
    )
    with process as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(questions.model_dump_json())
        running.stdin.close()
        count = 0
        for line in running.stdout:
            count += 1
            yield Answer.model_validate_json(line)
    for _ in questions.asked[count:]:
        yield Answer(problem=f"the process that times steps ended with code {process.returncode}")


def answers(questions: Questions) -> Iterator[Answer]:
    """Time steps here, one configuration after the other."""
    import torch

    device = torch.device(questions.device)
    for one in questions.asked:
        try:
            found = time_steps(one.config, one.info, device, questions.patience, one.teacher)
            yield Answer(timing=found)
        except (CfaError, torch.OutOfMemoryError) as error:
            yield Answer(problem=str(error))
