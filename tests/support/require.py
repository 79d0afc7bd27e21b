"""What only some machines have: without it a test is skipped, or fails where it was promised."""

import os

import pytest


def require(name: str, found: object, reason: str) -> None:
    """Skip the test where something is missing; fail it where ``CFA_REQUIRE`` names that thing.

    Args:
        name: What is needed, as ``CFA_REQUIRE`` (names separated by commas) calls it: ``browser``.
        found: Whether it is there.
        reason: Why it is not, and what to install.
    """
    if found:
        return
    if name in {word.strip() for word in os.environ.get("CFA_REQUIRE", "").split(",")}:
        pytest.fail(f"CFA_REQUIRE asks for {name}, but {reason}", pytrace=False)
    pytest.skip(reason)
