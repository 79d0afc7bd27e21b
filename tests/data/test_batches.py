import numpy as np
import pytest
import torch
from torchvision.transforms import functional as transforms

from cfa.data import Augmentation, Images, apply_offsets, augment, batch_slices, draw_offsets, to_float


def images(count: int = 24, channels: int = 3, side: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, side, side), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("padding", [0, 1, 2, 4])
@pytest.mark.parametrize("mode", ["constant", "reflect"])
@pytest.mark.parametrize("flip", [True, False])
def test_augmentation_equals_torchvision_image_by_image(
    channels: int, padding: int, mode, flip: bool
) -> None:
    batch = images(channels=channels)
    augmentation = Augmentation(padding, mode, flip)
    offsets = draw_offsets(len(batch), augmentation, torch.Generator().manual_seed(1))
    expected = []
    for image, top, left, flipped in zip(
        batch, offsets.top.tolist(), offsets.left.tolist(), offsets.flipped.tolist(), strict=True
    ):
        # numpy pads integers in either mode.
        padded = torch.from_numpy(
            np.pad(image.numpy(), [(0, 0), (padding, padding), (padding, padding)], mode)
        )
        cropped = transforms.crop(padded, top, left, 9, 9)
        expected.append(transforms.hflip(cropped) if flipped else cropped)
    result = apply_offsets(batch, augmentation, offsets)
    assert result.dtype == torch.uint8
    assert torch.equal(result, torch.stack(expected))
    assert torch.equal(augment(batch, augmentation, torch.Generator().manual_seed(1)), result)


def test_offsets_are_uniform_and_flips_fair() -> None:
    draws = draw_offsets(30_000, Augmentation(1, "constant", True), torch.Generator().manual_seed(0))
    cells = torch.bincount(draws.top * 3 + draws.left, minlength=9)
    # Standard deviation of a cell: sqrt(30000 * 1/9 * 8/9) = 54; of the flips: 87.
    assert cells.sub(30_000 / 9).abs().max() < 4 * 54
    assert abs(int(draws.flipped.sum()) - 15_000) < 4 * 87


def test_augmentation_moves_its_own_generator_only_and_never_its_input() -> None:
    batch = images()
    before, state = batch.clone(), torch.get_rng_state()
    generator = torch.Generator().manual_seed(0)
    first, second = (augment(batch, Augmentation(2, "constant", True), generator) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(batch, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_augmentation_changes_nothing() -> None:
    batch = images()
    assert torch.equal(augment(batch, Augmentation(0, "constant", False), torch.Generator()), batch)


def test_to_float_maps_every_byte_to_its_fraction() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_float(values), torch.arange(256, dtype=torch.float32) / 255)
    assert to_float(values, torch.float64).dtype == torch.float64
    assert values.dtype == torch.uint8


def test_images_are_counted_cut_and_moved_together() -> None:
    data = Images(images(5), torch.tensor([2, 0, 2, 3, 0]))
    cut = data.subset(torch.tensor([3, 0]))
    assert len(cut) == 2
    assert cut.labels.tolist() == [3, 2]
    assert torch.equal(cut.images, data.images[[3, 0]])
    assert data.counts(5).tolist() == [2, 0, 2, 1, 0]
    moved = data.to("meta")
    assert moved.images.device.type == moved.labels.device.type == "meta"


@pytest.mark.parametrize(("count", "sizes"), [(10, [4, 4, 2]), (8, [4, 4]), (3, [3])])
def test_batches_cover_the_order_and_keep_the_rest(count: int, sizes: list[int]) -> None:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    batches = batch_slices(order, 4)
    assert [len(batch) for batch in batches] == sizes
    assert torch.equal(torch.cat(batches), order)


@pytest.mark.gpu
def test_augmentation_on_a_gpu_equals_the_cpu() -> None:
    batch, augmentation = images(), Augmentation(2, "reflect", True)
    generator = torch.Generator("cuda").manual_seed(0)
    offsets = draw_offsets(len(batch), augmentation, generator)
    on_cpu = type(offsets)(offsets.top.cpu(), offsets.left.cpu(), offsets.flipped.cpu())
    result = apply_offsets(batch.cuda(), augmentation, offsets)
    assert result.device.type == "cuda"
    assert torch.equal(result.cpu(), apply_offsets(batch, augmentation, on_cpu))
