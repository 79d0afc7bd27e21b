"""What a sweep says first, of curves made by hand."""

import pandas as pd
import pytest

from app.sections.sweep_answer import answer

EPS = (0.0, 4 / 255, 8 / 255)


def curves(**worst):
    rows = [
        (name, eps, value + 0.2, value, "cat", value - 0.05, value + 0.05)
        for name, values in worst.items()
        for eps, value in zip(EPS, values, strict=True)
    ]
    columns = ["series", "eps", "mean", "worst", "worst_class", "worst_low", "worst_high"]
    areas = [(name, kind, area) for name in worst for kind, area in (("cat", 0.4), ("dog", 0.6))]
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(areas, columns=["series", "class_name", "area"])


@pytest.mark.parametrize(
    ("worst", "headline"),
    [
        ((0.6, 0.5, 0.3), "Its worst class, cat, is more often wrong than right from 8/255 on."),
        ((0.4, 0.3, 0.2), "Its worst class, cat, is more often wrong than right even without an attack."),
        ((0.9, 0.8, 0.7), "No class is more often wrong than right up to 8/255."),
    ],
)
def test_it_says_where_the_worst_class_breaks(worst, headline):
    found = answer(*curves(a=worst), "linf", (8 / 255,))
    assert found.headline == headline
    (line,) = found.of_each
    assert f"at 8/255 {100 * (worst[-1] + 0.2):.1f}\u00a0% in the mean" in line
    assert "area under the curve 50.0\u00a0% in the mean, 40.0\u00a0% for cat" in line
    assert not found.note


@pytest.mark.parametrize(
    ("trained", "headline"),
    [
        ((4 / 255,), "At 4/255 the worst class keeps 60.0\u00a0% with b, 50.0\u00a0% with a."),
        ((5 / 255,), "At 4/255 the worst class keeps 60.0\u00a0% with b, 50.0\u00a0% with a."),
        (
            (12 / 255,),
            "At 8/255 the worst class keeps 59.0\u00a0% with b, 30.0\u00a0% with a.",
        ),  # not measured
    ],
)
def test_of_two_it_says_how_they_differ_and_where_intervals_part(trained, headline):
    found = answer(*curves(a=(0.6, 0.5, 0.3), b=(0.61, 0.6, 0.59)), "linf", trained)
    assert found.headline == headline
    assert "lie apart at 8/255. These are single networks, not methods" in found.note
    alike = answer(*curves(a=(0.6, 0.5, 0.3), b=(0.6, 0.5, 0.31)), "linf", trained)
    assert "overlap at every eps" in alike.note
