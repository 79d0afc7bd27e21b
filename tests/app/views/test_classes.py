"""Classes: counts, the cell that is chosen, and its images."""

import re

import numpy as np
import pytest

from app.engine import evaluated, image_outcomes, snapshots
from app.sections import two_runs
from tests.app.pages import as_read, assert_sound, errors, figures, open_page, start, visit, words
from tests.app.views.examples import example_of, method


def open_images(view="cards", **query):
    run = method("trades-cfa")
    found = image_outcomes.outcomes(run, example_of(run, "images"))
    app = visit("classes", view=view, run=run.name, evaluation=found.evaluation.id, **query)
    assert_sound(app)
    return app, found


def test_classes_counts_what_the_outcomes_say(example_home):
    app, found = open_images(attack="pgd-20")
    table = found.index.outcomes
    bars, matrix = figures(app)
    for trace, column in zip(bars["data"], ("clean", "pgd-20"), strict=True):
        right = [((table["label"] == k) & (table[column] == k)).sum() / 100 for k in range(10)]
        assert trace["y"] == pytest.approx(right)
    cells = next(trace for trace in matrix["data"] if trace["type"] == "scatter")
    names = found.class_names
    for true, predicted, count, _ in cells["customdata"]:
        wanted = (table["label"] == names.index(true)) & (table["pgd-20"] == names.index(predicted))
        assert count == wanted.sum()


def test_a_cell_shows_as_many_images_as_it_counts(example_home):
    app, found = open_images(attack="pgd-20", true="Coat", predicted="Shirt")
    table = found.index.outcomes
    count = int(((table["label"] == 4) & (table["pgd-20"] == 6)).sum())
    assert f"Coat → Shirt: {count} images" in [as_read(item.value) for item in app.subheader]
    assert len([item for item in app.markdown if item.value.startswith("Image ")]) == 8
    before = int(((table["label"] == 4) & (table["pgd-20"] == 6) & (table["clean"] != 4)).sum())
    assert 0 < before < count
    assert f"The attack turned {count - before}; {before} were taken for another class" in words(app)
    assert re.search("broken by +PGD-20", words(app))
    assert "Images 1 to 8" in words(app)


def walls(app):
    return [item.value for item in app.get("html") if "<figure" in item.value]


CELL = {"attack": "pgd-20", "true": "Coat", "predicted": "Shirt"}
TILE = re.compile(r"<figcaption>Image (\d+)<br>([^<]*)</figcaption>")


def tiles(app):
    return [(int(image), as_read(note)) for wall in walls(app) for image, note in TILE.findall(wall)]


def test_a_wall_is_sorted_by_how_sure_the_model_is_of_attacked_images_alone(example_home):
    app, found = open_images("wall", order="confidence", **CELL)
    table = found.index.outcomes
    rows = np.flatnonzero((table["label"] == 4) & (table["pgd-20"] == 6))
    shown = tiles(app)
    assert {image for image, _ in shown} <= set(table["image"][rows].tolist())
    kept = {image: found.index.stored("pgd-20", image) for image, _ in shown}
    known = [image for image, _ in shown if kept[image] is not None]
    assert known
    assert [image for image, _ in shown][: len(known)] == known
    asked = image_outcomes.probabilities(found, np.stack([kept[image] for image in known])).max(axis=1)
    assert list(asked) == sorted(asked, reverse=True)
    for (image, note), share in zip(shown, asked, strict=False):
        clean = found.class_names[table["clean"][table["image"] == image][0]]
        assert note == f"clean: {clean}; attacked: Shirt {100 * share:.1f} %"
    others = [image for image, note in shown if kept[image] is None]
    assert all("%" not in note for image, note in shown if kept[image] is None)
    assert others
    assert "images: attacked as well, but the adversarial images were not kept" in words(app)
    html = "".join(walls(app))
    assert html.count(": adversarial") == html.count(": change") == len(known)
    assert html.count(": original") == len(shown)


def test_one_address_shows_the_same_whatever_the_server_has_loaded(example_home, monkeypatch):
    seen = []
    for loaded in (False, True):
        monkeypatch.setattr(image_outcomes, "answers_at_once", lambda loaded=loaded: loaded)
        app, _ = open_images("wall", **CELL)
        assert app.query_params["order"] in ("number", ["number"])
        seen.append((walls(app), [item.key for item in app.button], words(app)))
    assert seen[0] == seen[1]
    assert "%" not in "".join(note for _, note in TILE.findall("".join(seen[0][0])))


def test_an_order_that_the_model_was_not_asked_for_says_so_and_asks_at_a_press(example_home, monkeypatch):
    monkeypatch.setattr(image_outcomes, "answers_at_once", lambda: False)
    app, _ = open_images("wall", order="confidence", **CELL)
    assert "By image number: the model has not been asked yet how sure it is" in words(app)
    assert not any("%" in note for _, note in tiles(app))
    app.button(key="ask_wall").click().run()
    assert_sound(app)
    assert any("%" in note for _, note in tiles(app))
    app, _ = open_images("wall", **CELL)
    app.segmented_control(key="classes_order").set_value("confidence").run()  # choosing it is a press
    assert_sound(app)
    assert any("%" in note for _, note in tiles(app))


def test_a_press_on_an_image_of_the_wall_makes_it_larger(example_home):
    app, _ = open_images("wall", **CELL)
    html = "".join(walls(app))
    assert html.count("<details><summary><img") == len(tiles(app))


def test_classes_opens_on_the_reported_weights(example_home):
    for name in ("trades-cfa", "trades"):
        run = method(name)
        app = open_page("classes", run=run.id)
        chosen = next(e for e in evaluated.evaluations(run) if e.id == app.selectbox(key="evaluation").value)
        assert chosen.weights == evaluated.own_weights(run)


def asked(evaluation):
    return [row.attack for row in evaluation.scores]


def test_the_other_run_has_the_same_kind_of_weights_or_a_warning(example_home):
    run = method("trades-cfa")
    of = {e.weights: e.id for e in evaluated.evaluations(run) if asked(e) == ["clean", "pgd-20"]}
    app = open_page("classes", run=run.id, evaluation=of["fawa"], attack="pgd-20", beside=method("trades").id)
    assert "FAWA weights of both." in words(app)
    assert "Different weights" not in words(app)
    app.segmented_control(key="classes_beside_weights").set_value("online").run()
    assert_sound(app)
    (warning,) = [as_read(item.value) for item in app.warning if "Different weights" in item.value]
    assert f"FAWA of {run.name}, Online of {method('trades').name}" in warning


def test_fields_of_classes_are_explained(example_home):
    app, _ = open_images("wall", **CELL)
    assert app.selectbox(key="evaluation").help
    assert "**Logarithm**" in app.segmented_control(key="classes_colours").help


@pytest.mark.parametrize("colours", ["confused", "logarithm", "change"])
def test_a_matrix_can_be_coloured_by_something_else(example_home, colours):
    app, found = open_images(attack="pgd-20", true="Coat", predicted="Shirt")
    app.segmented_control(key="classes_colours").set_value(colours).run()
    assert_sound(app)
    _, matrix = figures(app)
    cells = next(trace for trace in matrix["data"] if trace["type"] == "scatter")
    counted = found.confusion(found.columns[[c.name for c in found.columns].index("pgd-20")])
    assert [row[2] for row in cells["customdata"]] == counted.ravel().tolist()


def test_two_runs_are_counted_on_the_same_images(example_home):
    app = open_page("classes", run=method("trades").name)
    app.selectbox(key="classes_beside").set_value(method("pgd-at").id).run()
    assert_sound(app)
    table = next(frame.value for frame in app.dataframe if "neither" in frame.value)
    groups = [name for name in table if name != "class"]
    assert len(groups) == 4
    assert table[groups].sum(axis=1).nunique() == 1  # every image of a class is in one group
    run, other = method("trades"), method("pgd-at")
    shown = app.selectbox(key="evaluation").value
    found = image_outcomes.outcomes(run, next(e for e in evaluated.evaluations(run) if e.id == shown))
    column = next(one for one in found.columns if one.name == "pgd-20")
    beside = two_runs.the_like(other, found, column)[found.evaluation.weights]
    first, second = found.index.outcomes, beside.found.index.outcomes
    at = {image: place for place, image in enumerate(second["image"])}
    counts = dict.fromkeys(groups, 0)
    for place, image in enumerate(first["image"]):
        if image in at:
            right = first["pgd-20"][place] == first["label"][place]
            other_right = second["pgd-20"][at[image]] == second["label"][at[image]]
            counts[groups[{(1, 0): 0, (0, 1): 1, (0, 0): 2, (1, 1): 3}[int(right), int(other_right)]]] += 1
    assert table[groups].sum().to_dict() == counts


def test_the_boxes_choose_a_cell_as_well(example_home):
    app, _ = open_images(attack="pgd-20")
    app.selectbox(key="classes_true").set_value("Trouser")
    app.selectbox(key="classes_predicted").set_value("Bag").run()
    assert_sound(app)
    assert "Trouser → Bag: 0 images" in [as_read(item.value) for item in app.subheader]
    assert "No image is in this cell." in words(app)
    assert app.query_params["true"] == "Trouser"


def test_images_that_were_not_kept_become_a_job(own_home):
    app, found = open_images(attack="pgd-20", true="Coat", predicted="Shirt")
    (here,) = [item for item in app.button if item.label.startswith("Make these again")]
    here.click().run()
    assert_sound(app)
    (job,) = snapshots.jobs()
    assert (job.kind, job.run_id, job.spec["column"]) == ("reproduce", found.run.id, "pgd-20")
    assert f"({len(job.spec['images'])})" in here.label
    (here,) = [item for item in app.button if item.label.startswith("Make these again")]
    assert here.disabled


def test_images_of_shipped_runs_become_a_job_as_well(dashboard, filled_home, tmp_path):
    dashboard(tmp_path, shipped=filled_home / "runs")
    app, _ = open_images(attack="pgd-20", true="Coat", predicted="Shirt")
    next(item for item in app.button if item.label.startswith("Make these again")).click().run()
    assert_sound(app)
    assert [job.kind for job in snapshots.jobs()] == ["reproduce"]


def test_a_model_is_asked_at_once_or_by_a_press(own_home, monkeypatch):
    def answers(app):
        return [item for item in app.get("html") if "Ankle boot" in item.value or "Coat" in item.value]

    app, _ = open_images(attack="pgd-20", true="Coat", predicted="Shirt")
    assert len(answers(app)) == 8
    monkeypatch.setattr(image_outcomes, "answers_at_once", lambda: False)
    app, _ = open_images(attack="pgd-20", true="Coat", predicted="Shirt")
    assert not answers(app)
    app.button(key="ask_model").click().run()
    assert_sound(app)
    assert len(answers(app)) == 8


def test_evaluations_from_before_have_classes_too(example_home):
    run = method("pgd-at")
    app = open_page("classes", run=run.name)
    assert len(figures(app)) == 2
    assert "The adversarial images were not kept; the originals are shown." in words(app)
    assert "this evaluation did not record in which batches they were attacked" in words(app)
    assert "Evaluate again" in [link.label for link in app.get("page_link")]


@pytest.mark.parametrize("file", ["outcomes.parquet", "adversarial.safetensors", "batches.parquet"])
def test_a_damaged_evaluation_is_one_sentence(own_home, file):
    run = method("trades-cfa")
    found = example_of(run, "images")
    (run.folder.path / "evaluations" / found.id / file).write_bytes(b"nothing")
    app = start()
    app.switch_page("views/classes.py")
    app.query_params.update({"run": run.name, "evaluation": found.id})
    app.run()
    assert not app.exception
    assert "evaluate again" in errors(app)[0]


def test_a_hundred_classes_keep_names_and_numbers(example_home):
    app = open_page("classes", run="hundred-classes")
    bars, matrix = figures(app)
    assert len(bars["data"][0]["x"]) == 20
    assert "The 20 hardest of 100 classes" in words(app)
    assert len(matrix["data"][0]["z"]) == 100
    assert "The images cannot be shown" in words(app)
