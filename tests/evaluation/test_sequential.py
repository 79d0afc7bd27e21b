"""Evaluations that stop when it is certain: outcomes of a full one, in any order, however interrupted."""

import dataclasses

import numpy as np
import pytest

from cfa.data import Dataset
from cfa.errors import ConfigError
from cfa.evaluation import EvaluationPlan, EvaluationRequest, evaluate_until, evaluate_weights, sanity_plan
from cfa.evaluation.draws import permutation
from cfa.progress import Stopped
from cfa.runs.evaluations import parts_folder, read_evaluations, read_outcomes
from cfa.runs.folder import RunFolder
from cfa.runs.sequential import SequentialEvaluation, read_sequential
from cfa.statistics import Targets
from tests.support.tiny import CPU, Stopper, tiny_config, tiny_dataset, trained

PLAN = EvaluationPlan(attacks=("pgd-3", "pgd-3-best-r2", "noise"), eps=16 / 255, batch_size=50, seed=3)
SIZES = (150, 60, 90, 200)
DATA = tiny_dataset(test=SIZES)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("home"), tiny_config("pgd-at", train__epochs=2), DATA)


@pytest.fixture(scope="module")
def whole(run: RunFolder) -> dict[str, np.ndarray]:
    """What becomes of every image when all are attacked."""
    made = evaluate_weights(run, "online", "best", PLAN, DATA, CPU, Stopper())
    return read_outcomes(run, made.id)


def until(
    run: RunFolder,
    text: str,
    plan: EvaluationPlan = PLAN,
    observer: Stopper | None = None,
    evaluation_id: str | None = None,
    data: Dataset = DATA,
) -> SequentialEvaluation:
    targets = EvaluationRequest(until=text).targets()
    assert targets is not None
    return evaluate_until(
        run, "online", "best", plan, targets, data, CPU, observer or Stopper(), evaluation_id=evaluation_id
    )


@pytest.mark.parametrize("text", ["0.1", "mean=0.1", "which", "worst=0.12, mean=0.12, which"])
def test_what_it_says_is_what_a_full_evaluation_finds(
    run: RunFolder, whole: dict[str, np.ndarray], text: str
) -> None:
    made = until(run, text)
    found = read_outcomes(run, made.id)
    rows = np.searchsorted(whole["image"], found["image"])
    for column in ("clean", "label", *(one.column for one in made.reached)):
        assert np.array_equal(found[column], whole[column][rows]), column  # in whatever order and batch
    assert made.sizes == SIZES
    for one in made.reached:
        truths = [float((whole[one.column][whole["label"] == k] == k).mean()) for k in range(len(SIZES))]
        assert all(low <= truth <= high for (low, high), truth in zip(one.classes, truths, strict=True))
        assert one.worst[0] <= min(truths) <= one.worst[1]
        assert (one.mean is not None) == ("mean" in text)
        if one.mean is not None:
            assert one.mean[0] <= np.mean(truths) <= one.mean[1]
            assert one.mean[1] - one.mean[0] <= 0.24 + 1e-9
        if "which" in text:
            assert truths[one.candidates[0]] == min(truths)
    assert sum(made.counted.scores[0].total) == len(found["image"]) < sum(SIZES)


def test_the_images_of_a_class_are_the_first_ones_of_its_seeded_order(run: RunFolder) -> None:
    made = until(run, "0.1")
    found = read_outcomes(run, made.id)
    for k, size in enumerate(SIZES):
        members = np.flatnonzero(DATA.test_labels.numpy() == k)
        ours = found["label"] == k
        order = members[permutation(3, k, size)]
        drawn = int(ours.sum())
        assert sorted(found["drawn"][ours]) == list(range(drawn))
        assert found["image"][ours][np.argsort(found["drawn"][ours])].tolist() == order[:drawn].tolist()
        assert made.counted.scores[0].total[k] == drawn


def test_an_order_is_the_same_for_ever_and_another_one_for_another_class() -> None:
    # PCG64's stream is guaranteed by NumPy; what is made of it here is ours.
    raw = np.random.Generator(np.random.PCG64([5, 2])).bit_generator.random_raw(6)
    assert permutation(5, 2, 6).tolist() == sorted(range(6), key=lambda place: raw[place])
    orders = {tuple(permutation(seed, of, 50)) for seed in range(3) for of in range(3)}
    assert len(orders) == 9
    assert all(sorted(order) == list(range(50)) for order in orders)


@pytest.mark.parametrize("after", [3, 40, 80])
def test_stopped_anywhere_it_goes_on_to_the_same_end(run: RunFolder, after: int) -> None:
    straight = until(run, "worst=0.1,mean=0.15")
    evaluation_id = f"stopped-{after}"
    with pytest.raises(Stopped):
        until(run, "worst=0.1,mean=0.15", observer=Stopper(after), evaluation_id=evaluation_id)
    assert evaluation_id not in {one.id for one in (*read_sequential(run), *read_evaluations(run))}
    watched = Stopper()
    again = until(run, "worst=0.1,mean=0.15", observer=watched, evaluation_id=evaluation_id)
    assert not parts_folder(run, evaluation_id).exists()
    remembered = [line for line in watched.lines if line.endswith(" remembered")]
    assert remembered
    assert after == 3 or not remembered[-1].endswith(", 0 remembered")
    one, other = (dataclasses.replace(made.counted, id="", created="") for made in (straight, again))
    assert one == other
    assert straight.reached == again.reached
    left, right = read_outcomes(run, straight.id), read_outcomes(run, again.id)
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_who_watches_hears_what_is_known_and_what_is_not(run: RunFolder) -> None:
    watched = Stopper()
    until(run, "worst=0.1", EvaluationPlan(attacks=("pgd-3",), eps=16 / 255), watched)
    told = [report.phase for report in watched.reports]
    assert any("of 500 images, worst " in phase and "undecided: worst" in phase for phase in told)
    assert all(report.done <= report.total for report in watched.reports)


def test_a_limit_makes_the_classes_smaller(run: RunFolder) -> None:
    made = until(run, "which", dataclasses.replace(PLAN, limit=120))
    assert made.sizes == (30, 30, 30, 30)


def test_clean_images_alone_and_a_class_that_is_always_wrong(run: RunFolder) -> None:
    images, label = DATA.test_images.clone(), DATA.test_labels
    images[label == 3] = images[label == 0][:1]  # what is called the last class looks like the first
    data = dataclasses.replace(DATA, test_images=images)
    made = until(run, "which", EvaluationPlan(attacks=("clean",)), data=data)
    (reached,) = made.reached
    assert (reached.column, reached.candidates, reached.tied) == ("clean", (3,), False)
    assert made.counted.scores[0].correct[3] == 0
    assert reached.worst[0] == 0


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (EvaluationPlan(attacks=("pgd-3",), eps_sweep=(2 / 255, 4 / 255)), "a sweep has several budgets"),
        (sanity_plan(8 / 255, "linf"), "the sanity checklist compares attacks on the same images"),
    ],
)
def test_plans_that_make_no_sense_on_some_images_are_refused(
    run: RunFolder, plan: EvaluationPlan, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        until(run, "0.03", plan)


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("0.03", Targets(worst=0.03)),
        ("worst=0.03,mean=1/50", Targets(worst=0.03, mean=0.02)),
        ("which", Targets(which=True)),
        ("mean = 0.05 which", Targets(mean=0.05, which=True)),
    ],
)
def test_targets_as_typed(text: str, targets: Targets) -> None:
    assert EvaluationRequest(until=text).targets("--") == targets
    assert EvaluationRequest(until=str(targets)).targets("--") == targets
    assert EvaluationRequest().targets() is None


@pytest.mark.parametrize(
    "text", ["", "best=0.03", "worst", "which=0.1", "worst=a", "0.03,worst=0.02", "0.7", "0"]
)
def test_what_is_no_target_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--until .*(write 0\.03|take 0\.03|name worst)"):
        EvaluationRequest(until=text).targets("--")
