"""What a job would refuse when it starts, said before there is one: from settings and sizes alone."""

from collections.abc import Sequence

from cfa.config import RunConfig
from cfa.data import DatasetInfo
from cfa.data.splits import long_tailed_counts
from cfa.methods import METHODS

SMALLEST_GATE_CLASS = 20  # with fewer validation images a class's accuracy moves in steps of over 5 %


def refusals(config: RunConfig, info: DatasetInfo) -> dict[str, str]:
    """Say what stands in the way of a training, by the name of the setting that can be changed.

    Args:
        config: What would be trained.
        info: Size and shape of its data set; where images of a class are not known, classes count as equal.

    Returns:
        A sentence without its full stop for each; ``dataset`` and ``method`` stand for these two.
    """
    if info.train_images == 0:
        return {"dataset": f"data set {info.name!r} has no training images; weights can be evaluated on it"}
    found = {}
    ratio = info.imbalance_ratio if config.data.imbalance_ratio == 1 else config.data.imbalance_ratio
    whole = _whole_part(info)
    counts = whole if ratio == 1 else long_tailed_counts(whole, ratio)
    if (empty := _first(counts, 0)) is not None:
        found["data.imbalance_ratio"] = (
            f"data.imbalance_ratio={ratio:g} leaves class {empty} no image; lower it"
        )
        return found
    held_out = [max(1, round(config.data.val_fraction * count)) for count in counts]
    left = [count - held for count, held in zip(counts, held_out, strict=True)]
    if (empty := _first(left, 0)) is not None:
        found["data.val_fraction"] = (
            f"class {empty} has {counts[empty]} training images and validation would take {held_out[empty]}, "
            "which leaves none to train on; lower data.val_fraction or add images"
        )
        return found
    if config.train.batch_size > sum(left):
        found["train.batch_size"] = (
            f"train.batch_size={config.train.batch_size} exceeds the {sum(left)} training images; "
            "lower it or use a larger data set"
        )
    if reason := _gate_cannot_be_judged(config, min(held_out)):
        found["averaging.gate"] = reason
    return found


def _whole_part(info: DatasetInfo) -> tuple[int, ...]:
    """Return the images of each class before a long tail is made; where they are not known, equally many."""
    if info.train_counts:
        return info.train_counts
    share = sum(long_tailed_counts((10**6,) * info.classes, info.imbalance_ratio)) / 10**6
    return (round(info.train_images / share),) * info.classes


def _first(counts: Sequence[int], most: int) -> int | None:
    return next((index for index, count in enumerate(counts) if count <= most), None)


def _gate_cannot_be_judged(config: RunConfig, smallest: int) -> str:
    needs_fawa = config.method in METHODS and METHODS[config.method].reported_with == "fawa"
    if config.averaging.gate != "worst" or smallest >= SMALLEST_GATE_CLASS or not needs_fawa:
        return ""
    return too_few_for_the_worst(smallest)


def too_few_for_the_worst(smallest: int) -> str:
    """Say why the worst class of so few validation images is no gate."""
    return (
        f"averaging.gate=worst needs {SMALLEST_GATE_CLASS} validation images a class and the smallest "
        f"has {smallest}; raise data.val_fraction or choose the gate worst-10-percent, tail or mean"
    )


def unfit_to_teach(teacher: str, takes: tuple[int, int, int], images: tuple[int, int, int]) -> str:
    """Say why a network cannot teach on some images; empty where it can.

    Args:
        teacher: Its name.
        takes: The channels and the side of the images that it takes, and how many classes it knows.
        images: The same of the data set.
    """
    if takes[2] != images[2]:
        return (
            f"teacher {teacher!r} knows {takes[2]} classes and the data set has {images[2]}; take a network "
            "that was trained on these classes"
        )
    if takes[:2] != images[:2]:
        return (
            f"teacher {teacher!r} takes {_images(*takes[:2])} and the data set has {_images(*images[:2])}; "
            "take a network that was trained on images of this size"
        )
    return ""


def _images(channels: int, side: int) -> str:
    return f"images of {side} x {side} pixels in {channels} channel{'s' if channels > 1 else ''}"
