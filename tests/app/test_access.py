"""Who may start: by an address that the provider verified, or by the name that it gave."""

import pytest

from app.access import is_named

PATTERNS = ["ana@example.org", "*@lab.example.org", "service-7"]
OURS = "eve@lab.example.org"


@pytest.mark.parametrize(
    ("claims", "may_start"),
    [
        ({"email": OURS, "email_verified": True}, True),
        ({"email": OURS.upper(), "email_verified": True}, True),
        ({"email": OURS, "email_verified": "true"}, True),
        ({"email": "ana@example.org", "email_verified": True}, True),
        ({"sub": "service-7"}, True),
        ({"email": OURS, "email_verified": False}, False),
        ({"email": OURS, "email_verified": "false"}, False),
        ({"email": OURS, "email_verified": 0}, False),
        ({"email": OURS, "email_verified": 1}, False),
        ({"email": OURS, "email_verified": "no"}, False),
        ({"email": OURS, "email_verified": None}, False),
        ({"email": OURS}, False),
        ({"sub": OURS}, False),
        ({"sub": OURS, "email_verified": True}, False),
        ({"email": "eve@evil.org@lab.example.org", "email_verified": True}, False),
        ({"email": "eve@evil.org \n@lab.example.org", "email_verified": True}, False),
        ({"email": [OURS], "email_verified": True}, False),
        ({"email": "ben@example.org", "email_verified": True}, False),
        ({"email": "service-7", "email_verified": True}, False),
        ({"sub": "service-77"}, False),
        ({}, False),
    ],
)
def test_only_verified_addresses_and_given_names_count(claims: dict, may_start: bool) -> None:
    assert is_named(claims, PATTERNS, provider_verifies=False) is may_start


@pytest.mark.parametrize(
    ("claims", "may_start"),
    [
        ({"email": OURS}, True),
        ({"email": OURS, "email_verified": None}, True),
        ({"email": OURS, "email_verified": False}, False),
        ({"email": OURS, "email_verified": "false"}, False),
        ({"sub": OURS}, False),
    ],
)
def test_a_provider_that_never_says_so_may_be_trusted(claims: dict, may_start: bool) -> None:
    assert is_named(claims, PATTERNS, provider_verifies=True) is may_start
