import pytest

from cfa.commands.printing import duration, print_table, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3660, "1 h 01 min"), (90000, "25 h 00 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (3e12, "3.0 TB")]
)
def test_size(count, text):
    assert size(count) == text


def test_columns_are_aligned_by_the_cells_that_a_terminal_gives_a_character(capsys):
    print_table([("猫", 1), ("cat", 22), ("e\u0301l [b]x[/b]", None)], ("class", "n"), "")
    assert capsys.readouterr().out.splitlines() == [
        "class        n",
        "猫           1",  # two cells wide
        "cat          22",
        "e\u0301l [b]x[/b]  None",  # an accent takes none
    ]


def test_a_table_without_rows_is_a_sentence(capsys):
    print_table([], ("class",), "no classes yet")
    assert capsys.readouterr().out == "no classes yet\n"
