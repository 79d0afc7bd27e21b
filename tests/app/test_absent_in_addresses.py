"""An address that names what is not here says so, on every page and for every field."""

import ast
from pathlib import Path

import pytest

from tests.app.pages import visit, words
from tests.app.views.examples import method

APP = Path(__file__).parents[2] / "app"
CHOICES = ("selectbox", "multiselect", "pills", "segmented_control", "radio")
ABSENT = "No such thing, 8/255"


@pytest.mark.parametrize(
    ("page", "of_runs", "field"),
    [
        ("compare", "runs", "measured"),
        ("compare", "runs", "compare_weights"),
        ("compare", "runs", "baseline"),
        ("compare", "runs", "tags"),
        ("compare", "runs", "runs"),
        ("classes", "run", "evaluation"),
        ("classes", "run", "attack"),
        ("classes", "", "run"),
        ("sweep", "runs", "evaluation"),
        ("leaderboard", "", "board_dataset"),
        ("leaderboard", "", "board_whose"),
        ("runs", "show", "results_condition"),
        ("runs", "", "show"),
        ("runs", "", "filter_tag"),
        ("runs", "", "filter_method"),
        ("runs", "", "filter_state"),
        ("evaluate", "evaluate", "evaluate_condition"),
        ("evaluate", "", "evaluate"),
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


def bound_without_a_word(source: str) -> list[str]:
    """Name the choices that an address fills before which nothing is said of absent names."""
    found, said = [], set()
    for node in sorted(
        (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)),
        key=lambda node: (node.lineno, node.col_offset),
    ):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name == "say_what_is_not_here":
            argument = node.args[0]
            said.add(ast.unparse(argument.value if isinstance(argument, ast.NamedExpr) else argument))
            said.add(ast.unparse(argument.target) if isinstance(argument, ast.NamedExpr) else "")
        words = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in CHOICES and "bind" in words and ast.unparse(words["key"]) not in said:
            found.append(f"{ast.unparse(words['key'])} in line {node.lineno}")
    return found


@pytest.mark.parametrize("file", sorted(APP.rglob("*.py")), ids=lambda file: file.name)
def test_no_choice_is_filled_by_an_address_without_that(file: Path) -> None:
    assert bound_without_a_word(file.read_text()) == []


def test_such_a_choice_is_found() -> None:
    said = 'elements.say_what_is_not_here("run", names)\n'
    bound = 'st.selectbox("Run", names, key="run", bind="query-params")\n'
    assert bound_without_a_word(said + bound) == []
    assert bound_without_a_word(bound) == ["'run' in line 1"]
    assert bound_without_a_word(said.replace("run", "other") + bound) == ["'run' in line 2"]
