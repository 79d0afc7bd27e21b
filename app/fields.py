"""Fields whose choice stands in the page's address: a link shows everybody what is chosen (`addresses.py`).

They are Streamlit's, by the same names. What a field offers is given as names by what the address says, and
what was chosen is returned as the address says it: ids. Old addresses with names in their place still work.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import addresses, texts

MOST = 2000  # characters of one value: a field has no room for more

# --- fields with options --------------------------------------------------------------------------


def selectbox(
    label: str,
    options: Mapping[str, str],
    *,
    name: str,
    default: str | None = None,
    clearable: bool = False,
    also: Mapping[str, str] | None = None,
    was: str = "",
    subject: str = "",
    key: str = "",
    place: Any = st,
    **more: Any,
) -> str:
    """Let one of some options be chosen.

    Args:
        label: Above the field.
        options: What people read, by what the address says.
        name: Of its parameter, the same on all pages.
        default: What is chosen where nobody chose; by default the first.
        clearable: Nothing may be chosen, and is at first.
        also: Options by further names that old addresses have for them.
        was: What the parameter was called in old addresses.
        subject: What the options are of: of something else, the default is chosen again.
        key: Of the widget; by default the parameter's name.
        place: Where it is drawn.
        more: For Streamlit; with ``accept_new_options`` the address may say anything.

    Returns:
        What was chosen, as the address says it; empty where nothing is.
    """
    titles = _distinct(options)
    first = default if default in titles else next(iter(titles), None)
    usual = [] if clearable or first is None else [first]
    free = bool(more.get("accept_new_options"))
    key = key or name
    chosen = _chosen(name, titles, usual, key, _Reading(also or {}, (was,), subject, free), several=False)
    more |= {"index": None} if clearable else {}
    value = place.selectbox(
        label, _with(titles, chosen), format_func=lambda each: titles.get(each, str(each)), key=key, **more
    )
    return _show(name, [] if value is None else [str(value)], always=False)[0]


def segmented_control(
    label: str,
    options: Mapping[str, str],
    *,
    name: str,
    default: str | None = None,
    was: str = "",
    subject: str = "",
    key: str = "",
    place: Any = st,
    **more: Any,
) -> str:
    """Let one of a few options be chosen that all are in sight; as :func:`selectbox`, and always one."""
    titles = _distinct(options)
    usual = [default if default in titles else next(iter(titles))]
    key = key or name
    _chosen(name, titles, usual, key, _Reading({}, (was,), subject), several=False)
    value = place.segmented_control(
        label, list(titles), required=True, format_func=titles.__getitem__, key=key, **more
    )
    return _show(name, [usual[0] if value is None else str(value)], always=True)[0]


def multiselect(
    label: str,
    options: Mapping[str, str],
    *,
    name: str,
    default: Collection[str] | None = None,
    also: Mapping[str, str] | None = None,
    was: str = "",
    subject: str = "",
    key: str = "",
    place: Any = st,
    **more: Any,
) -> list[str]:
    """Let some options be chosen; as :func:`selectbox`.

    Args:
        label: Above the field.
        options: As there.
        name: As there.
        default: What is chosen where nobody chose; ``None`` if that is always nothing, which no address says.
        also: As there.
        was: As there.
        subject: As there.
        key: As there.
        place: As there.
        more: As there.
    """
    titles = _distinct(options)
    key, free = key or name, bool(more.get("accept_new_options"))
    usual = [each for each in default or () if free or each in titles]
    chosen = _chosen(name, titles, usual, key, _Reading(also or {}, (was,), subject, free), several=True)
    value = place.multiselect(
        label, _with(titles, chosen), format_func=lambda each: titles.get(each, str(each)), key=key, **more
    )
    _show(name, list(map(str, value)), always=default is not None)
    return list(map(str, value))


def pills(
    label: str,
    options: Mapping[str, str],
    *,
    name: str,
    default: Collection[str] | None = None,
    was: str = "",
    subject: str = "",
    key: str = "",
    place: Any = st,
    **more: Any,
) -> list[str]:
    """Let some of a few options be chosen that all are in sight; as :func:`multiselect`."""
    titles = _distinct(options)
    key = key or name
    usual = [each for each in default or () if each in titles]
    _chosen(name, titles, usual, key, _Reading({}, (was,), subject), several=True)
    value = place.pills(
        label, list(titles), selection_mode="multi", format_func=titles.__getitem__, key=key, **more
    )
    _show(name, list(map(str, value)), always=default is not None)
    return list(map(str, value))


def selection(
    name: str,
    options: Collection[str],
    *,
    also: Mapping[str, str] | None = None,
    was: tuple[str, ...] = (),
    key: str = "",
) -> list[str]:
    """Return what is chosen otherwise than in a field, such as ticked rows; :func:`choose` chooses it."""
    titles = {each: each for each in options}
    chosen = _chosen(name, titles, [], key or name, _Reading(also or {}, was, ""), several=True)
    _show(name, chosen, always=False)
    return chosen


def choose(name: str, value: object, *, key: str = "") -> None:
    """Fill a field, before it is drawn: in what a button does, say."""
    addresses.visit().followed.add(name)
    st.session_state[key or name] = value


@dataclass(frozen=True)
class _Reading:
    """How addresses and earlier choices of a field are read; see :func:`selectbox`."""

    also: Mapping[str, str]
    was: tuple[str, ...]
    subject: str
    free: bool = False


def _chosen(
    name: str,
    titles: Mapping[str, str],
    usual: list[str],
    key: str,
    reading: _Reading,
    *,
    several: bool,
) -> list[str]:
    """Say what a field holds before it is drawn, and let it hold that; warn of what is not here."""
    visit = addresses.visit()
    taken, values = visit.takes(name, *reading.was)
    of_another = visit.subject.get(name, reading.subject) != reading.subject
    before, absent = visit.titles.get(name, {}), list[str]()
    if taken:
        chosen, absent = _found(values, titles, reading, usual)
    elif of_another or key not in st.session_state:
        chosen = usual
    else:
        held = st.session_state[key]
        values = [] if held is None else [held] if isinstance(held, str) else list(held)
        by_title = {title: each for each, title in before.items()}
        chosen, _ = _found([by_title.get(each, each) for each in values], titles, reading, usual)
    chosen = chosen if several else chosen[-1:] or usual
    renamed = any(before.get(each, titles.get(each)) != titles.get(each) for each in chosen)
    wanted: Any = chosen if several else next(iter(chosen), None)
    # Only what must be set is set: else somebody who is just choosing would be overruled.
    if key not in st.session_state or st.session_state[key] != wanted or taken or renamed:
        st.session_state[key] = wanted
    visit.titles[name], visit.subject[name] = titles, reading.subject
    if absent:
        visit.absent[name] = absent, wanted
    _say_what_is_not_here(name, wanted)
    return chosen


def _found(
    values: list[str] | None, titles: Mapping[str, str], reading: _Reading, usual: list[str]
) -> tuple[list[str], list[str]]:
    """Turn values of an address into options; return those, or the usual ones, and which are none."""
    if values is None:
        return usual, []
    by_title = {title: each for each, title in titles.items()}
    found, absent = list[str](), list[str]()
    for value in (value[:MOST] for value in values if value):
        known = value if value in titles else reading.also.get(value, by_title.get(value))
        if known is None and not reading.free:
            absent.append(value)
        else:
            found.append(value if known is None else known)
    return list(dict.fromkeys(found)) or (usual if absent else []), absent


def _distinct(options: Mapping[str, str]) -> dict[str, str]:
    """Tell options of one name apart by the end of what the address says of them."""
    names = list(options.values())
    return {
        each: title if names.count(title) == 1 else f"{title} · {each[-6:]}"
        for each, title in options.items()
    }


def _with(titles: Mapping[str, str], chosen: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*titles, *chosen]))


def _show(name: str, values: list[str], *, always: bool) -> list[str]:
    """Keep what is chosen for the address; ``always`` also where that is nothing."""
    shown, blank = addresses.visit().shown, [""]
    shown.pop(name, None)
    if values or always:
        shown[name] = values or blank
    return values or blank


def _say_what_is_not_here(name: str, shown: object) -> None:
    """Say which values of the address are none of the options, until something else is chosen."""
    absent, instead = addresses.visit().absent.get(name, ([], shown))
    if instead != shown:
        del addresses.visit().absent[name]
    elif absent:
        named = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        st.warning(
            f"The address of this page names what is not here: {texts.plain(named)}. "
            "What is shown was not asked for.",
            icon=":material/link_off:",
        )


# --- other fields ---------------------------------------------------------------------------------


def text_input(
    label: str, *, name: str, default: str = "", was: str = "", key: str = "", place: Any = st, **more: Any
) -> str:
    """Let a text be typed; ``name``, ``was``, ``key`` and ``place`` as for :func:`selectbox`."""
    key = key or name
    taken, values = addresses.visit().takes(name, was)
    if taken or key not in st.session_state:
        st.session_state[key] = values[-1][:MOST] if values else default
    typed = str(place.text_input(label, key=key, **more) or "")
    return _show(name, [typed] if typed else [], always=bool(default))[0]


def toggle(
    label: str,
    *,
    name: str,
    default: bool = False,
    was: str = "",
    key: str = "",
    place: Any = st,
    **more: Any,
) -> bool:
    """Let something be turned on and off; as :func:`text_input`."""
    key = key or name
    words = {"true": True, "false": False}
    taken, values = addresses.visit().takes(name, was)
    if taken or key not in st.session_state:
        asked = values[-1].lower() if values else ""
        st.session_state[key] = words.get(asked, default)
        if asked and asked not in words:
            addresses.visit().absent[name] = [asked], st.session_state[key]
    _say_what_is_not_here(name, st.session_state[key])
    on = bool(place.toggle(label, key=key, **more))
    _show(name, [str(on).lower()], always=True)
    return on


def number_input(
    label: str,
    *,
    name: str,
    default: float | None = None,
    whole: bool = False,
    was: str = "",
    key: str = "",
    place: Any = st,
    **more: Any,
) -> float | None:
    """Let a number be typed, or none where ``default`` is none; as :func:`text_input`."""
    key = key or name
    taken, values = addresses.visit().takes(name, was)
    if taken or key not in st.session_state:
        number = _number(values[-1], more, whole=whole) if values and values[-1] else None
        if values and values[-1] and number is None:
            addresses.visit().absent[name] = values, default
        st.session_state[key] = default if number is None else number
    _say_what_is_not_here(name, st.session_state[key])
    typed = place.number_input(label, value=None, key=key, **more)
    _show(name, [] if typed is None else [f"{typed:.15g}"], always=default is not None)
    return None if typed is None else int(typed) if whole else float(typed)


def _number(text: str, bounds: Mapping[str, Any], *, whole: bool) -> float | None:
    """Read a number of an address; ``None`` where it is none, or none that the field takes."""
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        return None
    low, high = bounds.get("min_value"), bounds.get("max_value")
    fits = (low is None or number >= low) and (high is None or number <= high) and abs(number) < 2**53
    return number if fits else None
