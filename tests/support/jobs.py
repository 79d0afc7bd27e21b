"""Jobs that ask for what no version of ours wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class AsStored:
    """What is stored of a job's work, whatever it says; the queue takes it for a `cfa.jobs.work.Work`."""

    kind: str
    spec: Mapping[str, Any] = field(default_factory=dict)
