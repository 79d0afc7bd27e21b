"""Sequential evaluations that any table would prefer to the full ones beside them, if it took them at all."""

import numpy as np

from cfa.runs.columns import Column
from cfa.runs.evaluations import Evaluation, read_evaluations
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Scores
from cfa.runs.sequential import Reached, SequentialEvaluation, save_sequential
from cfa.statistics import Targets


def beside_each(run: RunFolder) -> list[SequentialEvaluation]:
    """Store one beside each evaluation of a run: newer, on more images, with all other counts."""
    made = [_instead_of(one, number) for number, one in enumerate(read_evaluations(run))]
    for one in made:
        save_sequential(run, one, _outcomes(one.counted))
    return made


def _instead_of(full: Evaluation, number: int) -> SequentialEvaluation:
    scores = [
        Scores(
            epoch=row.epoch,
            split=row.split,
            weights=row.weights,
            attack=row.attack,
            norm=row.norm,
            eps=row.eps,
            correct=tuple(7 + (3 * k + number) % 11 for k in range(len(row.total))),
            total=tuple(2 * n + 20 for n in row.total),
        )
        for row in {row.attack: row for row in full.scores}.values()
    ]
    columns = tuple(
        Column(
            name=row.attack, holds="classes", attack=row.attack, norm=row.norm, eps=row.eps, asked=row.attack
        )
        for row in scores
        for of in [row.attack]
    )
    counted = Evaluation(
        id=f"sequential{number}-{full.id}"[:80],
        created="2027-01-01T00:00:00+00:00",
        dataset=full.dataset,
        loaded_as=full.loaded_as,
        split=full.split,
        weights=full.weights,
        checkpoint=full.checkpoint,
        epoch=full.epoch,
        seed=full.seed,
        limit=None,
        scores=tuple(scores),
        settings={s.attack: dict(full.settings.get(s.attack, {})) for s in scores},
        class_names=full.class_names,
        weights_hash=full.weights_hash,
        arithmetic=full.arithmetic,
        test_fingerprint=full.test_fingerprint,
        columns=columns,
    )
    classes = tuple((k / n, (k + 5) / n) for k, n in zip(scores[-1].correct, scores[-1].total, strict=True))
    reached = Reached(
        column=columns[-1].name,
        classes=classes,
        worst=(min(low for low, _ in classes), min(high for _, high in classes)),
        candidates=(int(np.argmin([low for low, _ in classes])),),
        tied=False,
        rounds=20,
    )
    return SequentialEvaluation(
        counted=counted,
        targets=Targets(worst=0.03),
        permutation_seed=0,
        draw=20,
        sizes=tuple(10 * n for n in scores[0].total),
        reached=(reached,),
    )


def _outcomes(counted: Evaluation) -> dict[str, np.ndarray]:
    """Make a table whose counts are those of the evaluation."""
    total = np.asarray(counted.scores[0].total)
    label = np.repeat(np.arange(len(total)), total)
    place = np.concatenate([np.arange(n) for n in total])
    table = {"image": np.arange(len(label)), "label": label, "drawn": place}
    for column, scores in zip(counted.columns, counted.scores, strict=True):
        right = place < np.asarray(scores.correct)[label]
        table[column.name] = np.where(right, label, (label + 1) % len(total))
    return table
