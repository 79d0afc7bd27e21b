"""Colours that everyone can tell apart, on both themes."""

import itertools

import numpy as np
import pytest

from app import charts
from app.charts.palette import DOWN, FAMILY_COLOURS, QUIET, UP

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour):
    values = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    white = TO_XYZ @ np.ones(3)
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / white
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_class_colours_are_told_apart(vision):
    seen = [lab(VISION[vision] @ linear(colour)) for colour in charts.CLASS_COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 20


@pytest.mark.parametrize("vision", VISION)
def test_families_of_methods_are_told_apart_by_hue_and_their_members_by_lightness(vision):
    def seen(colours):
        return [lab(VISION[vision] @ linear(colour)) for colour in colours]

    hues = seen(shades[0] for shades in FAMILY_COLOURS)
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(hues, 2)) >= 20
    for shades in FAMILY_COLOURS:
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen(shades), 2)) >= 4
    assert np.linalg.norm(np.subtract(*seen((UP, DOWN)))) >= 50


def test_a_family_has_one_hue_and_its_plain_method_is_outlined_and_dashed():
    families = {"pgd-at": (0, True), "trades": (1, True), "trades-cfa": (1, False), "wat": (1, False)}
    styles = charts.series_styles([(name, name) for name in families], families.__getitem__)
    assert styles["trades"].colour == styles["trades-cfa"].colour == FAMILY_COLOURS[1][0]
    assert styles["wat"].colour == FAMILY_COLOURS[1][1]
    assert styles["pgd-at"].colour == FAMILY_COLOURS[0][0]
    assert (styles["trades"].dash, styles["trades-cfa"].dash) == ("dash", "solid")
    assert styles["trades"].symbol("square") == "square-open"
    assert styles["trades"].bar["color"] != styles["trades-cfa"].bar["color"]


def test_of_many_series_all_are_grey_but_the_chosen_ones():
    families = {f"m{k}": (k % 3, k < 3) for k in range(12)}
    styles = charts.series_styles(
        [(name, name) for name in families], families.__getitem__, loud={"m1", "m7", "m10"}
    )
    quiet = {name for name, style in styles.items() if style.quiet}
    assert quiet == set(families) - {"m1", "m7", "m10"}
    assert {styles[name].colour for name in quiet} == {QUIET}
    assert {styles[name].colour for name in ("m7", "m10")} == set(
        FAMILY_COLOURS[1][:2]
    )  # both are of family 1
    assert all(styles[name].width < styles["m1"].width for name in quiet)


@pytest.mark.parametrize("background", ["#ffffff", "#0e1117"])
def test_colours_stand_out_from_both_themes(background):
    families = [colour for shades in FAMILY_COLOURS for colour in shades]
    drawn = (*charts.CLASS_COLOURS, *charts.POINT_COLOURS, *families, QUIET, UP, DOWN)
    luminance = [float(TO_XYZ[1] @ linear(colour)) for colour in (*drawn, background)]
    *colours, behind = luminance
    contrasts = [(max(c, behind) + 0.05) / (min(c, behind) + 0.05) for c in colours]
    assert min(contrasts) >= 2.99
