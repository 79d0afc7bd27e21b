"""The address of a page holds all that is chosen on it: a parameter for each field, always, with ids in it.

A link that is sent shows everybody the same, also after the next training: what equals a default stands in
it as well. `fields.py` makes the fields, which show names; nothing else reads or writes an address.

With every drawing the browser sends the address that it has. Mostly this page wrote it itself, a moment ago,
and then the fields are right. Where somebody came by a link, from another page or by the browser's "back",
the address is right, and each field takes its value from it. Values from addresses fill fields, and no more.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import streamlit as st
from streamlit.runtime.scriptrunner import StopException, get_script_run_ctx

Query = dict[str, list[str]]
"""The parameters of an address: several values of one name, an empty one for "nothing is chosen"."""

MOST_KNOWN = 50  # addresses of one visit by which a late message of the browser is told from a link

_VISIT = "address_of_this_visit"
_ASKED = "address_is_asked_for"


@dataclass
class Visit:
    """A page from when it is opened until another one is.

    Attributes:
        page: As its address ends; empty for the first page.
        address: What the fields follow, or last followed.
        known: Addresses that this page had since it was opened; the browser may send one that is over.
        following: Whether fields that are drawn for the first time take their values from the address.
        followed: Names of fields that have done so.
        shown: What is chosen, as far as the page is drawn.
        written: What was chosen when the page was last drawn whole.
        absent: Values of a field that are not here, and what it shows instead.
        titles: What a field's options were called when it was last drawn.
        subject: What a field's options were of when it was last drawn.
    """

    page: str
    address: Query
    known: list[Query] = field(default_factory=lambda: [{}])
    following: bool = True
    followed: set[str] = field(default_factory=set)
    shown: Query = field(default_factory=dict)
    written: Query = field(default_factory=dict)
    absent: dict[str, tuple[list[str], object]] = field(default_factory=dict)
    titles: dict[str, Mapping[str, str]] = field(default_factory=dict)
    subject: dict[str, str] = field(default_factory=dict)

    def follow(self, address: Query) -> None:
        """Have all fields take their values from an address."""
        self.address, self.following = address, True
        self.followed.clear()
        self.absent.clear()

    def takes(self, name: str, *was: str) -> tuple[bool, list[str] | None]:
        """Tell whether a field takes its value from the address, and what that says of it, if anything.

        Args:
            name: Of the parameter.
            was: What the parameter was called in old addresses.
        """
        if not self.following or name in self.followed:
            return False, None
        self.followed.add(name)
        return True, next((self.address[each] for each in (name, *was) if each in self.address), None)


# --- a page and its address -----------------------------------------------------------------------


@contextmanager
def of(page: str) -> Iterator[None]:
    """Draw a page: its fields follow its address where they must, and its address then says what they show.

    Args:
        page: As its address ends; empty for the first page.
    """
    _begin(page)
    try:
        yield
    except StopException:  # the page has no more to show
        write()
        raise
    write()


def write() -> None:
    """Say in the address what is chosen: at the end of a page, and of a live part with fields of its own.

    A page that drew no field, because there is nothing to choose from yet, leaves its address alone.
    """
    drawn = visit()
    drawn.following = False
    drawn.written = dict(drawn.shown)
    if drawn.shown and drawn.shown != _query():
        st.query_params.from_dict(drawn.shown)
    _remember(drawn, drawn.written)


def current() -> tuple[str, Query]:
    """Return the page that is shown and all that is chosen on it, as of its last whole drawing."""
    return visit().page, visit().written


def go(file: str, query: Mapping[str, Sequence[str]]) -> None:
    """Open a page with an address; also the page that is open already, whose fields then follow it."""
    st.session_state[_ASKED] = True
    st.switch_page(file, query_params={name: list(values) for name, values in query.items()})


def asked(name: str) -> str:
    """Return what the address says that was just followed, of something that is no field; or nothing."""
    taken, values = visit().takes(name)
    return values[-1] if taken and values else ""


def _begin(page: str) -> None:
    query = _query()
    called = st.session_state.pop(_ASKED, False)
    if _VISIT not in st.session_state or visit().page != page:
        st.session_state[_VISIT] = Visit(page, query)
    elif called or _went_back() or query not in visit().known:
        visit().follow(query)
    _remember(visit(), query)
    visit().shown = {}


def visit() -> Visit:
    """Return the visit of the page that is being drawn."""
    if _VISIT not in st.session_state:  # nobody said which page it is
        st.session_state[_VISIT] = Visit("", _query())
    found: Visit = st.session_state[_VISIT]
    return found


def _query() -> Query:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _remember(drawn: Visit, query: Query) -> None:
    if query not in drawn.known:
        drawn.known.append(query)
        del drawn.known[1:-MOST_KNOWN]  # the first has no parameter and asks for nothing


def _went_back() -> bool:
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation
