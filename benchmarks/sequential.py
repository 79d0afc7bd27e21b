"""How often an evaluation that stops when it is certain was wrong at any moment, and what it saves.

python benchmarks/sequential.py [--repeats 2000] [--only POPULATION]

Images of known classes are drawn in random orders, as `cfa evaluate --until` draws them, and after every draw
the intervals are compared with the truth. Nothing is attacked, and nothing depends on the machine.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cfa.statistics import Known, Targets

POPULATIONS: Mapping[str, tuple[tuple[float, ...], int]] = {
    "one clear worst": ((0.1, *[0.6] * 9), 1000),
    "ten tied": ((0.3,) * 10, 1000),
    "like the shipped demo": ((0.28, 0.5, 0.52, 0.67, 0.72, 0.77, 0.79, 0.88, 0.89, 0.92), 1000),
    "100 classes of 100": (tuple(np.linspace(0.02, 0.8, 100).tolist()), 100),
    "at 0 and 1": ((*[0.0] * 2, *[1.0] * 8), 1000),
}
TARGETS = (
    *(Targets(worst=half) for half in (0.05, 0.03, 0.02)),
    *(Targets(mean=half) for half in (0.05, 0.03, 0.02)),
    Targets(which=True),
    Targets(worst=0.03, mean=0.03),
    Targets(worst=0.03, mean=0.03, which=True),
)
DRAW = 20  # images of a class at a time
ROUNDING = 1e-9


def main() -> None:
    """Simulate every population and target, and write the shares."""
    from machine import describe_machine, write_result

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--only", choices=POPULATIONS)
    asked = parser.parse_args()
    found = []
    for row in simulated(asked.repeats, [asked.only] if asked.only else list(POPULATIONS)):
        print(row, flush=True)
        found.append(row)
    write_result(
        "sequential" if asked.only is None else f"sequential-{asked.only.replace(' ', '-')}",
        {
            "what": "share of simulated evaluations that were right at every moment, and of images attacked",
            "nominal": 1 - Targets(which=True).alpha,
            "repeats": asked.repeats,
            "images_of_a_class_at_a_time": DRAW,
            "populations": {name: {"accuracies": a, "size": n} for name, (a, n) in POPULATIONS.items()},
            "found": found,
            "machine": describe_machine(),
        },
    )


def simulated(repeats: int, names: list[str]) -> Iterator[dict[str, Any]]:
    """Give, for each population and target, how often it was right at every moment, and what it took."""
    for name in names:
        accuracies, size = POPULATIONS[name]
        right = [round(accuracy * size) for accuracy in accuracies]
        for number, targets in enumerate(TARGETS):
            begun = time.process_time()
            made = [
                one(np.random.default_rng([15, number, repeat]), right, size, targets)
                for repeat in range(repeats)
            ]
            held, images, ended = (np.array(values) for values in zip(*made, strict=True))
            yield {
                "population": name,
                **{key: value for key, value in vars(targets).items() if key != "alpha" and value},
                "right_at_every_moment": round(float(held.mean()), 5),
                "images": round(float(images.mean()), 1),
                "share_of_images": round(float(images.mean()) / (size * len(right)), 4),
                "ended_tied": round(float(ended.mean()), 4) if targets.which else None,
                "processor_seconds": round(time.process_time() - begun, 1),
            }


def one(rng: np.random.Generator, right: list[int], size: int, targets: Targets) -> tuple[bool, int, bool]:
    """Draw until the targets are met.

    Returns:
        Whether everything that was claimed held at every moment, the images drawn, and whether it ended tied.
    """
    orders = [rng.permutation(size) < k for k in right]
    drawn, held = [0] * len(right), True
    while True:
        known = Known(
            [order[:n] for order, n in zip(orders, drawn, strict=True)], (size,) * len(right), targets
        )
        more = known.next_draws(DRAW)
        held &= not any(drawn) or holds(known, right, size, ended=not any(more))
        if not any(more):
            return held, sum(drawn), known.tied
        drawn = [n + m for n, m in zip(drawn, more, strict=True)]


def holds(known: Known, right: list[int], size: int, *, ended: bool) -> bool:
    """Tell whether every claim of the targets is true: of classes, of the worst, of the mean, of which."""
    truths, targets = [k / size for k in right], known.targets
    claims = [(known.mean, float(np.mean(truths)))] if known.mean is not None else []
    if targets.about_classes:
        claims += [*zip(known.classes, truths, strict=True), (known.worst, min(truths))]
    held = all(low - ROUNDING <= truth <= high + ROUNDING for (low, high), truth in claims)
    if targets.which:
        worst = {k for k, truth in enumerate(truths) if truth == min(truths)}
        held &= worst <= set(known.candidates) and (not ended or worst == set(known.candidates))
    return held


if __name__ == "__main__":
    main()
