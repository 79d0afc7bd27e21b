"""What is kept for some seconds, and shared by all sessions meanwhile."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

import streamlit as st

P = ParamSpec("P")
T = TypeVar("T", covariant=True)


class Kept(Protocol[P, T]):
    """A function whose values are kept."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the value, made anew where it is too old."""

    def clear(self) -> None:
        """Forget all values."""


def kept_for(seconds: float, **options: Any) -> Callable[[Callable[P, T]], Kept[P, T]]:
    """Keep a function's values for some seconds.

    Streamlit looks whether a value is there and then takes it: one that grows too old in between is a
    KeyError.
    """

    def keep(make: Callable[P, T]) -> Kept[P, T]:
        cached: Any = st.cache_resource  # its types do not know a function of any arguments
        kept: Kept[P, T] = cached(make, ttl=seconds, show_spinner=False, **options)

        @wraps(make)
        def ask(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return kept(*args, **kwargs)
            except KeyError:
                return kept(*args, **kwargs)
            except UnicodeEncodeError:  # half of a sign, of which Streamlit can make no key
                return make(*args, **kwargs)

        ask.clear = kept.clear  # type: ignore[attr-defined]
        return ask  # type: ignore[return-value]

    return keep
