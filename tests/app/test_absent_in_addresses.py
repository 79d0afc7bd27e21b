"""An address that names what is not here says so, on every page and for every field."""

import pytest

from tests.app.pages import visit, words
from tests.app.views.examples import method

ABSENT = "No such thing, 8/255"


@pytest.mark.parametrize(
    ("page", "of_runs", "field"),
    [
        ("compare", "runs", "measured"),
        ("compare", "runs", "weights"),
        ("compare", "runs", "compare_weights"),
        ("compare", "runs", "baseline"),
        ("compare", "runs", "tags"),
        ("compare", "runs", "runs"),
        ("classes", "run", "evaluation"),
        ("classes", "run", "attack"),
        ("classes", "", "run"),
        ("sweep", "runs", "evaluation"),
        ("leaderboard", "", "dataset"),
        ("leaderboard", "", "board_dataset"),
        ("leaderboard", "", "whose"),
        ("leaderboard", "", "models"),
        ("runs", "run", "measured"),
        ("runs", "show", "results_condition"),
        ("runs", "", "run"),
        ("runs", "", "show"),
        ("runs", "", "tag"),
        ("runs", "", "method"),
        ("runs", "", "state"),
        ("runs", "", "filter_state"),
        ("evaluate", "runs", "measured"),
        ("evaluate", "evaluate", "evaluate_condition"),
        ("evaluate", "", "runs"),
        ("evaluate", "", "evaluate"),
        ("monitor", "run", "weights"),
        ("monitor", "run", "monitor_weights"),
        ("monitor", "", "run"),
    ],
)
def test_what_is_not_here_is_said(example_home, page: str, of_runs: str, field: str) -> None:
    runs = [method(name).name for name in ("trades-cfa", "pgd-at-cfa")]
    query = {of_runs: runs if of_runs == "runs" and page == "compare" else runs[:1]} if of_runs else {}
    query[field] = [*query.get(field, []), ABSENT]
    app = visit(page, **query)
    assert not app.exception
    assert f"names what is not here: {ABSENT}. What is shown was not asked for." in words(app)
    if of_runs and field != of_runs:
        assert "not here" not in words(visit(page, **{of_runs: query[of_runs]}))
