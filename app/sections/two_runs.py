"""Two runs on the same images: which of them holds where, and the images on which they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import streamlit as st

from app import charts, elements, fields, pictures, table_columns, texts, wording
from app.engine import attacked_images, budgets, errors, evaluated, image_outcomes, snapshots

MOST_SHOWN = 48
EVERY = "all classes"


@dataclass(frozen=True)
class Side:
    """A run's evaluation and the column of it that is looked at."""

    found: image_outcomes.ImageOutcomes
    column: attacked_images.ShownColumn

    @property
    def name(self) -> str:
        """Name the run."""
        return self.found.run.name


@dataclass(frozen=True)
class Pair:
    """Two runs on the images that both were evaluated on."""

    left: Side
    right: Side

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the common images in either table."""
        first, second = (side.found.index.outcomes["image"] for side in (self.left, self.right))
        _, mine, theirs = np.intersect1d(first, second, assume_unique=True, return_indices=True)
        return mine, theirs

    @property
    def labels(self) -> np.ndarray:
        """Return the true classes of the common images."""
        found: np.ndarray = self.left.found.index.outcomes["label"][self.rows[0]]
        return found

    def predicted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what either run takes the common images for."""
        mine, theirs = self.rows
        left, right = self.left, self.right
        return left.found.predicted(left.column)[mine], right.found.predicted(right.column)[theirs]

    def groups(self) -> dict[str, np.ndarray]:
        """Say of which common images both, one or none of the runs is right; boolean."""
        left, right = (predicted == self.labels for predicted in self.predicted())
        return {
            f"only {self.left.name}": left & ~right,
            f"only {self.right.name}": right & ~left,
            "neither": ~left & ~right,
            "both": left & right,
        }

    @property
    def is_sound(self) -> bool:
        """Tell whether they share images, and mean the same classes by them."""
        mine, theirs = self.rows
        labels = self.right.found.index.outcomes["label"][theirs]
        return len(mine) > 0 and bool((self.labels == labels).all())


def beside_another(found: image_outcomes.ImageOutcomes, column: attacked_images.ShownColumn) -> None:
    """Offer another run to be looked at beside, on the same images."""
    st.subheader("Beside another run, on the same images")
    others = [run for run in evaluated.evaluated_runs() if run.id != found.run.id]
    run_id = fields.selectbox(
        "Other run",
        elements.run_names(others),
        name="beside",
        clearable=True,
        key="classes_beside",
        placeholder="choose a run",
    )
    other = snapshots.find_run(run_id) if run_id else None
    if other is None:
        return
    sides = the_like(other, found, column)
    if not sides:
        st.caption("That run has no evaluation of the same images under the same attack and budget.")
        return
    pair = Pair(Side(found, column), choose_weights(other, found.evaluation.weights, sides))
    if not pair.is_sound:
        st.caption("The two evaluations share no image, or do not mean the same classes by them.")
        return
    show_pair(pair)


def choose_weights(other: snapshots.Run, wanted: str, sides: Mapping[str, Side]) -> Side:
    """Offer the weights of another run that were measured alike, at first those of the same kind."""
    own = evaluated.own_weights(other)
    first = next(kind for kind in (wanted, own, *sides) if kind in sides)
    if len(sides) == 1:
        return sides[first]
    titles = {
        kind: f"{charts.WEIGHTS_TITLES.get(kind, kind)}{' (reported)' if kind == own else ''}"
        for kind in sides
    }
    chosen = fields.segmented_control(
        "Weights of the other run",
        titles,
        name="beside_weights",
        default=first,
        subject=f"{other.id} {wanted}",
        key="classes_beside_weights",
    )
    return sides[chosen]


def the_like(
    other: snapshots.Run, found: image_outcomes.ImageOutcomes, column: attacked_images.ShownColumn
) -> dict[str, Side]:
    """Find, for each kind of weights, the newest evaluation with this attack and budget on this data set."""
    old = evaluated.of_old_weights(other)
    sides: dict[str, Side] = {}
    wanted = found.evaluation
    alike = [
        one
        for one in evaluated.evaluations(other)
        if one.id not in old
        and one.dataset_to_load == wanted.dataset_to_load
        and one.test_fingerprint in ("", wanted.test_fingerprint or one.test_fingerprint)
        and budgets.is_sweep(one) == budgets.is_sweep(wanted)
    ]
    alike.sort(key=lambda one: one.images == wanted.images, reverse=True)
    for one in alike:
        if one.weights in sides:
            continue
        outcomes = image_outcomes.outcomes(other, one)
        for shown in outcomes.columns:
            if shown.name == column.name and (shown.threat == column.threat or column.name == "clean"):
                sides[one.weights] = Side(outcomes, shown)
    order = list(charts.WEIGHTS_TITLES)
    return dict(sorted(sides.items(), key=lambda item: order.index(item[0]) if item[0] in order else 99))


def show_pair(pair: Pair) -> None:
    """Count, class by class, who is right, and show the images of one of the four groups."""
    groups, names = pair.groups(), pair.left.found.class_names
    measured = pair.left.found.title(pair.left.column)
    left, right = (
        charts.WEIGHTS_TITLES.get(kind, kind)
        for kind in (side.found.evaluation.weights for side in (pair.left, pair.right))
    )
    whose = f"{left} weights of both. " if left == right else ""
    st.caption(texts.plain(f"{whose}{len(pair.labels):,} images that both were evaluated on, {measured}."))
    if left != right:
        st.warning(
            texts.plain(
                f"Different weights: {left} of {pair.left.name}, {right} of {pair.right.name}. What differs "
                "may come from the averaging of weights, and not from the methods."
            ),
            icon=":material/balance:",
        )
    counts = {name: np.bincount(pair.labels[chosen], minlength=len(names)) for name, chosen in groups.items()}
    st.dataframe(
        pd.DataFrame({"class": names, **counts}),
        hide_index=True,
        key="classes_pair",
        column_config={
            "class": st.column_config.TextColumn("Class", pinned=True),
            **{name: table_columns.count_column(f"Right: {name}") for name in counts},
        },
    )
    first, second = st.columns([3, 2])
    titles = {name: f"{name} ({int(chosen.sum()):,})" for name, chosen in groups.items()}
    group = first.pills(
        "Right",
        list(groups),
        default=next(iter(groups)),
        format_func=titles.__getitem__,
        key="classes_pair_group",
        required=True,
    )
    only = second.selectbox("Of class", [EVERY, *names], key="classes_pair_class")
    chosen = groups[group or next(iter(groups))]
    if only != EVERY:
        chosen = chosen & (pair.labels == names.index(only))
    show_images(pair, np.flatnonzero(chosen))


def show_images(pair: Pair, places: np.ndarray) -> None:
    """Show images as they are, and as the attack left them for either run."""
    if not len(places):
        st.caption("No image is among these.")
        return
    if image_outcomes.closed_parts(pair.left.found):
        st.caption("The images are opened above, once somebody who may start asks for it.")
        return
    shown = places[:MOST_SHOWN]
    of_each = [
        attacked_images.pictures_of(side.found.index, side.column, rows[shown])
        for side, rows in zip((pair.left, pair.right), pair.rows, strict=True)
    ]
    try:
        originals = image_outcomes.test_images(pair.left.found, [one.image for one in of_each[0]])
    except errors.CfaError as error:
        st.warning(f"The images cannot be shown: {elements.sentence(error)}")
        return
    names, said = pair.left.found.class_names, [predicted[shown] for predicted in pair.predicted()]
    tiles = []
    for place, (mine, theirs) in enumerate(zip(*of_each, strict=True)):
        versions = [(mine.adversarial, pair.left.name), (theirs.adversarial, pair.right.name)]
        panels = [(image, f"attacked, {name}") for image, name in versions if image is not None]
        taken = [names[predicted[place]] if predicted[place] >= 0 else "–" for predicted in said]
        title = f"Image {mine.image}, {names[pair.labels[shown[place]]]}"
        tiles.append(pictures.Tile(((originals[place], "original"), *panels), title, " | ".join(taken)))
    first = (
        f"the first {len(shown)} of {len(places):,}"
        if len(places) > len(shown)
        else wording.count(len(shown), "image")
    )
    st.caption(
        texts.plain(
            f"{first[:1].upper()}{first[1:]}: the original, then as it was attacked on {pair.left.name} "
            f"and on {pair.right.name} where that was kept. Below: its class, and what either takes it for."
        )
    )
    st.html(pictures.wall(tiles))
