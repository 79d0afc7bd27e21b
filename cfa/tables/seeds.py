"""Several seeds of one experiment as one figure: each seed once, all measured on as many images."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from cfa.runs.folder import RunFolder
from cfa.tables.frames import LEADING_COLUMNS

_SERIES = ["experiment", "dataset", "weights", "checkpoint", "split", "attack", "norm", "eps"]


@dataclass(frozen=True, eq=False)
class DistinctSeeds:
    """What may be averaged over seeds.

    Attributes:
        kept: Rows of a summary, one per experiment, weights, attack and seed.
        left_out: Sentences about the other rows, each naming its run.
    """

    kept: pd.DataFrame
    left_out: tuple[str, ...]

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Keep what a table (per class, of metrics) says about the kept rows."""
        known = pd.MultiIndex.from_frame(self.kept[LEADING_COLUMNS])
        return frame[pd.MultiIndex.from_frame(frame[LEADING_COLUMNS]).isin(known)]


def common_weights(runs: Iterable[RunFolder], automatic: Callable[[RunFolder], str]) -> str:
    """Say which kind of weights the seeds of an experiment are reported with: online where they do not agree.

    The gate of one seed may never open. Its FAWA weights do not exist, and to leave that seed out would be to
    choose among seeds.

    Args:
        runs: The seeds.
        automatic: The kind of weights that a run is reported with.
    """
    kinds = {automatic(run) for run in runs}
    return kinds.pop() if len(kinds) == 1 else "online"


def distinct_seeds(summary: pd.DataFrame, experiments: Mapping[str, str]) -> DistinctSeeds:
    """Keep one run a seed, all of the size on which most seeds of their experiment were measured.

    Two runs of one experiment and seed are one seed: the first of them counts. Where seeds were measured on
    different numbers of images, the number that most have counts, the larger of equals.

    Args:
        summary: Columns `frames.SUMMARY_COLUMNS`.
        experiments: By run id, what is equal for runs that differ only in their seed.
    """
    named = summary.assign(experiment=summary["run_id"].map(dict(experiments)))
    kept, said = [], dict[str, None]()
    for _, rows in named.groupby(_SERIES, sort=False, dropna=False):
        seeds = rows.groupby("total")["seed"].nunique()
        size = max(seeds.index, key=lambda total: (seeds[total], total))
        alike = rows[rows["total"] == size]
        first = alike.drop_duplicates("seed")
        kept += first.index.to_list()
        said |= dict.fromkeys(_other_sizes(rows[rows["total"] != size], int(size)))
        said |= dict.fromkeys(_repeated(alike.drop(first.index), first))
    return DistinctSeeds(summary.loc[sorted(kept)], tuple(said))


def _other_sizes(rows: pd.DataFrame, size: int) -> list[str]:
    return [
        f"{name}: {attack} on {total:,} images is not averaged with other seeds, which have {size:,}"
        for name, attack, total in rows[["run_name", "attack", "total"]].itertuples(index=False, name=None)
    ]


def _repeated(rows: pd.DataFrame, first: pd.DataFrame) -> list[str]:
    names = dict(zip(first["seed"], first["run_name"], strict=True))
    return [
        f"{name} has the seed {seed} of {names[seed]} and the same settings: they count as one seed"
        for name, seed in rows[["run_name", "seed"]].itertuples(index=False, name=None)
    ]
