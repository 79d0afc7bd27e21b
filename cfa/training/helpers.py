"""The helper of a run: a network that is trained before epoch 1, and is the run's teacher from then on.

Its seed is derived from the run's, and its state is a file beside that of the run: a run that was killed
while its helper was trained, or later, goes on bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from cfa.config import RunConfig
from cfa.data import NO_AUGMENTATION, Dataset, Images
from cfa.errors import Diverged
from cfa.methods import Helper, built
from cfa.models import build_model, for_training, in_eval_mode
from cfa.progress import Observer, Progress, Stopped
from cfa.runs.folder import RunFolder
from cfa.training.epoch import train_epoch
from cfa.training.memory import OutOfMemory, fits
from cfa.training.preparing import first_state, model_spec
from cfa.training.randomness import derived_seed
from cfa.training.schedule import learning_rate
from cfa.training.state import EpochCounts, TrainingState
from cfa.training.step import Step

SEEDS = 2**31  # as many as a configuration may name


def with_helper(step: Step, run: RunFolder, dataset: Dataset, images: Images, observer: Observer) -> Step:
    """Return a run's step with its helper as the teacher, trained where it is not yet; or the step as it is.

    Args:
        step: The run's.
        run: Its folder, where the helper's state is kept.
        dataset: Its data set.
        images: Its training images, on its device.
        observer: Told of progress; asked before every batch whether to stop.

    Raises:
        Stopped: The observer asked for it; the helper's state is saved.
        Diverged: The helper's loss is no longer finite.
        OutOfMemory: The helper cannot be trained on the device.
    """
    helper = step.parts.helper
    if helper is None:
        return step
    return replace(step, teacher=_Training.of(run, helper, dataset, images, observer).helped())


def config_of_helper(config: RunConfig, helper: Helper) -> RunConfig:
    """Return the settings with which a run's helper is trained."""
    train = config.train.model_copy(update={"epochs": helper.epochs, "official_passes": False})
    seed = derived_seed(config.seed, "helper") % SEEDS
    return config.model_copy(update={"method_settings": {}, "seed": seed, "init": None, "train": train})


@dataclass
class _Training:
    """A helper in training."""

    run: RunFolder
    config: RunConfig
    state: TrainingState
    step: Step
    dataset: Dataset
    images: Images
    observer: Observer

    @classmethod
    def of(
        cls, run: RunFolder, helper: Helper, dataset: Dataset, images: Images, observer: Observer
    ) -> "_Training":
        """Build it, and restore its saved state if there is one."""
        config, device, classes = (
            config_of_helper(run.config, helper),
            images.labels.device,
            dataset.num_classes,
        )
        parts = built(helper.method, config)
        spec = model_spec(dataset, images, helper.method.head)
        network: nn.Module = build_model(config.model, spec, config.seed)
        model = for_training(network, device)
        state = first_state(parts, config, model, {}, images, classes)
        if run.helper_file.exists():
            state.restore(run.helper_file)
        step = Step.of(parts, model, images.counts(classes))
        return cls(run, config, state, step, dataset, images, observer)

    def helped(self) -> Callable[[Tensor], Tensor]:
        """Train it to its end, and return what maps images to its logits."""
        state, epochs = self.state, self.config.train.epochs
        if state.epoch < epochs:
            self.observer.log(f"training a helper first: {epochs} epochs, from epoch {state.epoch + 1}")
        while state.epoch < epochs:
            if not fits(self._train_epoch):
                raise OutOfMemory(
                    f"out of memory on {self.images.labels.device} while the helper was trained; lower "
                    f"train.batch_size={self.config.train.batch_size}"
                )
            self._check_finite()
            state.epoch, state.step = state.epoch + 1, 0
            state.counts = EpochCounts.zero(self.dataset.num_classes, self.images.labels.device)
            state.save(self.run.helper_file)
        network = in_eval_mode(state.model).requires_grad_(False)

        def answer(x: Tensor) -> Tensor:
            with torch.no_grad():
                logits: Tensor = network(x)
            return logits

        return answer

    def _train_epoch(self) -> None:
        config, state = self.config, self.state
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config.optimizer, state.epoch + 1, config.train.epochs)
        train_epoch(
            state,
            self.step,
            self.images,
            self.dataset.augmentation if config.data.augment else NO_AUGMENTATION,
            seed=config.seed,
            batch_size=config.train.batch_size,
            after_step=self._after_step,
        )

    def _after_step(self, done: int, steps: int) -> None:
        state, epochs = self.state, self.config.train.epochs
        phase = f"training its helper, epoch {state.epoch + 1} of {epochs}"
        self.observer.progress(
            Progress(done=0, total=self.run.config.train.epochs, unit="epochs", phase=phase)
        )
        if (reason := self.observer.stop_requested()) is not None:
            self._check_finite()
            state.save(self.run.helper_file)
            raise Stopped(reason)

    def _check_finite(self) -> None:
        first_bad = int(self.state.counts.first_bad_step)
        if first_bad != EpochCounts.NEVER:
            rate = self.state.optimizer.param_groups[0]["lr"]
            raise Diverged(
                f"the helper's loss is not finite in epoch {self.state.epoch + 1}, step {first_bad}; lower "
                f"optimizer.lr (now {rate:g}) and start again"
            )
