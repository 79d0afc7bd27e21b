"""Which weights a run keeps: the best and the last of every kind, and snapshots."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from cfa.config import RunConfig
from cfa.data import Images, clean_batches
from cfa.errors import ConfigError
from cfa.methods import Averager
from cfa.models import save_weights
from cfa.progress import Observer
from cfa.runs.folder import RunFolder
from cfa.training.refusals import SMALLEST_GATE_CLASS, too_few_for_the_worst
from cfa.training.state import TrainingState


@dataclass
class KeptWeights:
    """Writes a run's weights into its folder, and carries averaged ones while they are evaluated."""

    run: RunFolder
    config: RunConfig
    state: TrainingState
    train_images: Images
    shadow: nn.Module  # has the averaged weights

    @classmethod
    def of(
        cls, run: RunFolder, config: RunConfig, state: TrainingState, train_images: Images
    ) -> "KeptWeights":
        """Make them for a run in training."""
        return cls(run, config, state, train_images, copy.deepcopy(state.model))

    def average(self, kind: str) -> nn.Module:
        """Return a network with averaged weights, BatchNorm statistics re-estimated where that is set."""
        self.shadow.load_state_dict(self.state.averages[kind])
        if self.config.averaging.batch_norm == "re-estimate":
            update_bn(clean_batches(self.train_images, self.config.train.batch_size), self.shadow)
        return self.shadow

    def keep_if_best(self, kind: str, model: nn.Module, score: float, epoch: int) -> None:
        """Keep weights whose selection score is the highest of their kind so far."""
        if score > self.state.best.get(kind, (-1.0, 0))[0]:
            self.state.best[kind] = (score, epoch)
            self._save(kind, "best", model.state_dict(), epoch)

    def keep_last(self) -> None:
        """Keep the newest weights of every kind (mid-epoch ones count for the epoch that they are in)."""
        epoch = self.state.epoch
        self._save("online", "last", self.state.model.state_dict(), epoch + (self.state.step > 0))
        for kind in self.state.averages:
            self._save(kind, "last", self.average(kind).state_dict(), epoch)

    def return_to_last_good(self) -> None:
        """Go back to the saved state, where there is one, and keep its weights."""
        if self.run.state_file.exists():
            self.state.restore(self.run.state_file)
            self.keep_last()

    def keep_snapshot(self, epoch: int) -> None:
        """Keep the online weights of every n-th epoch, where that is set."""
        every = self.config.train.keep_every
        if every and epoch % every == 0:
            self._save("online", f"epoch{epoch}", self.state.model.state_dict(), epoch)

    def _save(self, kind: str, checkpoint: str, state_dict: Mapping[str, Tensor], epoch: int) -> None:
        metadata = {
            "weights": kind,
            "checkpoint": checkpoint,
            "epoch": str(epoch),
            "run": self.run.id,
            "model": self.config.model,
            "select_on": self.config.train.select_on,
        }
        save_weights(self.run.weights_file(kind, checkpoint), state_dict, metadata)


def averagers_of(
    config: RunConfig, val_counts: Tensor, observer: Observer, *, needs_fawa: bool
) -> dict[str, Averager]:
    """Build EMA and FAWA; a worst-class gate over too few validation images is refused, or FAWA left out.

    Args:
        config: The run's settings.
        val_counts: Validation images of each class.
        observer: Is told where FAWA is left out.
        needs_fawa: The method is reported with FAWA weights.

    Raises:
        ConfigError: The gate cannot be judged, and the method needs it.
    """
    settings = config.averaging
    averagers = {"ema": Averager(decay=settings.decay, start_epoch=settings.start_epoch)}
    smallest = int(val_counts.min())
    if settings.gate == "worst" and smallest < SMALLEST_GATE_CLASS:
        sentence = too_few_for_the_worst(smallest)
        if needs_fawa:
            raise ConfigError(sentence)
        observer.log(f"FAWA weights are not kept: {sentence}")
        return averagers
    averagers["fawa"] = Averager(
        decay=settings.decay, start_epoch=settings.start_epoch, threshold=settings.threshold
    )
    return averagers
