"""The order of the queue: where jobs go that are moved, and which of them wait for others."""

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from cfa.jobs.job import Job

Direction = Literal["up", "down", "top", "bottom"]


def moved(order: Sequence[str], chosen: Collection[str], direction: Direction) -> list[str]:
    """Move some of the ids in a list, by one place or to an end; among themselves they keep their order."""
    ahead = [each for each in order if each in chosen]
    behind = [each for each in order if each not in chosen]
    if direction == "top":
        return ahead + behind
    if direction == "bottom":
        return behind + ahead
    found = list(order) if direction == "up" else list(reversed(order))
    for place in range(1, len(found)):
        if found[place] in chosen and found[place - 1] not in chosen:
            found[place - 1], found[place] = found[place], found[place - 1]
    return found if direction == "up" else list(reversed(found))


def with_what_waits(jobs: Iterable[Job], job_ids: Collection[str]) -> list[Job]:
    """Return jobs and all that wait for them, in the order in which they can be cancelled: the last first."""
    jobs = list(jobs)
    chosen = set(job_ids)
    while more := {job.id for job in jobs if chosen.intersection(job.after)} - chosen:
        chosen |= more
    in_order = list[Job]()
    left = [job for job in jobs if job.id in chosen]
    while left:
        waited_for = {earlier for job in left for earlier in job.after}
        free = [job for job in left if job.id not in waited_for] or left  # two that wait for each other
        in_order += free
        left = [job for job in left if job not in free]
    return in_order
