"""Home: the demo is started and waited for; before the first run it shows what ships."""

from app.engine import job_queue, snapshots
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
    for job in snapshots.jobs():
        job_queue.cancel(job.id)
    app.run()
    assert not button(app, "Run the demo comparison").disabled


def test_results_that_ship_are_shown_before_the_first_run(dashboard, filled_home, tmp_path):
    dashboard(tmp_path, shipped=filled_home / "runs")
    app = open_page("home")
    table = app.dataframe[0].value
    assert {"PGD-AT", "TRADES + FAWA", "TRADES + CFA (2 seeds)"} <= set(table["series"])
    assert len(figures(app)[0]["data"]) == len(table)
    assert "Open them in Compare" in [link.label for link in app.page_link]
    open_page("compare")
    assert "cannot be evaluated anew" in words(open_page("evaluate"))
    app = open_page("runs", show="hundred-classes")
    assert {item.label: item.disabled for item in app.button}["Save"]
