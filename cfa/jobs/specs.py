"""What each kind of job has to say of its work, read from what is stored of it, which may say anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field

from cfa.errors import StoreError
from cfa.jobs.job import Job
from cfa.stored import Name, Names, Text, convert

Position = Annotated[int, Field(ge=0, lt=2**31)]


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """Train the job's run; ``test`` says whether its best weights are evaluated then."""

    test: bool = True


@dataclass(frozen=True, kw_only=True)
class EvaluateSpec:
    """Evaluate the job's run as ``plan`` says, on its own data set where ``dataset`` names no other."""

    plan: Mapping[str, Any]
    weights: Name
    checkpoint: Name
    dataset: Text | None = None


@dataclass(frozen=True, kw_only=True)
class CompareSpec:
    """Compare runs, by their ids, with one of them."""

    runs: Names
    baseline: Name


@dataclass(frozen=True, kw_only=True)
class ReproduceSpec:
    """Make images of an evaluation's column again; ``images`` are positions in the test part."""

    evaluation: Name
    column: Name
    images: Annotated[tuple[Position, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class FetchSpec:
    """Fetch a data set."""

    dataset: Text


S = TypeVar("S", TrainSpec, EvaluateSpec, CompareSpec, ReproduceSpec, FetchSpec)


def spec_of(job: Job, kind: type[S]) -> S:
    """Read what a job has to say.

    Raises:
        StoreError: It does not.
    """
    try:
        found: S = convert(job.spec, kind)
        return found
    except StoreError as error:
        raise StoreError(f"job {job.id} does not say what to do ({error}); submit it again") from error
