"""Markup in a text is shown, not read."""

from app import charts
from tests.app.charts.example_frames import STYLES, scores


def test_texts_with_markup_keep_their_ticks():
    long = [f"<b>{k}</b> & {'x' * 40}" for k in range(3)]
    figure = charts.harmless(charts.class_bars(scores(groups=1).assign(class_name=long), STYLES))
    assert list(figure.layout.xaxis.tickvals) == list(figure.data[0].x)  # else plotly finds none of them
    assert not any("<b>" in text for text in [*figure.layout.xaxis.ticktext, *figure.data[0].hovertext])
