"""Whether the classes that a network learnt are those of the data set that it is evaluated on."""

from collections.abc import Sequence

from cfa.data import Dataset
from cfa.errors import CheckpointError


def class_names_finding(learnt: Sequence[str], dataset: Dataset) -> str | None:
    """Compare class names position by position: a network answers with positions, and with nothing else.

    Args:
        learnt: Names of the classes that it was trained on; empty where they are not known.
        dataset: As many classes.

    Returns:
        A finding where classes are called otherwise; ``None`` where they are called alike.

    Raises:
        CheckpointError: A class stands at another position: every figure of it would be one of another class.
    """
    own, theirs = ([_spelling(name) for name in names] for names in (learnt, dataset.class_names))
    different = [k for k, (one, other) in enumerate(zip(own, theirs, strict=False)) if one != other]
    if not different:
        return None
    for k in different:
        if own[k] and own.count(own[k]) == theirs.count(own[k]) == 1:
            raise CheckpointError(
                f"{learnt[k]!r} is class {k} of the network and class {theirs.index(own[k])} of "
                f"{dataset.name}, whose figures would be those of other classes; put the classes of the data "
                "set into the order that the network was trained with"
            )
    k = different[0]
    return (
        f"classes are called otherwise than in training ({len(different)} of {len(learnt)}: "
        f"{dataset.class_names[k]!r} for {learnt[k]!r}, for example); figures per class hold only where they "
        "mean the same, in the same order"
    )


def _spelling(name: str) -> str:
    """Leave out what folders and files spell in several ways: case, spaces, punctuation."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())
