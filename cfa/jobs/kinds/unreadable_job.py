"""What stands in the place of a job that cannot be read."""

from typing import ClassVar

from cfa.errors import StoreError
from cfa.jobs.task import Task
from cfa.jobs.work import Work
from cfa.runs.store import Store


class UnreadableJob(Work):
    """Nothing that anyone could do: such a job is listed, says why, and can be removed."""

    kind: ClassVar[str] = "unreadable"
    can_be_done: ClassVar[bool] = False

    def title(self, store: Store, run_name: str) -> str:
        """Say that nobody knows."""
        return "unreadable job"

    def run(self, task: Task) -> None:
        """Refuse."""
        raise StoreError(f"job {task.job_id} cannot be read; remove it")


KIND = UnreadableJob
