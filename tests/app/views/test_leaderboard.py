"""Leaderboard: ours beside published numbers."""

from app.engine import snapshots
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


def test_it_opens_on_the_users_own_data_set(example_home):
    app = open_page("leaderboard")
    box = app.selectbox(key="board_dataset")
    newest = next(run for run in snapshots.usable_runs() if run.dataset in box.options)
    assert box.value == newest.dataset != "cifar10"


def test_results_are_ranked_searched_and_lead_to_their_papers(empty_home):
    app = open_page("leaderboard")
    app.selectbox(key="board_dataset").select("cifar10").run()
    assert_sound(app)
    table = next(frame.value for frame in app.dataframe if "rank" in frame.value)
    assert table["rank"].iloc[0] == 1
    known = table["worst"].notna()
    assert (table["worst"][known].rank(ascending=False, method="min") == table["rank"][known]).all()
    links = table["link"].dropna()
    assert len(links)
    assert links.str.startswith("https://").all()
    app.segmented_control(key="board_rank").set_value("mean").run()
    by_mean = next(frame.value for frame in app.dataframe if "rank" in frame.value)
    assert by_mean["mean"].dropna().is_monotonic_decreasing
    app.text_input(key="board_search").set_value("dafa").run()
    found = next(frame.value for frame in app.dataframe if "rank" in frame.value)
    assert 0 < len(found) < len(table)
    app.text_input(key="board_search").set_value("no such method").run()
    assert not [frame for frame in app.dataframe if "rank" in frame.value]
