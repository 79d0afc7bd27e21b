"""Runs that belong together: trained alike but for their methods, so that a comparison is about these."""

from collections.abc import Sequence

from app.engine.snapshots import Run
from app.process.rights import looks
from cfa.methods import METHODS

MOST_METHODS = 8


@looks
def newest_together(runs: Sequence[Run]) -> list[Run]:
    """Choose the newest group of runs that were trained alike and hold two methods or more, with all seeds.

    Of each method the newest of its experiments that have most seeds; of runs that repeat a seed the newest.

    Args:
        runs: Those to choose from, newest first.

    Returns:
        Method by method, those that others are compared with first; of the newest group of all where none has
        two methods.
    """
    groups: dict[object, list[Run]] = {}
    for run in runs:
        groups.setdefault((run.protocol, *((run.id,) if run.is_external else ())), []).append(run)
    several = [group for group in groups.values() if len({run.method for run in group}) > 1]
    chosen = next(iter([*several, *groups.values()]), [])
    by_method: dict[str, dict[str, list[Run]]] = {}
    for run in chosen:
        seeds = by_method.setdefault(run.method, {}).setdefault(run.experiment, [])
        if run.seed not in {other.seed for other in seeds}:
            seeds.append(run)
    order = [*METHODS]
    ranked = sorted(by_method, key=lambda method: order.index(method) if method in order else len(order))
    best = [max(by_method[method].values(), key=len) for method in ranked[:MOST_METHODS]]
    return [run for seeds in best for run in sorted(seeds, key=lambda one: one.seed)]
