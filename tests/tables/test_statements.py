"""Sentences about methods, from several seeds of each, against scipy's Welch test."""

import re

import pytest
from scipy import stats

from cfa.evaluation import default_weights
from cfa.methods import configure
from cfa.runs.store import Store
from cfa.tables.frames import per_class_frame, summary_frame
from cfa.tables.statements import statements
from tests.app.example_store import FASHION, finished_run


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    store = Store.open(tmp_path_factory.mktemp("home"), shipped=None)
    made = {}
    for method in ("trades", "trades-cfa"):
        configs = [
            configure(method, "fashion-mnist-mini", seed=seed, overrides={"train.epochs": 6})
            for seed in range(3)
        ]
        made[method] = [finished_run(store, config, FASHION) for config in configs]
    return made["trades"], made["trades-cfa"]


def accuracies(side, weights: str, column: str) -> list[float]:
    summary = summary_frame(per_class_frame(side))
    chosen = (summary["weights"] == weights) & (summary["attack"] == "pgd-20")
    return summary[chosen][column].tolist()


@pytest.mark.parametrize(
    ("said", "of_base", "of_other"),
    [
        ("online weights of both", "online", "online"),
        ("EMA weights of both", "ema", "ema"),
        ("FAWA weights of both", "fawa", "fawa"),
        ("FAWA weights, against online", "online", "fawa"),
    ],
)
def test_seeds_make_a_statement_about_methods(sides, said, of_base, of_other):
    found = [
        s for s in statements(*sides, default_weights) if (s.weights, s.heading.attack) == (said, "pgd-20")
    ]
    assert [s.basis for s in found] == ["3 and 3 seeds, Welch's t"]
    for title, column in (("mean", "mean_accuracy"), ("worst class", "worst_accuracy")):
        base, other = accuracies(sides[0], of_base, column), accuracies(sides[1], of_other, column)
        interval = stats.ttest_ind(other, base, equal_var=False).confidence_interval(0.95)
        numbers = re.search(rf"{title} (\S+) \[(\S+), (\S+)\]", found[0].words.replace("−", "-"))
        expected = [sum(other) / 3 - sum(base) / 3, *interval]
        assert [float(text) for text in numbers.groups()] == pytest.approx(
            [100 * v for v in expected], abs=0.051
        )


def test_one_run_against_seeds_says_nothing(sides):
    assert statements(sides[0], sides[1][:1], default_weights) == []


def test_seeds_of_which_one_gate_never_opened_say_the_same_in_every_order(sides):
    """Not all seeds have weights of their method's own: online ones are compared, whoever comes first."""
    base, others = sides

    def automatic(run):
        return "fawa" if run.config.method == "trades-cfa" and run.config.seed != 2 else "online"

    found = [statements(base, order, automatic) for order in (others, others[::-1])]
    for said in found:
        assert "FAWA weights, against online" not in {one.weights for one in said}
        assert "online weights of both" in {one.weights for one in said}
    assert {(one.weights, one.heading, one.words) for one in found[0]} == {
        (one.weights, one.heading, one.words) for one in found[1]
    }
