"""Texts of others in CSV, Markdown, LaTeX, JSON, names, on terminals: read back, they are what they were."""

import csv
import html
import io
import json
import random
import re
import string
import unicodedata

import markdown as python_markdown
import pytest
from markdown_it import MarkdownIt

from cfa.escaping import (
    csv_cell,
    fenced,
    harmless_json,
    latex_text,
    markdown_text,
    name_part,
    printable,
)

SIGNS = [
    *string.printable,
    *"äé猫·−±×„“\u202e\u2066\u200b\x9b\x1b\0\x7f\u2028＝＋",
    "_x",
    "_x2C_",
    "](",
    "![",
    "'=",
]


def random_texts(count: int, signs: list[str] = SIGNS) -> list[str]:
    """Make texts of up to twelve signs, always the same ones."""
    draw = random.Random(0)
    return ["".join(draw.choices(signs, k=draw.randint(0, 12))) for _ in range(count)]


# Terminals and JSON ----------------------------------------------------------------------------------------

ON_A_TERMINAL = {
    "colours": ("\x1b[31mred\x1b[0m", "[31mred[0m"),
    "a cleared screen": ("a\x1b[2J\x1b[Hb", "a[2J[Hb"),
    "a window's title": ("\x1b]0;root\x07x", "]0;rootx"),
    "one-byte sequences": ("\x9b31mx\x9d", "31mx"),
    "a line that is written over": ("name\rerror: none", "name error: none"),
    "a line below": ("name\nerror: none", "name error: none"),
    "a separator": ("a\u2028b\u2029c\x85d", "a b c d"),
    "backspaces": ("evil\b\b\b\bgood", "evilgood"),
    "a bell and a zero": ("a\x07b\0c\x7f", "abc"),
    "turned direction": ("a\u202eb\u2066c\u200fd\u061ce", "abcde"),
    "half a pair": ("a\ud800b", "ab"),
    "letters of all kinds": ("Ærø 猫 👩‍🔬 é", "Ærø 猫 👩‍🔬 é"),
}


@pytest.mark.parametrize(("text", "line"), ON_A_TERMINAL.values(), ids=ON_A_TERMINAL)
def test_a_terminal_gets_a_line_that_moves_nothing(text: str, line: str) -> None:
    assert printable(text) == line


@pytest.mark.parametrize("text", [text for text, _ in ON_A_TERMINAL.values()], ids=ON_A_TERMINAL)
def test_json_on_a_terminal_is_the_same_document(text: str) -> None:
    document = {"name": text, "nested": [text]}
    written = harmless_json(json.dumps(document, indent=2, ensure_ascii=False))
    assert json.loads(written) == document
    assert all(printable(line) == line for line in written.split("\n"))


# CSV -------------------------------------------------------------------------------------------------------

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋")


def original(cell: str) -> str:
    """Take the apostrophes away again, as the docstring says."""
    return re.sub(r"((?:^|(?<=[;\t\r\n|]))'*)'(?=[=+\-@\t\r\n\0＝＋－＠])", r"\1", cell)


def cells(text: str) -> list[str]:
    """Give everything that some spreadsheet takes for a cell: others separate at ``;``, tabs and lines."""
    return re.split(r"[;\t\r\n|]", text)


@pytest.mark.parametrize("start", STARTS, ids=repr)
@pytest.mark.parametrize("rest", ['cmd|" /C calc"!A0', "1+1", "SUM(A1)", "0.5x", "", "'"])
def test_no_spreadsheet_runs_a_text(start: str, rest: str) -> None:
    for text in (
        start + rest,
        "'" + start + rest,
        f"a;{start}{rest}",
        f"a\t{start}{rest}",
        f"a\n{start}{rest}",
    ):
        written = csv_cell(text)
        assert not any(cell.startswith(STARTS) for cell in cells(written))
        assert original(written) == text


@pytest.mark.parametrize(
    "number", ["-0.5", "+3", "1e-5", "-1E+3", ".5", "-.5", "7.", "007", "8/255", "cat", ""]
)
def test_numbers_and_words_stay_as_they_are(number: str) -> None:
    assert csv_cell(number) == number


def test_any_text_comes_back_from_a_file() -> None:
    texts = random_texts(3000)
    file = io.StringIO()
    csv.writer(file).writerows([csv_cell(text), "x"] for text in texts)
    file.seek(0)
    rows = list(csv.reader(io.StringIO(file.getvalue(), newline=""), strict=True))
    assert [original(cell) for cell, _ in rows] == texts


# Markdown --------------------------------------------------------------------------------------------------

IN_MARKDOWN = {
    "a picture": "![x](http://a.test/x.png)",
    "a link": "[x](http://a.test)",
    "a link by reference": "[x][y] and [x]: http://a.test",
    "a definition": "[x]: http://a.test",
    "an address": "http://a.test https://a.test/?q=1 www.a.test me@a.test",
    "an address in brackets": "<http://a.test> <me@a.test>",
    "HTML": '<img src=x onerror="alert(1)"><b>x</b><!-- x --><script>alert(1)</script>',
    "an entity": "&lt;b&gt; &amp; &#60; &copy;",
    "a pipe": "a|b||c",
    "a fence": "```\ncode\n```",
    "code": "`code` ``two`` ~~~",
    "strong": "**a** __b__ *c* _d_ ~~e~~ __init__ a_b_c _",
    "a formula": "$x^2$ $$y$$",
    "backslashes": r"\ \\ \* \| a\\",
    "a heading": "# heading",
    "a list": "- item",
    "a list with numbers": "1. item",
    "a list with a bracket": "2) item",
    "a quotation": "> quoted",
    "a rule": "---",
    "a line below": "a\n\n# heading\n\n- item",
    "a task": "[ ] task [x]",
    "a footnote": "[^1]: note",
    "spaces": "     code",
    "a table": "| a | b |\n| --- | --- |",
}
PLACES = {
    "paragraph": "Said: {}.",
    "item": "- {}",
    "heading": "## {}",
    "cell": "| a | b |\n| --- | --- |\n| {} | x |",
}


def seen(text: str) -> str:
    """Give what a reader sees of a text in one line."""
    return " ".join(printable(text).split())


def read(rendered: str) -> tuple[str, set[str]]:
    """Give the text of HTML, and the tags in it."""
    return html.unescape(re.sub(r"<[^>]*>", "", rendered)), set(re.findall(r"<(\w+)", rendered))


def renderers() -> dict[str, object]:
    common = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return {
        "markdown-it": common.render,
        "python-markdown": lambda text: python_markdown.markdown(text, extensions=["tables", "fenced_code"]),
    }


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", IN_MARKDOWN.values(), ids=IN_MARKDOWN)
def test_markdown_shows_the_text_and_nothing_else(text: str, place: str) -> None:
    written = PLACES[place].format(markdown_text(text))
    for name, render in renderers().items():
        said, tags = read(render(written))
        assert tags == read(render(PLACES[place].format("word")))[1], name
        assert seen(text) in seen(said), name
    assert not re.search(r"https?://|www\.|\w@\w", written)  # what GitHub makes a link of


def test_markdown_shows_any_text() -> None:
    (render, *_) = renderers().values()
    for text in random_texts(2000):
        said, tags = read(render(PLACES["cell"].format(markdown_text(text))))
        assert tags == {"table", "thead", "tbody", "tr", "th", "td"}, repr(text)
        assert seen(text) in seen(said), repr(text)


@pytest.mark.parametrize("text", ["plain", "```", "a\n````\nb", "~~~\n```x", "`" * 9 + "\n<b>"])
def test_a_fence_ends_where_its_lines_do(text: str) -> None:
    (token,) = MarkdownIt("commonmark").parse(fenced(text))
    assert (token.type, token.content) == ("fence", text + "\n")


# LaTeX (that it compiles is tested with the reports) -----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (
            r"50% of A&B_c #1 {x} ~ ^ \ ± −1",
            r"50\% of A\&B\_c \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} $\pm$ $-$1",
        ),
        ("trades-cfa a--b a---b", "trades-cfa a-{}-b a-{}-{}-b"),
        ("1–2", "1{--}2"),
        ("[x]*", "{[}x{]}{*}"),
        ("<a>|$", r"\textless{}a\textgreater{}\textbar{}\$"),
        ("é e\u0301 ç Ž ß", r"{\'{e}} {\'{e}} {\c{c}} {\v{Z}} {\ss}"),
        ("猫", r"\cfachar{猫}{732B}"),
        ("a\nb\r\n\nc\x1b", "a b   c"),
    ],
)
def test_latex_prints_the_text(text: str, written: str) -> None:
    assert latex_text(text) == written


def test_latex_gets_no_sign_of_its_own_from_any_text() -> None:
    ours = r"\\(text\w+\{\}|[%&_#${}]|ldots\{\}|ss|[`'^~\"=.urHvc]\{[A-Za-z]\}|cfachar\{.\}\{[0-9A-F]+\})"
    for text in random_texts(3000):
        left = re.sub(ours, "", latex_text(text)).replace(r"$\pm$", "").replace(r"$\cdot$", "")
        left = left.replace(r"$\times$", "").replace("$-$", "").replace(r"$^\circ$", "")
        assert not set(left) & set("\\%&_#$^~\n"), repr(text)
        assert left.count("{") == left.count("}")


# Parts of names --------------------------------------------------------------------------------------------


def decoded(part: str) -> str:
    return re.sub(r"_x([0-9A-F]+)_", lambda found: chr(int(found[1], 16)), "" if part == "_x_" else part)


def test_a_part_of_a_name_says_which_text_it_was() -> None:
    texts = [text for text in random_texts(5000) if len(name_part(text)) <= 60]
    assert len(texts) > 2000
    assert [decoded(name_part(text)) for text in texts] == texts
    for text in texts:
        part = name_part(text)
        assert re.fullmatch(r"[\w\-. ]+", part)
        assert part.strip(". ") == part.strip(".") != ""


@pytest.mark.parametrize("name", ["cat", "traffic_light", "T.shirt", "a b", "pgd-20", "猫", "007"])
def test_usual_names_stay(name: str) -> None:
    assert name_part(name) == name


def test_long_texts_stay_different() -> None:
    texts = ["x" * length for length in range(75, 400)] + ["x" * 300 + str(n) for n in range(100)]
    assert len({name_part(text) for text in texts}) == len(texts)
    assert max(len(name_part(text)) for text in texts) <= 80


def test_categories_of_signs_are_all_tried() -> None:
    assert {unicodedata.category(sign) for sign in SIGNS if len(sign) == 1} >= {
        "Cc",
        "Cf",
        "Lo",
        "Sm",
        "Po",
        "Zl",
    }
