"""Leaderboard: ours beside published numbers."""

from tests.app.pages import assert_sound, figures, open_page


def test_the_leaderboard_tells_ours_from_theirs(example_home):
    app = open_page("leaderboard")
    app.selectbox(key="board_dataset").select("fashion-mnist-mini").run()
    assert_sound(app)
    table = next(frame.value for frame in app.dataframe if "whose" in frame.value)
    assert set(table["whose"]) == {"Ours"}
    app.selectbox(key="board_dataset").select("cifar10").run()
    assert_sound(app)
    table = next(frame.value for frame in app.dataframe if "whose" in frame.value)
    assert set(table["whose"]) == {"Published"}
    assert table["source"].str.contains("CVPR 2023").any()
    (figure,) = figures(app)
    assert "Published" in {trace["name"] for trace in figure["data"]}


def test_an_empty_store_has_the_published_numbers_on_the_leaderboard(empty_home):
    app = open_page("leaderboard")
    table = next(frame.value for frame in app.dataframe if "whose" in frame.value)
    assert set(table["whose"]) == {"Published"}
