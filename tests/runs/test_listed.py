"""Runs are found by name and by tag, each once and in the order in which they were asked for."""

import pytest

from cfa.errors import ConfigError
from cfa.runs.listed import named_or_tagged
from cfa.runs.store import Store
from tests.support.resumed import make_run


@pytest.mark.parametrize(
    ("names", "tags", "found"),
    [
        (["b", "a"], [], ["b", "a"]),
        (["a", "a"], [], ["a"]),
        ([], ["x"], ["a", "b"]),
        (["b"], ["x"], ["b", "a"]),
        ([], ["x", "y"], ["a", "b", "c"]),
    ],
)
def test_runs_are_found_by_name_and_by_tag(
    store: Store, names: list[str], tags: list[str], found: list[str]
) -> None:
    for name, own in (("a", ("x",)), ("b", ("x", "y")), ("c", ("y",)), ("d", ())):
        run = make_run(store, name)
        store.relabel(run, run.label.__class__(name, own, ""))
    assert [run.name for run in named_or_tagged(store, names, tags)] == found


@pytest.mark.parametrize(("tags", "said"), [([], "no run is named"), (["z"], "no run has the tag 'z'")])
def test_none_at_all_is_a_sentence(store: Store, tags: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        named_or_tagged(store, [], tags)
