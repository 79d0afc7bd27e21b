"""The registry: order, manners, and a user's own code by its import name (`tests/test_trust.py`: whose)."""

import pytest

from cfa.errors import CfaError, ConfigError, UnknownName
from cfa.registry import Registry, instance_of
from cfa.trust import allowing

PEAR = "a pear"


@pytest.fixture
def fruits() -> Registry[str]:
    registry: Registry[str] = Registry("fruit", instance_of(str, "name a text"))
    for name in ("cherry", "apple", "banana"):
        registry.register(name, name.upper())
    return registry


def test_it_is_a_mapping_in_the_order_of_registration(fruits: Registry[str]) -> None:
    assert list(fruits) == ["cherry", "apple", "banana"]
    assert len(fruits) == 3
    assert dict(fruits) == {"cherry": "CHERRY", "apple": "APPLE", "banana": "BANANA"}
    assert "apple" in fruits
    assert "math:pi" not in fruits


def test_a_name_is_given_once(fruits: Registry[str]) -> None:
    with pytest.raises(ValueError, match="fruit 'apple' is registered twice"):
        fruits.register("apple", "again")
    assert fruits["apple"] == "APPLE"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("aple", "unknown fruit 'aple'; did you mean 'apple'?"),
        ("zzz", "unknown fruit 'zzz'; choose from cherry, apple, banana"),
        ("", "unknown fruit ''; choose from cherry, apple, banana"),
    ],
)
def test_an_unknown_name_gets_the_nearest_choices(fruits: Registry[str], name: str, hint: str) -> None:
    with pytest.raises(UnknownName) as caught:
        fruits[name]
    assert str(caught.value) == hint
    assert isinstance(caught.value, CfaError)
    assert isinstance(caught.value, LookupError)


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(UnknownName, match="unknown star 'sun'; there is none yet"):
        Registry[str]("star")["sun"]


def test_a_users_own_code_is_imported_by_its_name(fruits: Registry[str]) -> None:
    with allowing(["tests.test_registry:PEAR", "tests.test_registry:fruits"]):
        assert fruits["tests.test_registry:PEAR"] == PEAR
        with pytest.raises(
            ConfigError, match=r"'tests.test_registry:fruits' is .* and not a str; name a text"
        ):
            fruits["tests.test_registry:fruits"]


def test_a_registry_that_takes_no_code_knows_no_import_name() -> None:
    with allowing(["tests.test_registry:PEAR"]), pytest.raises(UnknownName, match="unknown star"):
        Registry[str]("star")["tests.test_registry:PEAR"]


@pytest.mark.parametrize(
    "name",
    [
        "no_such_module:x",
        "tests.test_registry:no_such_name",
        "tests.no:x",
        ":x",
        "math:",
        ".relative:x",
        "..:x",
        "a b:c",
    ],
)
def test_what_cannot_be_imported_is_explained(fruits: Registry[str], name: str) -> None:
    with allowing([name]), pytest.raises(UnknownName) as caught:
        fruits[name]
    assert f"cannot import fruit {name!r}" in str(caught.value)
    assert "write package.module:name" in str(caught.value)


def test_a_scheme_answers_for_every_name_that_begins_with_it(fruits: Registry[str]) -> None:
    fruits.register_scheme("folder", lambda rest: f"dried {rest}")
    assert fruits["folder:plum"] == "dried plum"
    assert fruits["folder:a:b"] == "dried a:b"
    assert fruits["folder:"] == "dried "
    assert list(fruits) == ["cherry", "apple", "banana"]
    assert "folder:plum" not in fruits
    with pytest.raises(UnknownName, match="unknown fruit 'folder'"):
        fruits["folder"]
    with pytest.raises(ValueError, match="scheme 'folder' is registered twice"):
        fruits.register_scheme("folder", str.upper)
    with pytest.raises(ValueError, match="scheme 'dried' is not in"):
        fruits.register_scheme("dried", str.upper)


def test_a_registered_name_comes_before_its_scheme(fruits: Registry[str]) -> None:
    fruits.register_scheme("folder", str.upper)
    fruits.register("folder:fig", "a fig")
    assert fruits["folder:fig"] == "a fig"
    assert fruits["folder:date"] == "DATE"
