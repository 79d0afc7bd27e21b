"""Print the README's table from the runs that ship in checkpoints/demo: mean and range over three seeds."""

import pandas as pd

from cfa.methods import METHODS, display_name
from cfa.results.frames import per_class_frame, summary_frame
from cfa.results.runs import RunFolder
from cfa.results.store import SHIPPED_RUNS

KINDS = ("online", "ema", "fawa")
HEADINGS = (
    *("Weights", "Clean, mean", "Clean, worst", "PGD-20, mean"),
    *("PGD-20, worst (range over seeds)", "Worst is"),
)


def main() -> None:
    """Write one Markdown row per method and kind of weights."""
    runs = [RunFolder(path, read_only=True) for path in sorted(SHIPPED_RUNS.iterdir())]
    summary = summary_frame(per_class_frame(runs))
    print(f"| {' | '.join(HEADINGS)} |")
    print("|---" * len(HEADINGS) + "|")
    for method in METHODS:
        for weights in KINDS:
            block = summary[(summary["method"] == method) & (summary["weights"] == weights)]
            if len(block):
                print(f"| {display_name(method, weights)} | {' | '.join(cells(block))} |")


def cells(block: pd.DataFrame) -> list[str]:
    """Average over seeds, in percent; the range of the worst class shows how far seeds differ."""
    clean, robust = block[block["attack"] == "clean"], block[block["attack"] == "pgd-20"]
    worst = 100 * robust["worst_accuracy"]
    return [
        f"{100 * clean['mean_accuracy'].mean():.1f}",
        f"{100 * clean['worst_accuracy'].mean():.1f}",
        f"{100 * robust['mean_accuracy'].mean():.1f}",
        f"{worst.mean():.1f} ({worst.min():.1f} to {worst.max():.1f})",
        ", ".join(sorted(set(robust["worst_class"]))),
    ]


if __name__ == "__main__":
    main()
