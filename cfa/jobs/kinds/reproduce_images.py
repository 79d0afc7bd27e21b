"""Making adversarial images of an evaluation again."""

from typing import Annotated, ClassVar

from pydantic import Field

from cfa.jobs.task import Task
from cfa.jobs.work import Position, Work
from cfa.runs.store import Store
from cfa.stored import Name


class ReproduceImages(Work):
    """Make images of an evaluation's column again; ``images`` are positions in the test part."""

    kind: ClassVar[str] = "reproduce"

    evaluation: Name
    column: Name
    images: Annotated[tuple[Position, ...], Field(min_length=1)]

    def title(self, store: Store, run_name: str) -> str:
        """Name the run and the column."""
        return f"make {len(self.images)} images of {run_name} ({self.column}) again"

    def run(self, task: Task) -> None:
        """Repeat the batches that the images were in."""
        import numpy as np
        import torch

        from cfa.evaluation import remake
        from cfa.runs.evaluations import read_evaluation

        run = task.evaluated_run()
        evaluation = read_evaluation(run, self.evaluation)
        made = remake(
            run,
            evaluation,
            self.column,
            np.array(self.images, np.int64),
            task.dataset(evaluation.dataset_to_load),
            torch.device(task.device),
            task.observer,
        )
        different = int(made.differs.sum())
        task.observer.log(
            f"{len(made.image)} images made again, {different} of them with another outcome than before"
        )


KIND = ReproduceImages
