"""Where jobs go that are moved, and what waits for what."""

import pytest

from cfa.jobs.order import Direction, moved, with_what_waits
from tests.jobs.test_forecast import job_of


@pytest.mark.parametrize(
    ("chosen", "direction", "order"),
    [
        ("c", "up", "acbd"),
        ("c", "down", "abdc"),
        ("c", "top", "cabd"),
        ("b", "bottom", "acdb"),
        ("a", "up", "abcd"),
        ("d", "down", "abcd"),
        ("ab", "up", "abcd"),  # at the end already, and in their order
        ("cd", "up", "acdb"),
        ("bd", "up", "badc"),
        ("ab", "down", "cabd"),
        ("db", "top", "bdac"),
        ("x", "up", "abcd"),
    ],
)
def test_moving(chosen: str, direction: Direction, order: str):
    assert "".join(moved("abcd", chosen, direction)) == order


@pytest.mark.parametrize(
    ("after", "chosen", "order"),
    [
        ({"a": "", "b": "a", "c": "b", "d": ""}, "a", "cba"),
        ({"a": "", "b": "a", "c": "ab", "d": "c"}, "b", "dcb"),
        ({"a": "", "b": ""}, "ab", "ab"),
        ({"a": "b", "b": "a"}, "a", "ab"),  # nobody could ever do them: both go
        ({"a": ""}, "", ""),
    ],
)
def test_a_chain_is_cancelled_from_its_end(after: dict[str, str], chosen: str, order: str):
    jobs = [job_of("queued", job_id=name, after=tuple(earlier)) for name, earlier in after.items()]
    assert "".join(job.id for job in with_what_waits(jobs, chosen)) == order
