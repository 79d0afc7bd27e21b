"""The model as attacks see it: every forward pass is counted, told, and a chance to stop."""

from torch import Tensor, nn

from cfa.progress import Observer, Progress, Stopped


class Meter(nn.Module):
    """Passes images on to a model; ``done`` counts images, since batches differ in size."""

    def __init__(self, model: nn.Module, observer: Observer) -> None:
        """Measure one evaluation."""
        super().__init__()
        self.model = model
        self.done = 0  # images passed, those of remembered batches included
        self.made = 0  # the others
        self.total = 0.0
        self.phase = ""
        self._observer = observer

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits.

        Raises:
            Stopped: The observer asked for it.
        """
        self.look_up()
        self.done += len(x)
        self.made += len(x)
        logits: Tensor = self.model(x)
        return logits.float()  # those of others may be of another type

    def look_up(self) -> None:
        """Tell how far the evaluation is, and ask whether to stop."""
        total = max(self.total, float(self.done))
        self._observer.progress(
            Progress(done=self.done, total=total, unit="forward passes", phase=self.phase)
        )
        reason = self._observer.stop_requested()
        if reason is not None:
            raise Stopped(reason)

    def finish(self) -> None:
        """Tell that everything is done."""
        self._observer.progress(
            Progress(done=self.done, total=self.done, unit="forward passes", phase="done")
        )
