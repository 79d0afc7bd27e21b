"""Places of results: compared with scipy's own test and statsmodels' own Holm."""

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from cfa.tables.places import places


def of(groups):
    return places(
        [np.mean(each) for each in groups],
        [np.std(each, ddof=1) if len(each) > 1 else np.nan for each in groups],
        [len(each) for each in groups],
    )


def test_places_are_what_holm_over_welchs_tests_leaves_open():
    random = np.random.default_rng(3)
    means = (0.4, 0.41, 0.3, 0.29, 0.2)
    groups = [
        random.normal(mean, 0.008, size=count) for mean, count in zip(means, (3, 4, 5, 3, 6), strict=True)
    ]
    pairs = list(itertools.combinations(range(5), 2))
    p_values = [stats.ttest_ind(groups[a], groups[b], equal_var=False).pvalue for a, b in pairs]
    rejected = multipletests(p_values, alpha=0.05, method="holm")[0]
    above = np.zeros((5, 5), dtype=bool)
    for (a, b), certain in zip(pairs, rejected, strict=True):
        high, low = (a, b) if groups[a].mean() > groups[b].mean() else (b, a)
        above[high, low] = certain
    found = of(groups)
    assert 0 < found.certain == rejected.sum() < len(pairs)
    assert found.first.tolist() == (1 + above.sum(axis=0)).tolist()
    assert found.last.tolist() == (5 - above.sum(axis=1)).tolist()


@pytest.mark.parametrize(
    ("groups", "ends"),
    [
        ([[0.3, 0.31, 0.32], [0.29, 0.31, 0.33]], [(1, 2), (1, 2)]),  # nobody can tell
        ([[0.5, 0.51, 0.52], [0.1, 0.11, 0.12]], [(1, 1), (2, 2)]),
        ([[0.5, 0.51, 0.52], [0.9], [0.1, 0.11, 0.12]], [(1, 1), (0, 0), (2, 2)]),  # one seed has no place
        ([[0.5, 0.5], [0.4, 0.41]], [(0, 0), (1, 1)]),  # seeds that do not differ: the spread is not known
        ([[0.5]], [(0, 0)]),
    ],
)
def test_only_what_several_seeds_tell_apart_has_a_place_of_its_own(groups, ends):
    found = of(groups)
    assert list(zip(found.first.tolist(), found.last.tolist(), strict=True)) == ends
    assert found.placed == sum(first > 0 for first, _ in ends)


def test_results_without_a_value_or_number_of_seeds_have_no_place():
    found = places([0.5, np.nan, 0.4], [0.01, 0.01, np.nan], [3, 3, np.nan])
    assert found.first.tolist() == [1, 0, 0]
