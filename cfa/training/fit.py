"""Fit: train a run to its end, from wherever it is.

Three kinds of weights are tracked, rows are appended every epoch, the state for exact resume is saved every
epoch and about once a minute, and validation images alone decide what is kept.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from cfa.config import RunConfig
from cfa.data import (
    NO_AUGMENTATION,
    Dataset,
    Images,
    Split,
    clean_batches,
    long_tailed_split,
    to_float,
)
from cfa.errors import CfaError, ConfigError, DataError, Diverged
from cfa.methods import METHODS, Averager, ClassStats, gate_statistic, tail_classes
from cfa.models import (
    ModelSpec,
    WeightsFile,
    all_finite,
    build_model,
    channel_statistics,
    for_training,
    load_into,
    repeatable,
    save_weights,
)
from cfa.progress import Observer, Progress, Stopped
from cfa.results.rows import Epoch, Row, Scores, append_rows, drop_rows_after
from cfa.results.runs import Manifest, RunFolder, now
from cfa.training.epoch import train_epoch
from cfa.training.memory import OutOfMemory, fits, largest_batch
from cfa.training.provenance import code_version, device_name, package_versions
from cfa.training.randomness import generator
from cfa.training.schedule import learning_rate
from cfa.training.state import EpochCounts, TrainingState, knobs_row
from cfa.training.step import DeviceKnobs, Step
from cfa.training.trainable import require_trainable
from cfa.training.validation import Counts, count_correct, score_rows
from cfa.typed_paths import leads_to_file

SMALLEST_GATE_CLASS = 20  # with fewer validation images a class's accuracy moves in steps of over 5 %
SECONDS_BETWEEN_SAVES = 60.0


def fit(
    run: RunFolder,
    dataset: Dataset,
    device: torch.device,
    observer: Observer,
    *,
    initial: Mapping[str, Tensor] | None = None,
) -> None:
    """Train ``run`` to its last epoch, going on from its saved state if it has one.

    Args:
        run: A run folder with a configuration.
        dataset: The data set that the configuration names.
        device: Where to train.
        observer: Told of progress; asked before every batch whether to stop.
        initial: Weights to start from instead of random ones.

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
        with torch.random.fork_rng(devices=cuda), repeatable():
            Trainer.of(run, dataset, device, observer, initial).train()
    except Stopped as stop:
        run.write_status("paused" if stop.reason == "pause" else "cancelled", run.status.epoch)
        raise
    except CfaError as error:
        run.write_status("failed", run.status.epoch, str(error))
        observer.log(str(error))
        raise


def split_images(config: RunConfig, dataset: Dataset) -> Split:
    """Cut the training part into training and validation images, long-tailed where that is asked for."""
    settings = config.data
    # A balanced `-lt` set is the set without `-lt`, so that 1 can stand for the data set's own ratio.
    ratio = dataset.imbalance_ratio if settings.imbalance_ratio == 1 else settings.imbalance_ratio
    return long_tailed_split(
        dataset.train_labels,
        dataset.num_classes,
        ratio,
        settings.val_fraction,
        settings.split_seed,
        settings.split_order,
    )


@dataclass
class Trainer:
    """A run in training: its state, its data on the device, and the parts of its method."""

    run: RunFolder
    config: RunConfig
    device: torch.device
    observer: Observer
    dataset: Dataset
    train_images: Images
    val_images: Images
    test_images: Images | None  # only where a probe or the papers' protocol needs it
    step: Step
    state: TrainingState
    shadow: nn.Module  # carries averaged weights while they are evaluated
    averagers: dict[str, Averager]

    @classmethod
    def of(
        cls,
        run: RunFolder,
        dataset: Dataset,
        device: torch.device,
        observer: Observer,
        initial: Mapping[str, Tensor] | None,
    ) -> "Trainer":
        """Build everything from the configuration, then restore the saved state if there is one."""
        config = run.config
        if config.init is not None and initial is None and not run.state_file.exists():
            raise ConfigError(f"init={config.init!r} names weights to start from, but none were given")
        dataset.require_training_images()
        split = split_images(config, dataset)
        everything = Images(dataset.train_images, dataset.train_labels)
        train, val = everything.subset(split.train), everything.subset(split.validation)
        _check_batch(config, len(train))
        averagers = _averagers(config, val.counts(dataset.num_classes), observer)
        spec = _model_spec(dataset, train)
        model = _model(config, spec, device, initial, observer)
        recipe = METHODS[config.method]
        rule_state, knobs = recipe.rule(config).initial(dataset.num_classes)
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=config.optimizer.lr,
            momentum=config.optimizer.momentum,
            nesterov=config.optimizer.nesterov,
            weight_decay=config.optimizer.weight_decay,
        )
        counts = EpochCounts.zero(dataset.num_classes, device)
        state = TrainingState(model, optimizer, knobs, rule_state, counts)
        needs_test = config.train.test_probe or config.train.select_on == "test"
        test = Images(dataset.test_images, dataset.test_labels).to(device) if needs_test else None
        trainer = cls(
            run=run,
            config=config,
            device=device,
            observer=observer,
            dataset=dataset,
            train_images=train.to(device),
            val_images=val.to(device),
            test_images=test,
            step=Step.of(recipe, config, model),
            state=state,
            shadow=copy.deepcopy(model),
            averagers=averagers,
        )
        trainer._open(spec, split)
        return trainer

    def train(self) -> None:
        """Run the epochs that are left, then keep the last weights."""
        epochs = self.config.train.epochs
        while self.state.epoch < epochs:
            self.run.write_status("running", self.state.epoch)
            try:
                self._train_epoch()
            except Diverged:
                self._return_to_last_good()
                raise
            self._finish_epoch()
        self._keep_last()
        message = self._closing_words()
        self.run.write_status("finished", epochs, message)
        self.observer.log(f"training finished. {message}".strip())

    def _open(self, spec: ModelSpec, split: Split) -> None:
        """Write how the run is made, or go on from its saved state."""
        if self.run.state_file.exists():
            self._check_same_data()
            self.state.restore(self.run.state_file)
            if left_out := self.run.history.problem:
                self.observer.log(f"of history.jsonl {left_out}")
            drop_rows_after(self.run.history_file, self.state.epoch)
            self.observer.log(f"resuming in epoch {self.state.epoch + 1}, after step {self.state.step}")
            return
        drop_rows_after(self.run.history_file, 0)
        classes = self.dataset.num_classes
        self.run.write_split(split.train.tolist(), split.validation.tolist())
        self.run.write_manifest(
            Manifest(
                created=now(),
                code_version=code_version(),
                packages=package_versions(),
                device=device_name(self.device),
                threads=torch.get_num_threads(),
                data_fingerprint=self.dataset.fingerprint,
                class_names=self.dataset.class_names,
                train_counts=tuple(self.train_images.counts(classes).tolist()),
                val_counts=tuple(self.val_images.counts(classes).tolist()),
                model=vars(spec),
                reported_with="fawa" if METHODS[self.config.method].gated else "online",
            )
        )
        images = f"{len(self.train_images)} training and {len(self.val_images)} validation images"
        self.observer.log(f"{self.config.method} on {self.dataset.name}: {images}, {self.config.model}")
        if METHODS[self.config.method].constrained:
            self._calibrate_first()

    def _check_same_data(self) -> None:
        manifest = self.run.manifest
        if manifest is not None and manifest.data_fingerprint != self.dataset.fingerprint:
            raise DataError(
                f"data set {self.dataset.name!r} has changed since the run started; "
                "restore it, or start a new run"
            )

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
            self._report("training", done / steps)
            reason = self.observer.stop_requested()
            if reason is None and monotonic() - last_save < SECONDS_BETWEEN_SAVES:
                return
            self._check_finite(weights=True)
            state.save(self.run.state_file)
            last_save = monotonic()
            if reason is not None:
                self._keep_last()
                raise Stopped(reason)

        def epoch() -> None:
            train_epoch(
                state,
                self.step,
                self.train_images,
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
        knobs = DeviceKnobs.of(self.state.knobs, self.device)

        def batch_fits(images: int) -> bool:
            batch = self.train_images.subset(torch.arange(images, device=self.device))
            x, noise = to_float(batch.images), generator(self.config.seed, "memory", device=self.device)
            return fits(lambda: self.step(self.state.optimizer, x, batch.labels, knobs, noise))

        found = largest_batch(batch_fits, too_large=-(-wanted // self.config.train.batch_parts))
        what = f"out of memory on {self.device} with train.batch_size={wanted}"
        if found == 0:
            return OutOfMemory(f"{what}: not even one image fits; take a smaller network or free memory")
        return OutOfMemory(
            f"{what}: the largest batch that fits is about {found}; start again with "
            f"train.batch_size={found}, or keep {wanted} with train.batch_parts={-(-wanted // found)} "
            "(marked in results: BatchNorm then sees parts of a batch)"
        )

    def _finish_epoch(self) -> None:
        """Validate, pass the gate, average, calibrate, keep the best; then write rows and state."""
        state, epoch = self.state, self.state.epoch + 1
        self._report("validating", 1.0)
        rows: list[Row] = [knobs_row(epoch, state.knobs), self._training_row(epoch)]
        rows += self._evaluate("online", state.model, epoch)
        gate = self._gate_statistic()
        accepted = {kind: averager.accepts(epoch, gate) for kind, averager in self.averagers.items()}
        for kind, averager in self.averagers.items():
            if accepted[kind]:
                online = state.model.state_dict()
                state.averages[kind] = averager.update(state.averages.get(kind), online)
                rows += self._evaluate(kind, self._shadow_of(kind), epoch)
            elif kind in state.averages:  # unchanged weights: the same counts, not computed again
                rows += self._rows_of_unchanged(kind, epoch)
        self._calibrate(epoch)
        epoch_row = self._epoch_row(epoch, gate, accepted.get("fawa"))
        append_rows(self.run.history_file, [*rows, epoch_row])
        self._keep_snapshot(epoch)
        state.epoch, state.step = epoch, 0
        state.counts = EpochCounts.zero(self.dataset.num_classes, self.device)
        state.save(self.run.state_file)
        self._log_epoch(epoch_row)

    def _evaluate(self, kind: str, model: nn.Module, epoch: int) -> list[Row]:
        """Evaluate one kind of weights, and keep them if they are the best of their kind so far."""
        splits = {"val": self.val_images}
        if self.test_images is not None:
            splits["test"] = self.test_images
        counts = {split: self._count(model, images) for split, images in splits.items()}
        self.state.scores[kind] = {split: vars(count) for split, count in counts.items()}
        score = counts[self.config.train.select_on].selection_score
        if score > self.state.best.get(kind, (-1.0, 0))[0]:
            self.state.best[kind] = (score, epoch)
            self._save_weights(kind, "best", model.state_dict(), epoch)
        return [
            row
            for split, count in counts.items()
            for row in score_rows(count, self.config, epoch=epoch, split=split, weights=kind)
        ]

    def _count(self, model: nn.Module, images: Images) -> Counts:
        """Count what is right under the method's attack; a resumed run goes on with that of its start."""
        before = self.state.scores.get("online")
        attack = Counts(**before["val"]).attack if before else METHODS[self.config.method].validation_attack
        return count_correct(model, images, self.config, self.dataset.num_classes, attack)

    def _rows_of_unchanged(self, kind: str, epoch: int) -> list[Row]:
        return [
            row
            for split, fields in self.state.scores[kind].items()
            for row in score_rows(Counts(**fields), self.config, epoch=epoch, split=split, weights=kind)
        ]

    def _gate_statistic(self) -> float:
        counts = Counts(**self.state.scores["online"]["val"])
        tail = tail_classes(self.train_images.counts(self.dataset.num_classes).cpu())
        return gate_statistic(self.config.averaging.gate, counts.robust, counts.total, tail)

    def _shadow_of(self, kind: str) -> nn.Module:
        """Load averaged weights into the shadow, re-estimating BatchNorm statistics where that is set."""
        self.shadow.load_state_dict(self.state.averages[kind])
        if self.config.averaging.batch_norm == "re-estimate":
            update_bn(clean_batches(self.train_images, self.config.train.batch_size), self.shadow)
        return self.shadow

    def _calibrate_first(self) -> None:
        """Set the knobs of epoch 1 from the weights that training starts from."""
        if self.config.init is None:
            self.observer.log(
                f"{self.config.method} is made to go on from a robust network, and this run starts from "
                "random weights; name a trained run as init (--init RUN)"
            )
        counts = self._count(self.state.model, self.val_images)
        self.state.scores["online"] = {"val": vars(counts)}
        self._calibrate(0)

    def _calibrate(self, epoch: int) -> None:
        validation = Counts(**self.state.scores["online"]["val"])
        stats = ClassStats(
            epoch=epoch,
            train_correct=self.state.counts.correct.cpu(),
            train_total=self.state.counts.total.cpu(),
            val_clean_correct=torch.tensor(validation.clean),
            val_robust_correct=torch.tensor(validation.robust),
            val_total=torch.tensor(validation.total),
        )
        rule = METHODS[self.config.method].rule(self.config)
        self.state.rule_state, self.state.knobs = rule(self.state.rule_state, stats)

    # Rows ----------------------------------------------------------------------------------------------

    def _training_row(self, epoch: int) -> Scores:
        counts, attack = self.state.counts, self.config.attack
        return Scores(
            epoch=epoch,
            split="train",
            weights="online",
            attack="training",
            norm=attack.norm,
            eps=attack.eps,
            correct=tuple(counts.correct.tolist()),
            total=tuple(counts.total.tolist()),
        )

    def _epoch_row(self, epoch: int, gate: float, accepted: bool | None) -> Epoch:
        counts, settings = self.state.counts, self.config.averaging
        images = int(counts.total.sum())
        open_yet = accepted is not None and epoch >= settings.start_epoch
        return Epoch(
            epoch=epoch,
            learning_rate=self.state.optimizer.param_groups[0]["lr"],
            loss=float(counts.loss) / images,
            seconds=counts.seconds,
            images_per_second=images / max(counts.seconds, 1e-9),
            gate_worst=gate,
            gate_threshold=settings.threshold,
            gate_accepted=accepted if open_yet else None,
        )

    # What is kept --------------------------------------------------------------------------------------

    def _save_weights(self, kind: str, checkpoint: str, state_dict: Mapping[str, Tensor], epoch: int) -> None:
        metadata = {
            "weights": kind,
            "checkpoint": checkpoint,
            "epoch": str(epoch),
            "run": self.run.id,
            "model": self.config.model,
            "select_on": self.config.train.select_on,
        }
        save_weights(self.run.weights_file(kind, checkpoint), state_dict, metadata)

    def _keep_last(self) -> None:
        """Keep the newest weights of every kind (mid-epoch ones count for the epoch that they are in)."""
        epoch = self.state.epoch
        self._save_weights("online", "last", self.state.model.state_dict(), epoch + (self.state.step > 0))
        for kind in self.state.averages:
            self._save_weights(kind, "last", self._shadow_of(kind).state_dict(), epoch)

    def _return_to_last_good(self) -> None:
        if self.run.state_file.exists():
            self.state.restore(self.run.state_file)
            self._keep_last()

    def _keep_snapshot(self, epoch: int) -> None:
        every = self.config.train.keep_every
        if every and epoch % every == 0:
            self._save_weights("online", f"epoch{epoch}", self.state.model.state_dict(), epoch)

    # Telling -------------------------------------------------------------------------------------------

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
        raise Diverged(
            f"{what}; lower optimizer.lr (now {rate:g}) and start again: the last good state is kept"
        )

    def _report(self, phase: str, share_of_epoch: float) -> None:
        epochs = self.config.train.epochs
        self.observer.progress(
            Progress(
                done=self.state.epoch + share_of_epoch,
                total=epochs,
                unit="epochs",
                phase=phase,
                epoch=self.state.epoch + 1,
                epochs=epochs,
            )
        )

    def _log_epoch(self, row: Epoch) -> None:
        assert row.loss is not None  # it was trained here
        assert row.images_per_second is not None
        counts = Counts(**self.state.scores["online"]["val"])
        robust = [k / n for k, n in zip(counts.robust, counts.total, strict=True)]
        worst = self.dataset.class_names[robust.index(min(robust))]
        gate = {None: "", True: ", FAWA took it", False: ", FAWA rejected it"}[row.gate_accepted]
        self.observer.log(
            f"epoch {row.epoch}/{self.config.train.epochs}: loss {row.loss:.3f}, validation clean "
            f"{sum(counts.clean) / sum(counts.total):.1%}, robust {sum(robust) / len(robust):.1%}, "
            f"worst {min(robust):.1%} ({worst}), {row.images_per_second:.0f} images/s{gate}"
        )

    def _closing_words(self) -> str:
        if "fawa" not in self.averagers:
            return "FAWA weights were not kept: too few validation images a class for the worst-class gate."
        if "fawa" not in self.state.averages:
            settings = self.config.averaging
            if settings.start_epoch > self.config.train.epochs:
                return (
                    f"The run ended before averaging started (averaging.start_epoch={settings.start_epoch}): "
                    "online weights are reported."
                )
            return (
                f"FAWA's gate never opened (validation {settings.gate} below {settings.threshold:g} "
                f"from epoch {settings.start_epoch} on): online weights are reported."
            )
        return ""


def _check_batch(config: RunConfig, images: int) -> None:
    if config.train.batch_size > images:
        raise ConfigError(
            f"train.batch_size={config.train.batch_size} exceeds the {images} training images; "
            "lower it or use a larger data set"
        )


def _averagers(config: RunConfig, val_counts: Tensor, observer: Observer) -> dict[str, Averager]:
    """Build EMA and FAWA; a worst-class gate over too few validation images is refused."""
    settings = config.averaging
    averagers = {"ema": Averager(decay=settings.decay, start_epoch=settings.start_epoch)}
    smallest = int(val_counts.min())
    if settings.gate == "worst" and smallest < SMALLEST_GATE_CLASS:
        sentence = (
            f"averaging.gate=worst needs {SMALLEST_GATE_CLASS} validation images a class and the smallest "
            f"has {smallest}; raise data.val_fraction or choose the gate worst-10-percent, tail or mean"
        )
        if METHODS[config.method].gated:
            raise ConfigError(sentence)
        observer.log(f"FAWA weights are not kept: {sentence}")
        return averagers
    averagers["fawa"] = Averager(
        decay=settings.decay, start_epoch=settings.start_epoch, threshold=settings.threshold
    )
    return averagers


def _model_spec(dataset: Dataset, train: Images) -> ModelSpec:
    mean, std = channel_statistics(train.images)
    return ModelSpec(dataset.channels, dataset.num_classes, dataset.image_size, mean, std)


def _model(
    config: RunConfig,
    spec: ModelSpec,
    device: torch.device,
    initial: Mapping[str, Tensor] | None,
    observer: Observer,
) -> nn.Module:
    model: nn.Module = build_model(config.model, spec, config.seed)
    if initial is not None:
        start = WeightsFile.of(config.init or "the initial weights")
        said = load_into(model, initial, str(start), key=start.key).said(start.path.name)
        if said and leads_to_file(start.path):
            observer.log(f"starting from {start}; {said}")
    model = for_training(model, device)
    if ":" in config.model:
        require_trainable(model, spec, device)
    return model
