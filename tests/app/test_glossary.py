"""The `?` beside a title explains the terms that stand there, and no others."""

import pytest

from app.glossary import TERMS, explained


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("Worst class with online, EMA and FAWA weights", ["Worst class", "Online weights", "EMA", "FAWA"]),
        ("PGD-20, 15/255. Whiskers: 95 % Wilson intervals.", ["PGD-n", "Wilson interval"]),
        ("Class × epoch", []),
        ("Best of all worlds, gateway, stepsize, meaning", []),
        ("AutoAttack on clean images", ["Clean", "AutoAttack"]),
        ("", []),
    ],
)
def test_terms_are_found_by_whole_words(said, names):
    found = explained(said)
    assert [
        line.partition("**:")[0].removeprefix("**") for line in (found or "").split("\n\n") if line
    ] == names
    assert (found is None) == (not names)


def test_every_term_explains_itself_in_one_sentence():
    for term in TERMS:
        assert term.means.endswith(".")
        assert term.means.count(". ") == 0
        assert "\n" not in term.means
