"""Leaderboard: ours beside published numbers."""

import pytest

from cfa.home import SHIPPED_RUNS
from cfa.methods import configure
from cfa.runs.store import Store
from tests.app.example_store import FASHION, finished_run
from tests.app.pages import assert_sound, button, figures, open_page, words


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


def board_of(app):
    return next(frame.value for frame in app.dataframe if "rank" in frame.value)


def test_it_opens_on_the_users_newest_data_set_with_two_methods(example_home):
    app = open_page("leaderboard")
    # The newest run is alone on its long-tailed data set.
    assert app.selectbox(key="board_dataset").value == "fashion-mnist-mini"


def test_it_opens_on_published_numbers_where_one_method_is_all_there_is(empty_home):
    finished_run(Store.open(), configure("trades", "fashion-mnist-mini", seed=0), FASHION)
    app = open_page("leaderboard")
    assert app.selectbox(key="board_dataset").value == "cifar10"


def test_ours_have_intervals_and_single_seeds_are_said(example_home):
    app = open_page("leaderboard", dataset="fashion-mnist-mini")
    table = board_of(app)
    ours = table[(table["whose"] == "Ours") & (table["runs"] == 1)]
    assert len(ours)
    assert ours["worst_range"].str.fullmatch(r"\d+\.\d\s–\s\d+\.\d\s% of images").all()
    assert set(ours["rank"]) == {"–"}
    assert "of a single seed" in words(app)
    assert any(trace.get("error_y") for figure in figures(app) for trace in figure["data"])


def test_a_page_without_published_numbers_leads_to_them(example_home):
    app = open_page("leaderboard", dataset="fashion-mnist-mini")
    assert "no published numbers on this data set" in words(app)
    button(app, "cifar10").click().run()
    assert_sound(app)
    assert set(board_of(app)["whose"]) == {"Published"}


@pytest.mark.parametrize(
    ("among", "named"),
    [
        ("DAFA: resnet18, unstated checkpoint", ["TRADES + CFA", "TRADES + DAFA"]),
        ("CFA: preact-resnet18, best checkpoint", ["TRADES + CFA"]),
    ],
)
def test_a_front_joins_only_what_is_comparable_and_names_that_alone(empty_home, among, named):
    app = open_page("leaderboard", dataset="cifar10", attack="autoattack", front=among)
    (figure,) = figures(app)
    lines = [trace for trace in figure["data"] if trace["mode"] == "lines"]
    assert len(lines) == (len(named) > 1)
    notes = figure["layout"].get("annotations", [])
    assert set(named) <= {note["text"].partition(",")[0] for note in notes}
    for line in lines:
        assert set(line["x"]) <= {note["x"] for note in notes}
    assert len(notes) <= 8
    said = "The line joins" if lines else "One beats all others of these in both"
    assert said in words(app)


def test_a_label_of_several_networks_has_its_network(empty_home):
    app = open_page("leaderboard", dataset="cifar10", attack="autoattack")
    labels = board_of(app)["label"]
    assert not (labels == "AT to FAAL_AT-AWP").any()
    assert (labels == "AT to FAAL_AT-AWP, wrn-34-10").any()


def test_rows_without_a_worst_class_are_in_the_table_and_not_in_the_front(empty_home):
    app = open_page("leaderboard", dataset="cifar10", attack="autoattack")
    table = board_of(app)
    missing = table[table["worst"].isna()]
    assert (missing["label"] == "Bartoldson et al. 2024").any()
    drawn = [x for figure in figures(app) for trace in figure["data"] for x in trace["x"]]
    assert max(drawn) < 0.6
    assert "without a mean or a worst class: in the table only" in words(app)


def test_results_are_filtered_by_family_cost_and_direction_of_eps(example_home):
    app = open_page("leaderboard", dataset="fashion-mnist-mini")
    app.multiselect(key="board_family").set_value(["calibrated"]).run()
    assert_sound(app)
    table = board_of(app)
    assert set(table["family"]) == {"Calibrated"}
    assert set(table["way"]) == {"smaller"}
    assert table["passes"].notna().all()
    app.multiselect(key="board_hard_eps").set_value(["larger"]).run()
    assert not [frame for frame in app.dataframe if "rank" in frame.value]


def test_results_are_ranked_searched_and_lead_to_their_papers(empty_home):
    app = open_page("leaderboard")
    app.selectbox(key="board_dataset").select("cifar10").run()
    assert_sound(app)
    table = next(frame.value for frame in app.dataframe if "rank" in frame.value)
    assert set(table.loc[table["runs"].fillna(1) == 1, "rank"]) == {"–"}
    assert table["rank"].str.fullmatch(r"–|\d+(–\d+)? of \d+").all()
    assert "1–3 of 11" in set(table["rank"])  # of CFA's paper, five seeds each
    links = table["link"].dropna()
    assert len(links)
    assert links.str.startswith("https://").all()
    app.segmented_control(key="board_rank").set_value("mean").run()
    by_mean = next(frame.value for frame in app.dataframe if "rank" in frame.value)
    compared = by_mean["alike"] == by_mean["alike"].iloc[0]
    for block in (by_mean[compared], by_mean[~compared]):
        assert block["mean"].dropna().is_monotonic_decreasing
    app.text_input(key="board_search").set_value("dafa").run()
    found = next(frame.value for frame in app.dataframe if "rank" in frame.value)
    assert 0 < len(found) < len(table)
    app.text_input(key="board_search").set_value("no such method").run()
    assert not [frame for frame in app.dataframe if "rank" in frame.value]


def test_it_opens_on_what_several_seeds_can_rank(dashboard, tmp_path):
    """Of the shipped runs all are of three seeds under PGD-20, and two single ones are under AutoAttack."""
    dashboard(tmp_path, shipped=SHIPPED_RUNS)
    app = open_page("leaderboard")
    assert app.selectbox(key="attack").value == "pgd-20"
    table = board_of(app)
    assert set(table["runs"]) == {3}
    assert sorted(table["label"]) == ["FAT", "FAT + CFA", "PGD-AT", "PGD-AT + CFA", "TRADES", "TRADES + CFA"]
    assert set(table["rank"]) == {"1–6 of 6"}
    assert app.subheader[0].value == "No order is certain among these 6 results."
    assert "PGD-AT has the highest worst class, 35.3" in words(app)
    assert "Under AutoAttack you have 2 rows, all of a single seed." in words(app)
    app.pills(key="board_weights").set_value(["own", "ema"]).run()
    assert_sound(app)
    assert len(board_of(app)) == 12


def test_rows_lead_to_their_runs(example_home):
    app = open_page("leaderboard", dataset="fashion-mnist-mini")
    runs = {run.id for run in Store.open().runs()}
    for link in board_of(app)["link"]:
        page, _, query = link.partition("?")
        assert page == "runs"
        assert {pair.removeprefix("runs=") for pair in query.split("&")} <= runs


def test_what_is_higher_and_not_comparable_is_said(empty_home):
    app = open_page("leaderboard", dataset="cifar10", front="CFA: preact-resnet18, best checkpoint")
    assert "Not comparable with these, of other networks, papers or checkpoints, and higher:" in words(app)
