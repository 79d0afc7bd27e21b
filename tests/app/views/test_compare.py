"""Compare: what is chosen, shown, said to be certain, and taken along."""

import re
import shutil
from dataclasses import replace

import pytest

from app.engine import sample_sizes, snapshots
from cfa.evaluation import default_weights
from cfa.home import SHIPPED_RUNS
from cfa.runs.evaluations import new_id, outcomes_file, read_evaluations, save_evaluation
from cfa.runs.folder import now
from cfa.runs.store import Store
from cfa.tables.comparison import compare
from tests.app.pages import assert_sound, open_page, words
from tests.support.resumed import evaluate, make_run


def chosen_runs(*methods):
    wanted = [
        run for run in snapshots.runs() if run.method in methods and run.dataset == "fashion-mnist-mini"
    ]
    return [run.name for run in wanted]


def test_compare_shows_all_three_kinds_of_weights(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at-cfa"))
    table = app.dataframe[0].value
    assert table["weights"].tolist() == ["Online", "EMA", "FAWA"] * 2
    assert {"TRADES", "TRADES + EMA", "PGD-AT + CFA"} <= set(table["series"])
    baseline = table[table["series"].str.startswith("TRADES")]
    assert baseline["mean_difference"].isna().all()
    assert set(baseline["against"]) == {""}
    others = table[table["series"].str.startswith("PGD-AT")]
    assert others["against"].tolist() == ["TRADES", "TRADES + EMA", "TRADES + FAWA"]  # the row's own kind
    others = table[table["series"].str.startswith("PGD-AT")].reset_index(drop=True)
    expected = others["mean"] - baseline["mean"].reset_index(drop=True)
    assert others["mean_difference"].tolist() == pytest.approx(expected.tolist())


def test_compare_merges_seeds_and_can_show_them_apart(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "trades-cfa"))
    assert app.dataframe[0].value["seeds"].tolist() == [1, 1, 1, 2, 2, 2]
    app.toggle(key="merge_seeds").set_value(False).run()
    assert_sound(app)
    assert app.dataframe[0].value["seeds"].tolist() == [1] * 9


def test_compare_downloads_are_the_contracted_tables(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at"))
    labels = [item.label for item in app.get("download_button")]
    assert labels[:3] == ["Per-class CSV", "Summary CSV", "Fairness CSV"]
    assert labels[3:] == ["HTML", "PDF", "LaTeX", "Markdown", "PNG and SVG"]


def test_compare_lists_what_differs_in_the_settings(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at-cfa"))
    table = app.dataframe[-1].value.set_index("setting")
    assert {"method", "method.beta", "method.lambda_eps"} <= set(table.index)
    assert "seed" not in table.index


def test_compare_says_which_run_was_not_measured_alike(example_home):
    app = open_page("compare", runs=[*chosen_runs("trades", "pgd-at"), "hundred-classes"])
    assert "Not measured like this: hundred-classes" in words(app)


def test_compare_takes_all_runs_with_a_tag(example_home):
    app = open_page("compare", tags="example")
    assert app.multiselect(key="runs").disabled
    table = app.dataframe[0].value
    assert sorted(table["seeds"].unique()) == [1, 2]
    assert {"PGD-AT", "PGD-AT + CFA", "TRADES"} <= set(table["series"])


def test_compare_says_when_runs_were_measured_on_different_images(own_home):
    names = chosen_runs("trades", "pgd-at")
    store = Store.open(own_home)
    run = store.find(names[0])
    whole = next(e for e in read_evaluations(run) if e.weights == "online")
    few = tuple(
        replace(row, correct=tuple(n // 10 for n in row.correct), total=tuple(n // 10 for n in row.total))
        for row in whole.scores
    )
    later = replace(whole, id=new_id(), created=now(), scores=few)
    save_evaluation(run, later, {})
    assert "Not all on the same images" not in words(
        open_page("compare", runs=names)
    )  # the larger one counts
    shutil.rmtree(outcomes_file(run, whole.id).parent)
    app = open_page("compare", runs=names)
    assert "Not all on the same images: from 1,000" in words(app)
    assert "the evaluation on most images counts" in words(app)
    table = app.dataframe[0].value
    assert table[table["images"] == 1000]["mean_difference"].isna().all()  # of other images: no difference


def test_compare_says_what_is_certain(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at-cfa"))
    text = words(app)
    assert re.search(r"PGD-AT \+ CFA\s+against TRADES\s+- Online weights of both: mean [+−]\d", text)
    assert "(the same images, in pairs)" in text
    fairness = next(frame.value for frame in app.dataframe if "gini" in frame.value)
    assert fairness["gini"].between(0, 1).all()
    assert fairness["validation_worst"].notna().any()


def test_runs_that_share_no_evaluation_make_no_report(example_home):
    app = open_page("compare", runs=[*chosen_runs("trades"), "hundred-classes"])
    assert "There is no report. Runs " in words(app)
    assert "cfa evaluate" in words(app)
    assert not any(item.label == "HTML" for item in app.get("download_button"))


def test_one_run_is_nothing_to_compare(example_home):
    app = open_page("compare", runs=chosen_runs("trades"))
    assert "Choose two or more runs." in words(app)


def test_a_claim_in_pairs_rests_on_how_often_these_models_disagree(example_home):
    names = chosen_runs("trades", "pgd-at-cfa")
    text = words(
        open_page("compare", runs=names, measured="PGD-20, 15/255 · best checkpoint · fashion-mnist-mini")
    )
    store = Store.open(example_home)
    base, other = sorted((store.find(name) for name in names), key=lambda run: run.config.method != "trades")
    entries = compare([base, other], base, default_weights).entries
    chosen = [e for e in entries if e["attack"] == "pgd-20" and e["paired"]]
    share = max(e["disagreements"] / e["images"] for e in chosen)
    images = sample_sizes.paired_images_needed(0.05, share, classes=10)
    assert f"disagree on up to {100 * share:.1f} % of the images" in text
    assert f"about {images:,} images of that class" in re.sub(r"\s+", " ", text)


def test_seeds_are_compared_as_methods_and_one_run_against_seeds_not_at_all(example_home):
    text = words(open_page("compare", runs=chosen_runs("trades", "trades-cfa")))
    assert "TRADES + CFA (2 seeds) against TRADES: Nothing is said: 2 seeds against 1 seed." in text


def strips(app):
    """Return the verdict's tables."""
    bodies = [item.proto.body for item in app.get("html")]
    return [body for body in bodies if body.startswith('<div class="cfa-verdict"')]


def test_one_network_of_each_is_never_called_a_verdict_about_methods(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at"))
    (strip,) = strips(app)
    assert "These two networks, not these two methods" in strip
    assert "over seeds" not in strip
    assert "gain" not in words(app).split("Change per class")[0]


@pytest.mark.parametrize("merge", [True, False])
def test_the_verdict_is_over_seeds_whatever_the_charts_show(dashboard, tmp_path, merge):
    store = Store.open(dashboard(tmp_path / "home"), shipped=None)
    for seed in range(2):
        for method in ("trades", "trades-cfa"):
            run = make_run(store, f"{method}-{seed}", seed=seed, method=method)
            counts = {"pgd-20": (60 + seed,) * 9 + (20 + 3 * seed,)}
            evaluate(run, counts, 100, epoch=3, created="2026-01-01T00:00:00+00:00")
    app = open_page("compare", seeds_as_one=str(merge).lower())
    assert ["Methods, over seeds" in strip for strip in strips(app)] == [True]
    assert sorted(app.dataframe[0].value["seeds"]) == ([2, 2] if merge else [1] * 4)


def test_what_differs_besides_the_method_is_said(example_home):
    text = words(open_page("compare", runs=[*chosen_runs("trades", "pgd-at")]))
    assert "Differs besides the method:" not in text  # those of the example were trained alike


def test_equal_runs_are_said_to_be_equal(example_home):
    text = words(open_page("compare", runs=chosen_runs("trades", "pgd-at")))
    assert "equal on every one of the 10,000 images" in text


def test_of_more_than_eight_series_two_are_in_colour_at_first_and_others_at_a_choice(dashboard, tmp_path):
    dashboard(tmp_path, shipped=SHIPPED_RUNS)
    app = open_page("compare", seeds_as_one="false")
    field = app.multiselect(key="coloured")
    assert len(field.options) == 18
    assert len(field.value) == 2
    assert "16 of 18 are grey." in words(app)
    field.select(field.options[-1]).run()
    assert_sound(app)
    assert "15 of 18 are grey." in words(app)


def test_up_to_eight_series_all_have_their_colour(dashboard, tmp_path):
    dashboard(tmp_path, shipped=SHIPPED_RUNS)
    app = open_page("compare", seeds_as_one="true")
    assert "coloured" not in [field.key for field in app.multiselect]
    assert "grey" not in words(app)


def test_a_verdict_with_other_weights_stands_beside_one_with_equal_ones(dashboard, tmp_path):
    dashboard(tmp_path, shipped=SHIPPED_RUNS)
    said = words(open_page("compare"))
    for method in ("PGD-AT", "TRADES", "FAT"):
        assert f"{method} + CFA (3 seeds) against {method} (3 seeds)" in said
        assert f"{method} + CFA, same weights against {method}, FAWA of both" in said
    alike = words(open_page("compare", weights="fawa"))
    assert "same weights against" not in alike  # they are equal anyway
