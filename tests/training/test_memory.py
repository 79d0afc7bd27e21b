"""Out of memory: the sentence names a batch that fits, validation goes on with less, parts add up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cfa.config import RunConfig
from cfa.data import Images
from cfa.methods import Knobs, parts_of
from cfa.models import ModelSpec
from cfa.models.small_cnn import SmallCNN
from cfa.progress import Observer
from cfa.training import fit
from cfa.training.memory import OutOfMemory, fits, is_out_of_memory, largest_batch
from cfa.training.step import Step
from cfa.training.validation import count_correct
from cfa.trust import allowing
from tests.support.networks import images_and_labels
from tests.support.tiny import CPU, tiny_config, tiny_dataset, tiny_run

ROOM = {"train": 10**9, "eval": 10**9}  # images that the pretended device takes, by the model's mode


class Large(SmallCNN):
    """A network on a device that has room for so many images."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > ROOM["train" if self.training else "eval"]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(x)


def large(spec: ModelSpec) -> nn.Module:
    return Large(spec.channels, spec.num_classes, spec.image_size)


@pytest.fixture(autouse=True)
def _room() -> Iterator[None]:
    with allowing(["tests.training.test_memory:large"]):
        yield
    ROOM.update(train=10**9, eval=10**9)


def config_of(method: str = "pgd-at-cfa", **changes: object) -> RunConfig:
    return tiny_config(method, **changes).model_copy(update={"model": "tests.training.test_memory:large"})


@pytest.mark.parametrize("too_large", [2, 3, 16, 100, 128, 1000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.77, 0.999])
def test_the_batch_that_is_found_fits_and_a_larger_one_hardly_does(too_large: int, share: float) -> None:
    room, asked = int(share * too_large), []

    def batch_fits(images: int) -> bool:
        asked.append(images)
        return images <= room

    found = largest_batch(batch_fits, too_large)
    assert found <= room
    assert room - found <= max(1, too_large / 16)
    assert found > 0 or room == 0
    assert all(0 < images < too_large for images in asked)
    assert len(asked) <= 15


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("a number"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    def attempt() -> None:
        raise error

    assert is_out_of_memory(error) == expected
    if expected:
        assert not fits(attempt)
    else:
        with pytest.raises(type(error)):
            fits(attempt)


def test_training_says_which_batch_fits_and_leaves_what_was_saved(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, config_of(train__batch_size=32))
    ROOM["train"] = 20
    with pytest.raises(OutOfMemory, match=r"largest batch that fits is about (18|19|20)\b"):
        fit(run, tiny_dataset(), CPU, Observer())
    assert run.status.state == "failed"
    assert "train.batch_parts=2" in run.status.message
    fitting = tiny_run(tmp_path, config_of(train__batch_size=18))
    fit(fitting, tiny_dataset(), CPU, Observer())
    parts = tiny_run(tmp_path, config_of(train__batch_size=32, train__batch_parts=2))
    fit(parts, tiny_dataset(), CPU, Observer())
    assert fitting.status.state == parts.status.state == "finished"
    assert "batches in 2 parts" in parts.config.marks()[0]
    assert fitting.config.marks() == ()


def test_not_even_one_image(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, config_of())
    ROOM["train"] = 0
    with pytest.raises(OutOfMemory, match="not even one image fits"):
        fit(run, tiny_dataset(), CPU, Observer())


def test_validation_halves_its_batches_where_they_do_not_fit() -> None:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (90, 1, 8, 8), generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.randint(4, (90,), generator=generator))
    torch.manual_seed(0)
    model, config = Large(1, 4, 8).eval(), tiny_config()
    whole = count_correct(model, images, config, 4, "pgd-10")
    ROOM["eval"] = 25
    halved = count_correct(model, images, config, 4, "pgd-10")
    assert (halved.clean, halved.total) == (whole.clean, whole.total)
    assert sum(halved.robust) == pytest.approx(sum(whole.robust), abs=4)  # other noise
    ROOM["eval"] = 0
    with pytest.raises(OutOfMemory, match="not even one image"):
        count_correct(model, images, config, 4, "pgd-10")


@pytest.mark.parametrize("parts", [1, 2, 3, 16])
@pytest.mark.parametrize("method", ["pgd-at", "fat"])
def test_without_batch_norm_parts_add_up_to_the_step_of_the_whole_batch(method: str, parts: int) -> None:
    """The attack starts from the images: its noise would be another in parts.

    (TRADES cannot start there: its attack's gradient is nothing but rounding at the image.)
    """
    weights = []
    for count in (1, parts):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 4)).double().train()
        config = tiny_config(method, train__batch_parts=count, attack__start="none")
        x, y = images_and_labels(16)
        knobs = Knobs(eps=torch.tensor([0.02, 0.07, 0.1, 0.2], dtype=torch.float64))
        step = Step.of(parts_of(config), model, torch.ones(4))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        noise = torch.Generator().manual_seed(0)
        result = step(optimizer, x.double(), y, torch.arange(16), knobs, noise)
        weights.append([*model.parameters(), result.loss, result.correct])
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other)
