"""What methods are for, and with which budget they train hard classes: long lists are sorted by it."""

import pytest

from cfa.methods import KINDS, METHODS, kind_of, kind_of_title

# Of every family those that the comparison of all class-wise methods names.
FAMILIES = {
    "baseline": ("pgd-at", "trades", "fat", "mart", "trades-awp", "pgd-at-awp", "hat", "lbgat", "ikl"),
    "calibrated": (
        "pgd-at-cfa",
        "trades-ccm",
        "trades-ccr",
        "trades-cfa",
        "fat-cfa",
        "fair-tat",
        "dafa",
        "frl",
    ),
    "re-weighted": ("wat", "cfol", "pgd-at-dafa", "bat", "faal", "faal-awp", "csr", "csr-scratch", "fat-var"),
    "distilled": ("ard", "fair-ard", "rslad", "fair-rslad", "absld"),
    "long-tailed": ("at-bsl", "robust-lt", "reat", "robal", "taet", "taet-robust-lt", "cgr", "trades-cgr"),
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_methods_are_of_their_family(kind: str) -> None:
    assert {name: kind_of(name) for name in FAMILIES[kind]} == dict.fromkeys(FAMILIES[kind], kind)


def test_every_method_has_a_family_and_nobody_elses_has() -> None:
    assert {kind_of(name) for name in METHODS} == set(KINDS)
    assert kind_of("my_lab.methods:careful") is None


def test_hard_classes_get_the_budget_that_a_method_gives_them() -> None:
    smaller = {name for name, method in METHODS.items() if method.hard_eps == "smaller"}
    larger = {name for name, method in METHODS.items() if method.hard_eps == "larger"}
    assert smaller == {"pgd-at-cfa", "at-bsl-cfa", "fat-cfa", "trades-ccm", "trades-cfa", "fair-tat"}
    assert {name for name in METHODS if "robust-lt" in name or "cgr" in name} | {"dafa", "frl"} == larger


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("AT + CFA", "calibrated"),
        ("TRADES + DAFA", "calibrated"),
        ("AT to FAAL_AT-AWP", "re-weighted"),
        ("TRADES + EMA", "baseline"),
        ("IKL (Cui et al. 2023)", "baseline"),
        ("Fair-ARD", "distilled"),
        ("TRADES + spectral", None),
        ("Rice et al. 2020", None),
    ],
)
def test_published_names_say_their_family_where_every_word_is_known(title: str, kind: str | None) -> None:
    assert kind_of_title(title) == kind
