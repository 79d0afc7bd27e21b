"""HAT: its loss by hand (example 13), and its helper: trained first, killed and gone on with, counted."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cfa.config import RunConfig
from cfa.data import dataset_info
from cfa.methods import Attacked, configure, helper_epochs, parts_of, passes_an_epoch
from cfa.methods.catalogue.hat import HatSettings, hat
from cfa.progress import Observer, Progress, Stopped
from cfa.runs.folder import RunFolder
from cfa.runs.origins import passes_an_image
from cfa.runs.rows import Epoch
from cfa.tables.comparability import protocol_of
from cfa.training import fit
from cfa.training.estimate import Timing, scaled, time_steps
from cfa.training.helpers import config_of_helper
from tests.methods.test_formulas import ADVERSARIAL, CLASSES, CLEAN
from tests.support.tiny import (
    CPU,
    Stopper,
    assert_same_weights,
    timeless,
    tiny_config,
    tiny_dataset,
    tiny_run,
    trained,
)
from tests.support.worked import batch_of

DATA = tiny_dataset(spread=2)
FURTHER = torch.tensor([[0.1, 0.9, 0.3], [0, 0.5, 1.5]], dtype=torch.float64)


def loss_of(settings: HatSettings, helper: Tensor) -> Tensor:
    """Return the loss where the model's logits are its input, but further out those of the example."""
    batch = batch_of(CLEAN.tolist(), CLASSES.tolist(), helper)
    far = CLEAN + settings.distance * (ADVERSARIAL - CLEAN)
    seen: list[Tensor] = []

    def model(x: Tensor) -> Tensor:
        seen.append(x)
        return FURTHER if len(seen) == 3 else x

    loss = hat(settings, model, batch, Attacked(x_adv=ADVERSARIAL))
    torch.testing.assert_close(seen, [CLEAN, ADVERSARIAL, far])
    return loss.per_sample.mean()


@pytest.mark.parametrize("distance", [2.0, 3.5])
def test_the_loss_of_given_logits(distance: float) -> None:
    """The helper calls the two images 1 and 2; what lies further out has the logits of the example."""
    helper = torch.tensor([[0, 5, 1], [0, 1, 5]], dtype=torch.float64)
    assert float(loss_of(HatSettings(distance=distance), helper)) == pytest.approx(1.565615, abs=1e-5)


def test_with_no_weight_on_them_the_further_examples_change_nothing() -> None:
    """CE and 2.5 KL are left: .425058 + 2.5 times .340564."""
    helper = torch.zeros(2, 3, dtype=torch.float64)
    assert float(loss_of(HatSettings(gamma=0), helper)) == pytest.approx(1.276468, abs=1e-5)


# The helper ------------------------------------------------------------------------------------------------


def config_of(**changes: object) -> RunConfig:
    return tiny_config("hat", **{"train__epochs": 2, "method__helper_epochs": 2, **changes})


def test_it_is_trained_before_epoch_1_and_tells_how_far_it_is(tmp_path: Path) -> None:
    run, observer = tiny_run(tmp_path, config_of()), Stopper()
    fit(run, DATA, CPU, observer)
    assert observer.lines[1] == "training a helper first: 2 epochs, from epoch 1"
    phases = list(dict.fromkeys(report.phase for report in observer.reports))
    assert phases[:3] == [
        "training its helper, epoch 1 of 2",
        "training its helper, epoch 2 of 2",
        "training",
    ]
    assert {report.done for report in observer.reports if "helper" in report.phase} == {0}
    assert run.manifest is not None
    saved = torch.load(run.helper_file, weights_only=True)
    assert saved["epoch"] == run.manifest.helper_epochs == 2


def test_it_learns_clean_images(tmp_path: Path) -> None:
    """Without an attack nearly all training images are right after six epochs."""
    run = tiny_run(tmp_path, tiny_config("hat", train__epochs=1, method__helper_epochs=6))
    easy = tiny_dataset(spread=0.5)
    fit(run, easy, CPU, Observer())
    answers = Labels(run, easy).right_of_training_images()
    assert answers > 0.95


class Labels:
    """What a run's saved helper says of the training images."""

    def __init__(self, run: RunFolder, dataset: object) -> None:
        self.run, self.dataset = run, dataset

    def right_of_training_images(self) -> float:
        from cfa.models import ModelSpec, build_model

        spec = ModelSpec(**self.run.manifest.model)
        network = build_model("small-cnn", spec, 0).eval()
        network.load_state_dict(torch.load(self.run.helper_file, weights_only=True)["model"])
        with torch.no_grad():
            found = network(self.dataset.train_images.float() / 255).argmax(dim=1)
        return float((found == self.dataset.train_labels).double().mean())


@pytest.mark.parametrize("after", [2, 7, 12])  # in its first epoch, in its second one, and after it
def test_stopped_and_resumed_equals_never_stopped(tmp_path: Path, after: int) -> None:
    plain = trained(tmp_path / "plain", config_of(), DATA)
    run = tiny_run(tmp_path / "stopped", config_of())
    with pytest.raises(Stopped):
        fit(run, DATA, CPU, Stopper(after))
    assert run.status.state == "paused"
    fit(RunFolder(run.path), DATA, CPU, Observer())
    assert_same_weights(plain, run)
    assert timeless(plain.rows()) == timeless(run.rows())


class Killed(Exception):
    """Nobody saves anything before this."""


class Killer(Observer):
    """Ends the process in a batch, as a power cut does."""

    def __init__(self, after: int) -> None:
        self.left = after

    def progress(self, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.mark.parametrize("after", [3, 9, 14])
def test_killed_and_gone_on_with_equals_never_stopped(tmp_path: Path, after: int) -> None:
    plain = trained(tmp_path / "plain", config_of(), DATA)
    run = tiny_run(tmp_path / "killed", config_of())
    with pytest.raises(Killed):
        fit(run, DATA, CPU, Killer(after))
    fit(RunFolder(run.path), DATA, CPU, Observer())
    assert_same_weights(plain, run)
    assert timeless(plain.rows()) == timeless(run.rows())


def test_another_helper_makes_another_run(tmp_path: Path) -> None:
    """It labels what lies further out; from the first epoch on the loss is another one."""
    found = []
    for epochs in (1, 2):
        run = trained(tmp_path / str(epochs), config_of(method__helper_epochs=epochs), DATA)
        found.append([row.loss for row in run.rows() if isinstance(row, Epoch)])
    assert abs(found[0][0] - found[1][0]) > 1e-4


def test_its_seed_is_its_own_and_follows_the_runs() -> None:
    seeds = set()
    for seed in (0, 1):
        config = tiny_config("hat", seed=seed)
        helper = parts_of(config).helper
        assert helper is not None
        seeds |= {seed, config_of_helper(config, helper).seed}
    assert len(seeds) == 4


def test_it_takes_as_long_as_the_run_unless_it_is_said() -> None:
    def epochs(**changes: object) -> int:
        return helper_epochs(tiny_config("hat", train__epochs=8, **changes))

    assert (epochs(), epochs(method__helper_epochs=3), epochs(method__helper_epochs="1/4")) == (8, 3, 2)
    assert helper_epochs(tiny_config("trades")) == 0
    assert helper_epochs(tiny_config("trades").model_copy(update={"method": "lab:mine"})) == 0


def test_its_passes_are_counted_in_budget_and_time(tmp_path: Path) -> None:
    """10 epochs of 1 + 3 + 3 passes an image and an answer of the helper, 5 of the helper's own.

    Each of these takes an eighth of the time of an epoch.
    """
    config = configure(
        "hat",
        "fashion-mnist-mini",
        overrides={"train.epochs": 10, "attack.steps": 3, "method.helper_epochs": 5, "train.batch_size": 16},
    )
    manifest = replace(trained(tmp_path, config_of(), DATA).manifest, helper_epochs=5)
    budget = dict(protocol_of(config, manifest).conditions)["training budget"]
    assert budget == "10 epochs with 3 attack steps and 5 passes an image of its helper"
    assert passes_an_image(config, manifest, passes_an_epoch(config)) == 85
    info = dataset_info("fashion-mnist-mini", Path())
    timing = Timing(training=1.0, checked=0.0, weights_bytes=100)
    without = scaled(tiny_like(config), info, timing)
    found = scaled(config, info, timing)
    assert found.seconds == pytest.approx(without.seconds * (10 + 5 / 8) / 10)
    assert found.peak_disk_bytes == without.peak_disk_bytes + 200
    assert time_steps(config, info, CPU, patience=0.1).training > 0


def tiny_like(config: RunConfig) -> RunConfig:
    """Return the same run of TRADES."""
    return config.model_copy(update={"method": "trades", "method_settings": {"beta": 6.0}})


def test_pruning_a_run_deletes_its_helper_too(tmp_path: Path) -> None:
    run = trained(tmp_path, config_of(), DATA)
    size = run.state_file.stat().st_size + run.helper_file.stat().st_size
    assert run.prune() == size
    assert not run.helper_file.exists()
