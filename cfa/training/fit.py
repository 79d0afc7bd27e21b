"""Fit: train a run to its end, from wherever it is.

Three kinds of weights are tracked, rows are appended every epoch, the state for exact resume is saved every
epoch and about once a minute, and validation images alone decide what is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import monotonic

import torch
from torch import Tensor, nn

from cfa.config import RunConfig
from cfa.data import NO_AUGMENTATION, Dataset, Images, to_float
from cfa.errors import CfaError, ConfigError, Diverged
from cfa.methods import (
    TRAINING,
    Averager,
    ClassStats,
    Parts,
    Tally,
    config_differences,
    gate_statistic,
    parts_of,
    tail_classes,
)
from cfa.models import ModelSpec, all_finite, repeatable
from cfa.models.replay import carrier_for, eagerly
from cfa.progress import Observer, Stopped
from cfa.runs.folder import RunFolder
from cfa.runs.origins import Origin
from cfa.runs.rows import Row, append_rows, drop_rows_after
from cfa.training.arithmetic import arithmetic_of
from cfa.training.epoch import train_epoch
from cfa.training.helpers import with_helper
from cfa.training.kept import KeptWeights, averagers_of
from cfa.training.memory import OutOfMemory, fits, largest_batch
from cfa.training.pair_knobs import keep_pairs
from cfa.training.passes import make_pass
from cfa.training.preparing import (
    TrainingImages,
    check_same_data,
    first_state,
    manifest_of,
    model_spec,
    starting_companions,
    starting_model,
    with_origins,
)
from cfa.training.randomness import generator
from cfa.training.schedule import learning_rate
from cfa.training.state import EpochCounts, TrainingState
from cfa.training.step import Step
from cfa.training.teachers import Teacher, require_same_teacher, require_teacher
from cfa.training.telling import closing_words, epoch_row, epoch_words, knobs_row, report, training_row
from cfa.training.validation import Counts, count_correct, score_rows

SECONDS_BETWEEN_SAVES = 60.0


def fit(
    run: RunFolder,
    dataset: Dataset,
    device: torch.device,
    observer: Observer,
    *,
    initial: Mapping[str, Tensor] | None = None,
    start: Origin | None = None,
    teacher: Teacher | None = None,
) -> None:
    """Train ``run`` to its last epoch, going on from its saved state if it has one.

    Args:
        run: A run folder with a configuration.
        dataset: The data set that the configuration names.
        device: Where to train.
        observer: Told of progress; asked before every batch whether to stop.
        initial: Weights to start from instead of random ones.
        start: Whose these are.
        teacher: A trained network on the device, in eval mode, for methods that learn from one.

    Raises:
        Stopped: The observer asked for it; the state is saved.
        Diverged: The loss is no longer finite; the last good state remains.
        CfaError: The configuration does not fit the data, or the disk is full.
    """
    if run.status.state == "finished":  # its state may be pruned: starting again would erase its history
        observer.log(f"{run.name} has been trained to its end")
        return
    cuda = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda), repeatable(), arithmetic_of(run.config, device):
            Trainer.of(run, dataset, device, observer, initial, start, teacher).train()
    except Stopped as stop:
        run.write_status("paused" if stop.reason == "pause" else "cancelled", run.status.epoch)
        raise
    except CfaError as error:
        run.write_status("failed", run.status.epoch, str(error))
        observer.log(str(error))
        raise


@dataclass
class Trainer:
    """A run in training: its method, its state, and its data on the device."""

    run: RunFolder
    config: RunConfig
    device: torch.device
    observer: Observer
    dataset: Dataset
    images: TrainingImages
    step: Step
    state: TrainingState
    kept: KeptWeights
    averagers: dict[str, Averager]

    @classmethod
    def of(
        cls,
        run: RunFolder,
        dataset: Dataset,
        device: torch.device,
        observer: Observer,
        initial: Mapping[str, Tensor] | None,
        start: Origin | None,
        teacher: Teacher | None,
    ) -> "Trainer":
        """Build everything from the configuration, then restore the saved state if there is one."""
        config = run.config
        if config.init is not None and initial is None and not run.state_file.exists():
            raise ConfigError(f"init={config.init!r} names weights to start from, but none were given")
        images = TrainingImages.of(config, dataset, device)
        parts = parts_of(config)
        method = parts.method
        val_counts = images.val.counts(dataset.num_classes)
        needs_fawa = method.reported_with == "fawa"
        averagers = averagers_of(config, val_counts, observer, needs_fawa=needs_fawa)
        spec = model_spec(dataset, images.train, method.head)
        require_teacher(config.method, method.needs_teacher, teacher, spec)
        model = starting_model(config, spec, device, initial, observer)
        companions = starting_companions(parts, spec, device)
        state = first_state(parts, config, model, companions, images.train, dataset.num_classes)
        class_counts = images.train.counts(dataset.num_classes)
        trainer = cls(
            run=run,
            config=config,
            device=device,
            observer=observer,
            dataset=dataset,
            images=images,
            step=Step.of(
                parts,
                model,
                class_counts,
                teacher=teacher,
                companions=companions,
                carry=carrier_for(
                    device, observer.log, graphs=config.train.graphs and not config.train.compile
                ),
            ),
            state=state,
            kept=KeptWeights.of(run, config, state, images.train),
            averagers=averagers,
        )
        trainer._open(spec, start, teacher)
        return trainer

    @property
    def parts(self) -> Parts:
        """The parts of the run's method."""
        return self.step.parts

    def train(self) -> None:
        """Run the epochs that are left, then keep the last weights."""
        epochs = self.config.train.epochs
        self.step = with_helper(self.step, self.run, self.dataset, self.images.train, self.observer)
        while self.state.epoch < epochs:
            self.run.write_status("running", self.state.epoch)
            try:
                self._train_epoch()
            except Diverged:
                self.kept.return_to_last_good()
                raise
            self._finish_epoch()
        self.kept.keep_last()
        message = closing_words(self.config, self.state, self.averagers)
        self.run.write_status("finished", epochs, message)
        self.observer.log(f"training finished. {message}".strip())

    def _open(self, spec: ModelSpec, start: Origin | None, teacher: Teacher | None) -> None:
        """Write how the run is made, or go on from its saved state."""
        if self.run.state_file.exists():
            check_same_data(self.run, self.dataset)
            require_same_teacher(self.run, teacher)
            self.state.restore(self.run.state_file)
            if left_out := self.run.history.problem:
                self.observer.log(f"of history.jsonl {left_out}")
            drop_rows_after(self.run.history_file, self.state.epoch)
            self.observer.log(f"resuming in epoch {self.state.epoch + 1}, after step {self.state.step}")
            return
        drop_rows_after(self.run.history_file, 0)
        split, images = self.images.split, self.images
        self.run.write_split(split.train.tolist(), split.validation.tolist())
        manifest = manifest_of(self.parts, self.dataset, images, spec, self.device)
        taught_by = teacher.origin if teacher else None
        self.run.write_manifest(with_origins(manifest, self.config, split, start, taught_by))
        count = f"{len(images.train)} training and {len(images.val)} validation images"
        self.observer.log(f"{self.config.method} on {self.dataset.name}: {count}, {self.config.model}")
        if self.parts.method.fine_tunes:
            self._calibrate_first()

    # One epoch -----------------------------------------------------------------------------------------

    def _train_epoch(self) -> None:
        state, settings = self.state, self.config.train
        rate = learning_rate(self.config.optimizer, state.epoch + 1, settings.epochs)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        last_save = monotonic()

        def after_step(done: int, steps: int) -> None:
            nonlocal last_save
            if self.device.type == "cpu":
                self._check_finite()  # on an accelerator this would wait for it: once an epoch and a save
            report(self.observer, self.config, state, "training", done / steps)
            reason = self.observer.stop_requested()
            if reason is None and monotonic() - last_save < SECONDS_BETWEEN_SAVES:
                return
            self._check_finite(weights=True)
            state.save(self.run.state_file)
            last_save = monotonic()
            if reason is not None:
                self.kept.keep_last()
                raise Stopped(reason)

        def epoch() -> None:
            train_epoch(
                state,
                self.step,
                self.images.train,
                self.dataset.augmentation if self.config.data.augment else NO_AUGMENTATION,
                seed=self.config.seed,
                batch_size=settings.batch_size,
                after_step=after_step,
            )

        if not fits(epoch):
            raise self._out_of_memory()
        self._check_finite(weights=True)

    def _out_of_memory(self) -> OutOfMemory:
        """Try smaller batches on the state that is lost anyway (the saved one stays), and say which fits."""
        wanted = self.config.train.batch_size
        knobs = self.state.knobs.on(self.device)
        self.step = replace(self.step, carry=eagerly)  # captured graphs give their memory back

        def batch_fits(images: int) -> bool:
            index = torch.arange(images, device=self.device)
            batch = self.images.train.subset(index)
            x, noise = to_float(batch.images), generator(self.config.seed, "memory", device=self.device)
            return fits(lambda: self.step(self.state.optimizer, x, batch.labels, index, knobs, noise))

        found = largest_batch(batch_fits, too_large=-(-wanted // self.config.train.batch_parts))
        what = f"out of memory on {self.device} with train.batch_size={wanted}"
        if found == 0:
            return OutOfMemory(f"{what}: not even one image fits; take a smaller network or free memory")
        fewer = (
            f"{what}: the largest batch that fits is about {found}; start again with train.batch_size={found}"
        )
        if self.parts.method.whole_batch:
            return OutOfMemory(fewer)
        return OutOfMemory(
            f"{fewer}, or keep {wanted} with train.batch_parts={-(-wanted // found)} "
            "(marked in results: BatchNorm then sees parts of a batch)"
        )

    def _finish_epoch(self) -> None:
        """Validate, pass the gate, average, calibrate, keep the best; then write rows and state."""
        state, epoch = self.state, self.state.epoch + 1
        report(self.observer, self.config, state, "validating", 1.0)
        rows: list[Row] = [knobs_row(epoch, state.knobs), training_row(self.config, state, epoch)]
        rows += self._evaluate("online", state.model, epoch)
        gate = self._gate_statistic()
        accepted = {kind: averager.accepts(epoch, gate) for kind, averager in self.averagers.items()}
        for kind, averager in self.averagers.items():
            if accepted[kind]:
                online = state.model.state_dict()
                state.averages[kind] = averager.update(state.averages.get(kind), online)
                rows += self._evaluate(kind, self.kept.average(kind), epoch)
            elif kind in state.averages:  # unchanged weights: the same counts, not computed again
                rows += self._rows_of_unchanged(kind, epoch)
        used = state.knobs
        self._calibrate(epoch, {TRAINING: state.counts.tally()})
        row = epoch_row(self.config, state, epoch, gate, accepted.get("fawa"))
        append_rows(self.run.history_file, [*rows, row])
        every, last = self.config.train.keep_every, epoch == self.config.train.epochs
        if last or (every and epoch % every == 0):
            keep_pairs(self.run.knobs_file, epoch, used)
        self.kept.keep_snapshot(epoch)
        state.epoch, state.step = epoch, 0
        state.counts = EpochCounts.zero(self.dataset.num_classes, self.device)
        state.save(self.run.state_file)
        names = self.dataset.class_names
        self.observer.log(epoch_words(row, state.scores, names, self.config.train.epochs))

    def _evaluate(self, kind: str, model: nn.Module, epoch: int) -> list[Row]:
        """Evaluate one kind of weights, and keep them if they are the best of their kind so far."""
        splits = {"val": self.images.val}
        if self.images.test is not None:
            splits["test"] = self.images.test
        counts = {split: self._count(model, images) for split, images in splits.items()}
        self.state.scores[kind] = {split: vars(count) for split, count in counts.items()}
        score = counts[self.config.train.select_on].selection_score
        self.kept.keep_if_best(kind, model, score, epoch)
        return [
            row
            for split, count in counts.items()
            for row in score_rows(count, self.config, epoch=epoch, split=split, weights=kind)
        ]

    def _count(self, model: nn.Module, images: Images) -> Counts:
        """Count what is right under the method's attack; a resumed run goes on with that of its start."""
        before = self.state.scores.get("online")
        attack = Counts(**before["val"]).attack if before else self.parts.method.validated_with
        classes, carry = self.dataset.num_classes, self.step.carry
        return count_correct(model, images, self.config, classes, attack, carry)

    def _rows_of_unchanged(self, kind: str, epoch: int) -> list[Row]:
        return [
            row
            for split, fields in self.state.scores[kind].items()
            for row in score_rows(Counts(**fields), self.config, epoch=epoch, split=split, weights=kind)
        ]

    def _gate_statistic(self) -> float:
        counts = Counts(**self.state.scores["online"]["val"])
        tail = tail_classes(self.images.train.counts(self.dataset.num_classes).cpu())
        return gate_statistic(self.config.averaging.gate, counts.robust, counts.total, tail)

    def _calibrate_first(self) -> None:
        """Set the knobs of epoch 1 from the weights that training starts from."""
        if self.config.init is None:
            self.observer.log(
                f"{self.config.method} is made to go on from a robust network, and this run starts from "
                "random weights; name a trained run as init (--init RUN)"
            )
        counts = self._count(self.state.model, self.images.val)
        self.state.scores["online"] = {"val": vars(counts)}
        self._calibrate(0, {})

    def _calibrate(self, epoch: int, trained: Mapping[str, Tally]) -> None:
        """Ask the rule, once the passes that it reads are made."""
        knobs = self.state.knobs.on(self.device)
        passes = {
            asked.name: make_pass(
                asked,
                self.step,
                self.state.model,
                self.images.train if asked.over == "training" else self.images.val,
                knobs,
                self.config.seed,
                epoch,
            )
            for asked in self.parts.passes
            if epoch >= asked.from_epoch and epoch % asked.every == 0
        }
        validation = Counts(**self.state.scores["online"]["val"]).tallies()
        stats = ClassStats(
            epoch=epoch,
            class_counts=self.step.class_counts.cpu(),
            seen={**trained, **validation, **passes},
        )
        self.state.rule_state, knobs = self.parts.rule(self.state.rule_state, stats)
        self.state.knobs = knobs.require_budgets(self.config.method, epoch + 1)
        for remark in self.state.knobs.remarks:
            self.observer.log(remark)

    def _check_finite(self, *, weights: bool = False) -> None:
        """Stop at a loss that is not finite, and before saving also at weights that no loss has seen yet."""
        state, rate = self.state, self.state.optimizer.param_groups[0]["lr"]
        first_bad = int(state.counts.first_bad_step)
        if first_bad != EpochCounts.NEVER:
            what = f"the loss is not finite in epoch {state.epoch + 1}, step {first_bad}"
        elif weights and not all_finite(state.model.state_dict()):
            what = f"the weights are not finite after epoch {state.epoch + 1}, step {state.step}"
        else:
            return
        raise Diverged(f"{what}; lower {self._suspects(rate)} and start again: the last good state is kept")

    def _suspects(self, rate: float) -> str:
        """Name what may have made the loss too large: the rate, and what was set of the method's own."""
        numbers = [
            f"{name} (now {value:g})"
            for name, (_, value) in config_differences(self.config).items()
            if name.startswith("method.") and isinstance(value, float)
        ]
        return " or ".join([f"optimizer.lr (now {rate:g})", *numbers])
