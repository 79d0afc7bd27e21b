"""What a run will take: from whole batches, from epochs that were measured, and the same from both."""

from dataclasses import replace

import pytest
import torch

from cfa.config import RunConfig
from cfa.data import DatasetInfo
from cfa.methods import configure
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Epoch, append_rows
from cfa.training import estimate
from cfa.training.estimate import Timing, pace, scaled, time_steps, timing_of

CPU = torch.device("cpu")
INFO = DatasetInfo("tiny", "Tiny", 10, 1, 28, 10_000, 2_000, available=True, how_to_get="")


def config(method="trades-cfa", **changes) -> RunConfig:
    overrides = {name.replace("__", "."): value for name, value in changes.items()}
    return configure(method, "fashion-mnist-mini", overrides=overrides)


class Machine:
    """A machine on which every step has a part that does not grow with its images, as a busy one has."""

    def __init__(self, fixed: float, each: float) -> None:
        self.fixed, self.each, self.now = fixed, each, 0.0

    def work(self, images: int) -> None:
        self.now += self.fixed + self.each * images

    def put_in_place(self, monkeypatch) -> None:
        real = estimate.Step.of

        def timed(*given, **more):
            step = real(*given, **more)
            return _Slow(step, self)

        monkeypatch.setattr(estimate, "perf_counter", lambda: self.now)
        monkeypatch.setattr(estimate.Step, "of", timed)
        monkeypatch.setattr(estimate, "count_correct", lambda model, images, *rest: self.work(len(images)))


class _Slow:
    def __init__(self, step, machine) -> None:
        self.parts, self.networks, self.machine = step.parts, step.networks, machine

    def __call__(self, optimizer, x, y, *rest) -> None:
        self.machine.work(len(x))


@pytest.mark.parametrize("fixed", [0.0, 0.2, 3.0, 10.0])
def test_what_a_step_takes_beside_its_images_is_not_scaled_up(monkeypatch, fixed):
    Machine(fixed, 0.001).put_in_place(monkeypatch)
    timing = time_steps(config(train__batch_size=128), INFO, CPU)
    whole = fixed / 128 + 0.001
    assert timing.training == pytest.approx(whole)
    assert timing.checked == pytest.approx(whole)


def test_a_batch_that_is_out_of_reach_is_scaled_up_from_a_part_of_it(monkeypatch):
    machine = Machine(0.0, 5.0)
    machine.put_in_place(monkeypatch)
    timing = time_steps(config(train__batch_size=128), INFO, CPU, patience=2.0)
    assert timing.training == pytest.approx(5.0)
    assert machine.now < 2 * 5.0 * 64  # and not for two whole batches


def finished(tmp_path, made: RunConfig, timing: Timing) -> tuple[RunFolder, float]:
    """Write the rows of a run whose steps took so long; return it and how long its job took."""
    run = RunFolder(tmp_path / "r0123456")
    (run.path / "weights").mkdir(parents=True)
    run.weights_file("online", "best").write_bytes(b"0" * timing.weights_bytes)
    run.write_config(made)
    images = 9_000
    rows = [
        Epoch(
            epoch=epoch,
            learning_rate=0.1,
            loss=1.0,
            seconds=images * timing.training,
            images_per_second=1 / timing.training,
            gate_worst=None,
            gate_threshold=None,
            gate_accepted=None,
        )
        for epoch in range(1, made.train.epochs + 1)
    ]
    append_rows(run.history_file, rows)
    held_out = round(INFO.train_images * made.data.val_fraction)
    whole = scaled(made, INFO, timing).seconds
    trained = made.train.epochs * (INFO.train_images - held_out) * timing.training
    return run, whole - trained + made.train.epochs * images * timing.training


def test_a_finished_run_says_what_its_steps_took(tmp_path):
    timing = Timing(training=0.002, checked=0.001, weights_bytes=1000)
    made = config(train__epochs=6)
    run, wall = finished(tmp_path, made, timing)
    read = timing_of(run, INFO, wall)
    assert read is not None
    assert (read.training, read.checked) == pytest.approx((0.002, 0.001))
    assert read.weights_bytes == 1000
    longer = config(train__epochs=60)
    assert scaled(longer, INFO, read).seconds == pytest.approx(scaled(longer, INFO, timing).seconds)


@pytest.mark.parametrize(
    ("rows", "wall"), [(3, 1000.0), (6, 1.0), (0, 1000.0)], ids=["resumed", "started twice", "without rows"]
)
def test_a_run_that_was_not_made_in_one_go_says_nothing(tmp_path, rows, wall):
    timing = Timing(training=0.002, checked=0.001, weights_bytes=1000)
    run, _ = finished(tmp_path, config(train__epochs=6), timing)
    lines = run.history_file.read_text().splitlines(keepends=True)
    run.history_file.write_text("".join(lines[:rows]))
    assert timing_of(run, INFO, wall) is None


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({"train__epochs": 3}, True),
        ({"attack__eps": "4/255"}, True),
        ({"method__lambda_eps": 0.7}, True),
        ({"method__warmup_epochs": 2}, True),
        ({"optimizer__lr": 0.01}, True),
        ({"attack__steps": 3}, False),
        ({"train__batch_size": 64}, False),
        ({"train__precision": "float32"}, False),
        ({"train__batch_parts": 2}, False),
    ],
)
def test_runs_are_as_fast_as_each_other_where_a_step_is_the_same_work(changes, alike):
    assert (pace(config(**changes)) == pace(config())) is alike


def test_methods_and_data_sets_have_a_pace_of_their_own():
    ours = config()
    others = [config("trades"), ours.model_copy(update={"dataset": "cifar10"})]
    assert len({pace(one) for one in (ours, *others)}) == 3
    assert pace(ours.model_copy(update={"seed": 3, "init": "abc"})) == pace(ours)


def test_an_epoch_is_its_images_and_its_validation():
    timing = Timing(training=0.01, checked=0.002, weights_bytes=100)
    short = config(train__epochs=2, averaging__start_epoch=10, data__val_fraction=0.1)
    found = scaled(short, INFO, timing)
    assert found.seconds_per_epoch == pytest.approx(9_000 * 0.01 + 1_000 * 0.002)
    averaged = scaled(replace_epochs(short, 20), INFO, timing)
    assert averaged.seconds_per_epoch == pytest.approx(9_000 * 0.01 + 3 * 1_000 * 0.002)
    assert averaged.disk_bytes > found.disk_bytes


def replace_epochs(made: RunConfig, epochs: int) -> RunConfig:
    return made.model_copy(update={"train": made.train.model_copy(update={"epochs": epochs})})


def test_a_data_set_for_tests_only_is_refused():
    only_tests = replace(INFO, train_images=0)
    with pytest.raises(Exception, match="no training images"):
        estimate.estimate_seconds(config(), only_tests, CPU)


@pytest.mark.parametrize(
    ("method", "teacher", "built"),
    [
        ("trades", "", ["small-cnn"]),
        ("ard", "", ["small-cnn"] * 2),
        ("ard", "resnet18", ["small-cnn", "resnet18"]),
    ],
)
def test_steps_are_timed_with_the_teachers_network(monkeypatch, method, teacher, built):
    Machine(0.0, 0.001).put_in_place(monkeypatch)
    real, found = estimate.build_model, []
    monkeypatch.setattr(
        estimate, "build_model", lambda name, spec, seed: found.append(name) or real(name, spec, seed)
    )
    time_steps(config(method), INFO, CPU, teacher=teacher)
    assert found == built
