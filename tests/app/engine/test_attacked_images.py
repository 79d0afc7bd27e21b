"""What is shown of each image, on small tables whose answers are plain to see."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from app import pictures
from app.engine.attacked_images import batches_to_repeat, columns_to_show, first_to_show, pictures_of
from cfa.runs.columns import Columns
from cfa.runs.older_columns import older_columns

AA = "autoattack"


@dataclass
class Index:
    """A table with some images, as the engine's index."""

    outcomes: dict
    plan: dict = field(default_factory=dict)
    batches: dict = field(default_factory=dict)
    kept: dict = field(default_factory=dict)
    again: dict = field(default_factory=dict)

    @property
    def columns(self) -> Columns:
        return older_columns(list(self.outcomes), (), self.plan, ())

    def stored(self, attack, image):
        return self.kept.get((attack, image))

    def remade(self, column, image):
        return self.again.get((column, image))


@dataclass
class Again:
    image: np.ndarray
    predicted: int
    differs: bool


def column(*values):
    return np.array(values, np.int16)


def test_what_was_wrong_from_the_start_was_broken_by_nothing_without_a_record_as_well():
    table = {
        "image": column(10, 11),
        "label": column(0, 0),
        "clean": column(0, 2),
        "pgd-20@0.01": column(1, 2),
    }
    index = Index(table)
    broken, wrong = pictures_of(index, chosen(index, "pgd-20@0.01"), np.arange(2))
    assert (broken.state, broken.attack) == ("missing", "pgd-20")
    assert (wrong.state, wrong.attack) == ("wrong", "")


def whole():
    """Four images of class 0: held by all, broken by PGD, by Square alone, and wrong without an attack."""
    table = {
        "image": column(10, 11, 12, 13),
        "label": column(0, 0, 0, 0),
        "clean": column(0, 0, 0, 2),
        "pgd-20": column(0, 1, 0, 2),
        AA: column(0, 1, 2, 2),
        f"{AA}/by": np.array(["", "apgd-ce", "square", ""], object),
        f"{AA}/apgd-ce": column(0, 1, 0, -1),
        f"{AA}/square": column(0, -1, 2, -1),
        "fab-min": column(0, 1, 0, 2),
        "fab-min/norm": np.array([np.inf, 0.01, 0.5, 0.0], np.float32),
    }
    batches = {
        "pgd-20": column(0, 0, 1, -1),
        f"{AA}/apgd-ce": column(0, 0, 1, -1),
        f"{AA}/square": column(0, -1, 0, -1),
        "fab-min": column(0, 0, 0, -1),
    }
    return Index(table, batches=batches)


def chosen(index, name):
    return next(found for found in columns_to_show(index.columns) if found.name == name)


def test_columns_are_predictions_the_worst_case_first():
    found = columns_to_show(whole().columns)
    names = ["clean", "worst case", "pgd-20", AA, f"{AA}/apgd-ce", f"{AA}/square", "fab-min"]
    assert [each.name for each in found] == names
    assert tuple(part.name for part in found[1].parts) == (
        "pgd-20",
        AA,
        "fab-min",
    )  # members are in their composite
    assert [each.name for each in found if each.is_member] == [f"{AA}/apgd-ce", f"{AA}/square"]
    assert [each.attack for each in found[3:6]] == [AA, f"{AA}/apgd-ce", f"{AA}/square"]
    assert first_to_show(found).name == "worst case"


def test_the_worst_case_is_of_one_budget():
    values = column(0)
    names = ("pgd-20@2/255", "fgsm@2/255", "pgd-20@4/255", "fgsm@4/255", "noise")
    table = {"image": values, "label": values, "clean": values} | dict.fromkeys(names, values)
    found = columns_to_show(Index(table).columns)
    worst = {each.name: tuple(part.name for part in each.parts) for each in found if each.worst}
    assert worst == {
        "worst case@2/255": ("pgd-20@2/255", "fgsm@2/255"),
        "worst case@4/255": ("pgd-20@4/255", "fgsm@4/255"),
    }
    assert found[1].threat[1] == pytest.approx(2 / 255)
    assert first_to_show(found).name == "worst case@4/255"


@pytest.mark.parametrize(
    ("name", "states", "attacks"),
    [
        ("clean", ["clean"] * 4, ["", "", "", ""]),
        ("pgd-20", ["missing", "missing", "missing", "wrong"], ["pgd-20", "pgd-20", "pgd-20", ""]),
        (AA, ["held", "missing", "missing", "wrong"], ["", f"{AA}/apgd-ce", f"{AA}/square", ""]),
        (f"{AA}/square", ["held", "held", "missing", "wrong"], ["", "", f"{AA}/square", ""]),
        ("worst case", ["held", "missing", "missing", "wrong"], ["", "pgd-20", f"{AA}/square", ""]),
        ("fab-min", ["held", "missing", "held", "wrong"], ["", "fab-min", "", ""]),
    ],
)
def test_each_image_says_what_became_of_it(name, states, attacks):
    index = whole()
    found = pictures_of(index, chosen(index, name), np.arange(4))
    assert [picture.state for picture in found] == states
    assert [picture.attack for picture in found] == attacks
    assert [picture.image for picture in found] == [10, 11, 12, 13]
    assert all(picture.can_be_made for picture in found if picture.state == "missing")


def test_kept_images_come_first_then_those_made_again():
    index = whole()
    first, second = np.full((1, 2, 2), 0.1), np.full((1, 2, 2), 0.2)
    index.kept["pgd-20", 11] = first
    index.again["pgd-20", 11] = Again(second, 1, False)
    index.again["pgd-20", 12] = Again(second, 3, True)
    found = pictures_of(index, chosen(index, "pgd-20"), np.arange(4))
    assert [picture.state for picture in found] == ["missing", "stored", "remade", "wrong"]
    assert found[1].adversarial is first
    assert (found[2].now, found[2].differs) == (3, True)


def test_without_batches_nothing_can_be_made_again():
    index = whole()
    index.batches.clear()
    found = pictures_of(index, chosen(index, "pgd-20"), np.arange(4))
    assert [picture.state for picture in found] == ["missing", "missing", "missing", "wrong"]
    assert not any(picture.can_be_made for picture in found)


def test_in_a_sweep_an_image_belongs_to_the_budget_that_broke_it():
    table = {"image": column(5, 6), "label": column(0, 0), "clean": column(0, 0)}
    table |= {"pgd-20@2/255": column(1, 0), "pgd-20@4/255": column(1, 2)}
    batches = {"pgd-20@2/255": column(0, 0), "pgd-20@4/255": column(-1, 0)}
    index = Index(table, {"eps_sweep": [2 / 255, 4 / 255]}, batches)
    found = pictures_of(index, chosen(index, "pgd-20@4/255"), np.arange(2))
    assert [picture.source for picture in found] == ["pgd-20@2/255", "pgd-20@4/255"]


def test_batches_to_repeat_are_counted_once():
    index = whole()
    found = pictures_of(index, chosen(index, "pgd-20"), np.arange(3))
    assert batches_to_repeat(index, found) == 2
    found = pictures_of(index, chosen(index, AA), np.arange(3))
    assert batches_to_repeat(index, found[1:]) == 2  # one of apgd-ce, one of square


def test_a_perturbation_is_drawn_around_grey():
    change = np.array([[[0.0, 8 / 255], [-8 / 255, 4 / 255]]])
    factor = pictures.magnification(change)
    assert factor == pytest.approx(0.5 * 255 / 8, rel=0.05)
    drawn = pictures.perturbation(change, factor)
    assert drawn[0, 0, 0] == 0.5
    assert drawn[0, 0, 1] > 0.98
    assert drawn[0, 1, 0] < 0.02
    assert pictures.magnification(np.zeros((2, 1, 2, 2))) == 1.0


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_keeps_every_pixel(channels):
    import io

    from PIL import Image

    image = np.random.default_rng(0).uniform(size=(channels, 8, 8)).astype(np.float32)
    shown = np.asarray(Image.open(io.BytesIO(pictures.png(image))))
    factor = shown.shape[0] // 8
    assert factor > 1
    small = shown[::factor, ::factor] if channels == 3 else shown[::factor, ::factor, None]
    assert np.abs(small / 255 - image.transpose(1, 2, 0)).max() <= 0.5 / 255 + 1e-6
    assert (np.repeat(np.repeat(shown[::factor, ::factor], factor, 0), factor, 1) == shown).all()


def test_names_cannot_write_html():
    drawn = pictures.probability_bars([("original", [("<b>bold</b>", 0.5)])])
    assert "<b>" not in drawn
    assert "50.0" in drawn
