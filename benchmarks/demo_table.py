"""Print README's table and statements from the runs that ship in checkpoints/demo: six methods, three seeds.

python benchmarks/demo_table.py

Every figure is of all 10,000 test images; README has these very lines (a test compares them).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cfa.methods import METHODS, display_name
from cfa.runs.folder import RunFolder
from cfa.runs.store import SHIPPED_RUNS
from cfa.statistics import SeedFigures
from cfa.tables.comparison import in_points
from cfa.tables.frames import per_class_frame, summary_frame

IMAGES, SEEDS = 10_000, [0, 1, 2]
KINDS = ("online", "ema", "fawa")
HEADINGS = (
    *("Weights", "Clean, mean", "Clean, worst", "PGD-20, mean"),
    *("PGD-20, worst (range over seeds)", "Worst is"),
)
PAIRS = (("pgd-at-cfa", "pgd-at"), ("trades-cfa", "trades"), ("fat-cfa", "fat"))
SIDES = (*((kind, kind) for kind in KINDS), ("fawa", "online"))  # weights of CFA's run, of the baseline's


def main() -> None:
    """Write the table, an empty line, and the statements as a list."""
    demo = Demo.read()
    print("\n".join(demo.table()), "", *(f"- {line}" for line in demo.statements()), sep="\n")


@dataclass(frozen=True)
class Demo:
    """What the shipped runs come to.

    Attributes:
        summary: A row per run, weights and attack.
    """

    summary: pd.DataFrame

    @classmethod
    def read(cls) -> "Demo":
        """Read the shipped runs."""
        runs = [RunFolder(path, read_only=True) for path in sorted(SHIPPED_RUNS.iterdir())]
        return cls(summary_frame(per_class_frame(runs)))

    def figures(self, method: str, weights: str, attack: str, measure: str) -> np.ndarray:
        """Return a fraction of seeds 0, 1 and 2: ``mean`` over classes or ``worst`` class, on all images."""
        return self._rows(method, weights, attack)[f"{measure}_accuracy"].to_numpy()

    def difference(
        self, method: str, baseline: str, sides: tuple[str, str], attack: str, measure: str
    ) -> tuple[float, tuple[float, float]]:
        """Return a figure of one method minus that of another, with Welch's interval over seeds."""
        new, old = (
            self.figures(name, weights, attack, measure)
            for name, weights in zip((method, baseline), sides, strict=True)
        )
        found = SeedFigures.of(new[:, None], SEEDS, old[:, None], SEEDS)
        value, (interval,) = float(found.difference[0]), found.interval()
        if interval is None:
            raise ValueError(f"the seeds of {method} or {baseline} do not differ")
        return value, interval

    def _rows(self, method: str, weights: str, attack: str) -> pd.DataFrame:
        table = self.summary
        rows = table[
            (table["method"] == method) & (table["weights"] == weights) & (table["attack"] == attack)
        ]
        rows = rows.sort_values("seed")
        if rows["seed"].to_list() != SEEDS or set(rows["total"]) != {IMAGES}:
            raise ValueError(f"{method}, {weights}, {attack} is not there on all images for three seeds")
        return rows

    # The table -------------------------------------------------------------------------------------------

    def table(self) -> Iterator[str]:
        """Give README's table line by line: averages over seeds, and how far their worst classes differ."""
        yield f"| {' | '.join(HEADINGS)} |"
        yield "|---" * len(HEADINGS) + "|"
        for method in (name for name in METHODS if name in set(self.summary["method"])):
            for weights in KINDS:
                yield f"| {display_name(method, weights)} | {' | '.join(self._cells(method, weights))} |"

    def _cells(self, method: str, weights: str) -> list[str]:
        worst = self.figures(method, weights, "pgd-20", "worst")
        means = [
            self.figures(method, weights, attack, measure).mean()
            for attack, measure in (("clean", "mean"), ("clean", "worst"), ("pgd-20", "mean"))
        ]
        names = sorted(set(self._rows(method, weights, "pgd-20")["worst_class"]))
        return [
            *(f"{100 * mean:.1f}" for mean in means),
            f"{100 * worst.mean():.1f} ({_range(worst)})",
            ", ".join(names),
        ]

    # What it carries -------------------------------------------------------------------------------------

    def statements(self) -> Iterator[str]:
        """Give README's statements; each that names no interval is checked here."""
        yield self._averaging()
        yield self._calibration()
        value = self.difference("trades-cfa", "trades", ("fawa", "online"), "pgd-20", "worst")
        yield (
            f"**TRADES + CFA against plain TRADES at its best epoch**: {_points(*value)} in the worst class. "
            "Nothing can be said."
        )
        for method, baseline in (PAIRS[0], PAIRS[2]):
            for measure in ("mean", "worst"):
                for sides in SIDES:
                    _require_zero(self.difference(method, baseline, sides, "pgd-20", measure))
        yield (
            "**PGD-AT + CFA and FAT + CFA against their baselines**: every interval holds 0, of means and of "
            "worst classes."
        )

    def _averaging(self) -> str:
        """Say what EMA does without CFA's gate, and what the gate wins back."""
        gains, losses, back = [], [], []
        for method in (name for pair in PAIRS for name in pair):
            online, ema, fawa = (
                {m: self.figures(method, kind, "pgd-20", m).mean() for m in ("mean", "worst")}
                for kind in KINDS
            )
            gains.append(ema["mean"] - online["mean"])
            losses.append(online["worst"] - ema["worst"])
            back.append(fawa["worst"] - ema["worst"])
        return (
            "**Averaging alone raises the mean and lowers the worst class**: EMA against plain weights of "
            f"the same method gains {_range(gains)} points in the mean and loses {_range(losses)} in the "
            "worst class. (Chosen by mean plus worst class, the plain weights come from an early, noisy "
            f"epoch; the averages from late ones.) FAWA's gate wins back {_range(back)} of them."
        )

    def _calibration(self) -> str:
        """Say what CFA does to TRADES with weights of one kind on both sides, and what it costs."""
        method, baseline = PAIRS[1]
        worst, mean, clean = (
            {kind: self.difference(method, baseline, (kind, kind), attack, measure) for kind in KINDS}
            for attack, measure in (("pgd-20", "worst"), ("pgd-20", "mean"), ("clean", "mean"))
        )
        for found in mean.values():
            _require_zero(found)
        largest = max(abs(value) for value, _ in mean.values())
        return (
            "**Calibration with TRADES helps the worst class of averaged weights**: by "
            f"{_points(*worst['fawa'])} points with FAWA weights on both sides, by {_points(*worst['ema'])} "
            f"with EMA weights; with plain weights by {_points(*worst['online'])}, which is nothing that "
            f"three seeds could show. Robust means differ by {100 * largest:.1f} points or less, and every "
            "interval of one holds 0. It costs clean accuracy: "
            f"{_points(*clean['ema'])} in the mean with EMA weights, {_points(*clean['fawa'])} with FAWA "
            "weights."
        )


def _require_zero(found: tuple[float, tuple[float, float]]) -> None:
    low, high = found[1]
    if not low <= 0 <= high:
        raise ValueError(f"an interval that is said to hold 0 is {_points(*found)}")


def _range(values: Iterable[float]) -> str:
    low, high = (100 * end(list(values)) for end in (min, max))
    return f"{low:.1f} to {high:.1f}"


def _points(value: float, ends: tuple[float, float]) -> str:
    return in_points(value, ends).removeprefix("+")


if __name__ == "__main__":
    main()
