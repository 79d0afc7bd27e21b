"""Who may call what of `app.engine`: here, and nowhere else, are those refused who may only look.

Every public function there is one of two sorts (a test lists them all):

- it *looks*: it shows what the store holds, or computes from what it is given. It imports nobody's code,
  opens nothing outside of the store, and changes and starts nothing, whatever it is asked;
- it *acts*: everything else. Whoever may only look is refused before anything of it runs.
"""

from collections.abc import Callable
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

from app.access import visitor
from cfa.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")
Right = Literal["looks", "acts"]


class MayOnlyLook(ConfigError):
    """Somebody who may look tried to do more."""


def looks(function: Callable[P, T]) -> Callable[P, T]:
    """Mark a function that is for everybody who sees the pages."""

    @wraps(function)
    def shown(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    shown.right = "looks"  # type: ignore[attr-defined]
    return shown


def acts(function: Callable[P, T]) -> Callable[P, T]:
    """Refuse a function to visitors who may only look."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        who = visitor()
        if not who.may_start:
            raise MayOnlyLook(
                f"{who.name or 'who is not signed in'} may look, and change nothing; ask whoever runs this "
                "dashboard to be named under [access] may_start"
            )
        return function(*args, **kwargs)

    guarded.right = "acts"  # type: ignore[attr-defined]
    return guarded


def right_of(function: object) -> Right | None:
    """Say which sort a function is; ``None`` where nobody has said."""
    return getattr(function, "right", None)
