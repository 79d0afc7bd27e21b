"""Floors of dependencies: all have one, none admits a known hole, and what was tested together fits them."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = DECLARED["optional-dependencies"]
RUN = [Requirement(text) for text in (*DECLARED["dependencies"], *EXTRAS["login"], *EXTRAS["tensorboard"])]

HOLES = {  # the last version with a known one in what we use of it, and its number
    "torch": ("2.9.1", "CVE-2026-24747: weights_only=True"),
    "pillow": ("12.2.0", "CVE-2026-25990, CVE-2026-40192, CVE-2026-55379: images"),
    "filelock": ("3.20.2", "CVE-2025-68146, CVE-2026-22701: links"),
    "authlib": ("1.6.11", "CVE-2026-27962, CVE-2026-41425, CVE-2026-44681: logins"),
}


@pytest.mark.parametrize("requirement", RUN, ids=str)
def test_every_dependency_has_a_floor(requirement: Requirement) -> None:
    assert re.search(r">=\d", str(requirement.specifier))


@pytest.mark.parametrize("name", HOLES)
def test_no_floor_admits_a_known_hole(name: str) -> None:
    last, _ = HOLES[name]
    test = [Requirement(text) for text in EXTRAS["test"]]
    found = [requirement for requirement in [*RUN, *test] if canonicalize_name(requirement.name) == name]
    assert found
    assert not any(requirement.specifier.contains(last) for requirement in found)


def test_what_was_tested_together_fits_what_is_asked_for() -> None:
    lines = (PROJECT / "scripts" / "tested-together.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    for requirement in [*RUN, *map(Requirement, EXTRAS["test"])]:
        found = tested[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(found), requirement
        assert requirement.specifier.contains(version(requirement.name)), requirement
