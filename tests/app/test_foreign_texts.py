"""What others wrote is shown as they wrote it, wherever Streamlit or plotly would read more into it."""

import json

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from app import charts, pictures, texts
from tests.app.hostile_store import HOSTILE, SIGNS, fill_with_hostile_texts
from tests.app.pages import as_read, figures, visit

READ = MarkdownIt("gfm-like", {"linkify": False})
# Where Markdown is read: the field of an element, by its kind.
MARKDOWN = {
    **dict.fromkeys(("title", "header", "subheader"), "body"),
    **dict.fromkeys(("markdown", "caption", "error", "warning", "info", "success"), "body"),
    **dict.fromkeys(("button", "download_button", "page_link", "expander", "popover", "tab"), "label"),
    **dict.fromkeys(("selectbox", "multiselect", "text_input", "button_group", "checkbox"), "label"),
    "progress": "text",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile")
    return home, fill_with_hostile_texts(home)


def rendered(app):
    """Give every text of a page that is read as Markdown."""
    for kind, field in MARKDOWN.items():
        for element in app.get(kind):
            yield str(getattr(element.proto, field, ""))
    for metric in app.metric:
        yield metric.label
        yield metric.value
    for table in app.table:
        yield from (str(cell) for cell in [*table.value.index, *table.value.to_numpy().ravel()])


def has_markup(text):
    """Tell whether a reader of Markdown would make more of a text that quotes the signs."""
    tokens = [token for block in READ.parse(text) for token in block.children or ()]
    kinds = {token.type for token in tokens}
    shown = "".join(token.content for token in tokens)
    return (
        bool(kinds & {"image", "link_open", "html_inline", "code_inline", "s_open"}) or "canary" not in shown
    )


@pytest.mark.parametrize(
    "page", ["train", "monitor", "runs", "evaluate", "classes", "sweep", "compare", "home", "leaderboard"]
)
def test_no_page_reads_markdown_in_texts_of_others(dashboard, hostile, page):
    home, names = hostile
    dashboard(home)
    query = {
        "monitor": {"run": names[6]},
        "runs": {"show": names[1]},
        "evaluate": {"evaluate": [names[1], names[2]]},
        "classes": {"run": names[1]},
        "sweep": {"runs": names[1]},
        "compare": {"runs": names[:4]},
        "train": {"from": HOSTILE},
    }.get(page, {})
    app = visit(page, **query)
    assert not app.exception, app.exception[0].value
    quoting = [text for text in rendered(app) if "canary" in text]
    assert [text for text in quoting if has_markup(text)] == []
    # A name that is not usable is not shown: the run is called by its id there.
    unnamed = page in ("home", "leaderboard", "runs", "sweep")
    assert unnamed or any(SIGNS[0] in as_read(text) for text in quoting)
    drawn = json.dumps(figures(app))
    assert "<img" not in drawn
    assert "<a href" not in drawn


@pytest.mark.parametrize(
    "text",
    [
        *SIGNS,
        "# heading",
        "1. one",
        "1) one",
        "- item",
        "> quote",
        "    code",
        "```",
        "a\\b \\* \\",
        "| a | b |",
        "<!-- x -->",
        "&amp; &#65;",
        "[^1] [x]: y",
        "~~~",
        "====",
        "https://canary.invalid:80/?q=1#x",
        ":color[x]{foreground='red'}",
        "T-shirt/top",
    ],
)
def test_a_text_in_markdown_is_the_text(text):
    (_, inline, _) = READ.parse(texts.plain(text))
    assert {token.type for token in inline.children} <= {"text", "text_special"}
    shown = "".join(token.content for token in inline.children)
    assert shown.replace("\u2060", "") == text.strip()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand\r\nmore", "two lines and more"),
        ("a\x00b\x1b[31m", "a�b�[31m"),
        ("abc\u202egnp.exe", "abc�gnp.exe"),
        ("half a pair \ud83d", "half a pair �"),
        ("x" * 10_000_000, "x" * 1999 + "…"),
        (" " * 10_000_000, ""),
    ],
    ids=["lines", "control", "direction", "surrogate", "long", "spaces"],
)
def test_what_cannot_be_read_is_marked_or_cut(text, shown):
    assert texts.readable(text) == shown
    texts.plain(text).encode()


def test_a_figure_shows_names_as_they_are():
    names = ["<b>bold</b>", '<a href="http://canary.invalid">x</a>', "T&amp;C"]
    scores = pd.DataFrame({"group": "g", "series": "<i>s</i>", "class_index": [0, 1, 2], "class_name": names})
    scores = scores.assign(accuracy=0.5, low=0.4, high=0.6)
    bars = charts.harmless(charts.class_bars(scores, {})).data[0]
    assert bars.name == "&lt;i&gt;s&lt;/i&gt;"
    assert list(bars.x)[0::2] == ["&lt;b&gt;bold&lt;/b&gt;", "T&amp;amp;C"]
    matrix = charts.harmless(charts.confusion(np.eye(3, dtype=int), names, None))
    assert not any("<" in text for text in matrix.layout.xaxis.ticktext)
    assert "<" not in json.dumps(matrix.data[-1].customdata)


def test_a_figure_of_usual_names_is_not_copied():
    figure = charts.confusion(np.eye(2, dtype=int), ["cat", "T-shirt/top"], None)
    assert charts.harmless(figure) is figure


def test_probabilities_show_names_as_they_are():
    assert "<b>" not in pictures.probability_bars([("<b>", [("<b>", 0.5)])])
