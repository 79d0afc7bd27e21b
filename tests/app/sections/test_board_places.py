"""What the leaderboard says of an order: no more than seeds tell."""

import pandas as pd
import pytest

from app.sections.board_places import answer, with_places

NAN = float("nan")


def board(*rows):
    frame = pd.DataFrame(rows, columns=["short", "worst", "worst_spread", "runs"])
    return with_places(frame.assign(alike="Ours: small-cnn"), "worst")


@pytest.mark.parametrize(
    ("rows", "headline", "sentence"),
    [
        (
            [("A", 0.31, 0.03, 3), ("B", 0.30, 0.03, 3)],
            "No order is certain among these 2 results.",
            "A has the highest worst class, 31.0\u00a0% (± 3.0 points over 3 seeds), but",
        ),
        (
            [("A", 0.40, 0.001, 3), ("B", 0.30, 0.001, 3), ("C", 0.5, NAN, 1)],
            "A has the highest worst class of the 2 with several seeds, 40.0\u00a0% "
            "(± 0.1 points over 3 seeds).",
            "1 row of a single seed, or without a known spread, has no rank; the highest is C, 50.0\u00a0%.",
        ),
        (
            [("A", 0.40, 0.001, 3), ("B", 0.30, 0.001, 3), ("C", 0.2, 0.001, 3)],
            "A has the highest worst class, 40.0\u00a0% (± 0.1 points over 3 seeds).",
            "It is certain to be above the other 2.",
        ),
        (
            [("A", 0.40, 0.02, 3), ("B", 0.39, 0.02, 3), ("C", 0.01, 0.001, 3)],
            "A has the highest worst class, 40.0\u00a0% (± 2.0 points over 3 seeds).",
            "2 of 3 may be first (A, B); 1 is certain to be below another.",
        ),
        (
            [("A", 0.4, NAN, 1), ("B", 0.3, NAN, 1)],
            "A has the highest worst class, 40.0\u00a0% (a single seed): an order of 2 values, not a rank.",
            "all are of a single seed, so that no rank is stated",
        ),
        (
            [("A", 0.4, 0.01, 3)],
            "A has the highest worst class, 40.0\u00a0% (± 1.0 points over 3 seeds): the only result of its "
            "kind.",
            "Nothing comparable stands beside it.",
        ),
    ],
)
def test_the_answer_says_what_is_certain(rows, headline, sentence):
    found = answer(board(*rows), "worst")
    assert found.headline == headline
    assert sentence in found.sentences


def test_a_rank_is_a_range_among_what_is_comparable():
    rows = [("A", 0.4, 0.02, 3), ("B", 0.39, 0.02, 3), ("C", 0.01, 0.001, 3), ("D", 0.9, NAN, 1)]
    found = board(*rows).set_index("short")["rank"]
    assert found.to_dict() == {"D": "–", "A": "1–2 of 3", "B": "1–2 of 3", "C": "3 of 3"}
