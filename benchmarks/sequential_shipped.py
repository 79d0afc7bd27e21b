"""What stopping when it is certain would have taken of the shipped evaluations, and whether it was right.

python benchmarks/sequential_shipped.py

What became of every test image under PGD-20 (of 1,000 under AutoAttack) ships with the runs. Images are drawn
from these outcomes as `cfa evaluate --until` draws them, and its intervals are compared with what all images
come to. Nothing is attacked: of PGD-20 an image's outcome is the same in any order; of AutoAttack's members
another order may change a few, which this does not show.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sequential import DRAW, ROUNDING, TARGETS

from cfa.evaluation.draws import ClassByClass
from cfa.runs.columns import Column, Columns
from cfa.runs.evaluations import columns_of, read_evaluations, read_outcomes
from cfa.runs.folder import RunFolder
from cfa.statistics import Known, Targets

SHIPPED = Path(__file__).resolve().parents[1] / "checkpoints" / "demo"
FEWEST = 20  # images of a class, of which there is something to save


def main() -> None:
    """Draw from every shipped evaluation under every target, and write the shares of images."""
    from machine import describe_machine, write_result

    found: dict[tuple[str, int, str], list[tuple[float, bool]]] = {}
    for attack, label, predicted in shipped():
        for targets in TARGETS:
            share, inside = drawn(label, predicted, targets)
            found.setdefault((attack, len(label), str(targets)), []).append((share, inside))
    write_result(
        "sequential_shipped",
        {
            "what": "share of images attacked, and how often what all of them come to is inside",
            "images_of_a_class_at_a_time": DRAW,
            "found": [
                {
                    **dict(zip(("attack", "images", "until"), key, strict=True)),
                    "evaluations": len(rows),
                    "inside": sum(inside for _, inside in rows),
                    "share_of_images": round(float(np.mean([share for share, _ in rows])), 4),
                    "smallest_share": round(min(rows)[0], 4),
                    "largest_share": round(max(rows)[0], 4),
                }
                for key, rows in found.items()
            ],
            "machine": describe_machine(),
        },
    )


def shipped() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Give the attack, the true and the predicted classes of every shipped evaluation at one budget."""
    for run in map(RunFolder, sorted(SHIPPED.glob("r*"))):
        for evaluation in read_evaluations(run):
            if evaluation.plan.get("eps_sweep"):
                continue
            table = read_outcomes(run, evaluation.id)
            label = table["label"].astype(int)
            for column in columns_of(run, evaluation).wholes():
                if column.name != "clean" and np.bincount(label).min() >= FEWEST:
                    yield column.attack, label, table[column.name].astype(int)


def drawn(label: np.ndarray, predicted: np.ndarray, targets: Targets) -> tuple[float, bool]:
    """Draw until the targets are met; return the share of images, and whether what all come to is inside."""
    column = Column(name="attack", holds="classes", attack="attack", norm="linf", eps=0, asked="attack")
    classes = int(label.max()) + 1
    draws, outcomes = ClassByClass(label, classes, targets, 0, DRAW), np.full(len(label), -1)
    while len(more := draws.next(Columns((column,)), {"attack": outcomes})):
        outcomes[more] = predicted[more]
    known = draws.known["attack"]
    truths = [float((predicted[label == k] == k).mean()) for k in range(classes)]
    return sum(known.drawn) / len(label), _inside(known, truths)


def _inside(known: Known, truths: list[float]) -> bool:
    claims = [*zip(known.classes, truths, strict=True), (known.worst, min(truths))]
    claims += [(known.mean, float(np.mean(truths)))] if known.mean is not None else []
    right = all(low - ROUNDING <= truth <= high + ROUNDING for (low, high), truth in claims)
    return right and (not known.targets.which or int(np.argmin(truths)) in known.candidates)


if __name__ == "__main__":
    main()
