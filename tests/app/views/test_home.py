"""Home: the demo is started and waited for; before the first run it shows what ships."""

from app.engine import demo, job_queue, snapshots
from tests.app.pages import assert_sound, button, figures, open_page, words


def test_the_demo_button_queues_the_chain_and_waits_for_its_end(empty_home, monkeypatch):
    monkeypatch.setenv("CFA_DEMO_SETTINGS", "train.epochs=1")
    app = open_page("home")
    button(app, "Run the demo comparison").click().run()
    assert_sound(app)
    assert [job.kind for job in snapshots.jobs()] == ["train"] * 4 + ["compare"]
    assert button(app, "Run the demo comparison").disabled
    assert "A demo is under way" in words(app)
    for name in ("PGD-AT", "PGD-AT + CFA", "TRADES", "TRADES + CFA", "Comparison"):
        assert f" {name} " in words(app)
    assert "end unknown: 5 jobs of a sort that was never measured here" in words(app)
    button(app, "Stop the demo").click().run()
    assert_sound(app)
    assert {job.state for job in snapshots.jobs()} == {"cancelled"}
    assert not button(app, "Run the demo comparison").disabled


def test_a_demo_whose_trainings_are_cancelled_leaves_no_comparison_waiting(empty_home, monkeypatch):
    monkeypatch.setenv("CFA_DEMO_SETTINGS", "train.epochs=1")
    demo.start_demo()
    last = [job for job in snapshots.jobs() if job.trains][-1]
    job_queue.act_on("cancel", [last.id])
    assert [job.state for job in snapshots.jobs()] == ["queued"] * 3 + ["cancelled"] * 2
    assert "A demo is under way" in words(open_page("home"))


def test_results_that_ship_are_shown_before_the_first_run(dashboard, filled_home, tmp_path):
    dashboard(tmp_path, shipped=filled_home / "runs")
    app = open_page("home")
    table = app.dataframe[0].value
    assert {"PGD-AT", "TRADES + FAWA", "TRADES + CFA (2 seeds)"} <= set(table["series"])
    assert len(figures(app)[0]["data"]) == len(table)
    assert "Open them in Compare" in [link.label for link in app.page_link]
    open_page("compare")
    assert "are kept in your own store" in words(open_page("evaluate"))
    app = open_page("runs", show="hundred-classes")
    assert {item.label: item.disabled for item in app.button}["Save"]
