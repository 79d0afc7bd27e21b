"""Who may change things, where a login is set up; without one everybody who reaches the dashboard may.

`[auth]` in Streamlit's secrets.toml turns on its own OpenID login (`st.login`). There

    [access]
    may_start = ["ana@example.org", "*@lab.example.org"]

names those who may start, stop, change and delete, by the address that the provider says is theirs, or by the
`sub` that it gives them. Everyone else who signs in may look. An address counts only where the provider says
that it verified it; `provider_verifies = true` names one that never says so and gives addresses to nobody but
their owners.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import streamlit as st

from app import texts

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")  # with two of the sign, `*@ours` would stand for others' as well


@dataclass(frozen=True)
class Visitor:
    """Who looks at the page.

    Attributes:
        name: Address that they signed in with; empty without a login.
        may_start: Whether they may start, stop, change and delete.
    """

    name: str
    may_start: bool


def login_is_on() -> bool:
    """Tell whether visitors have to sign in."""
    return st.secrets.load_if_toml_exists() and "auth" in st.secrets


def visitor() -> Visitor:
    """Say who looks at the page, and what they may do."""
    if not login_is_on():
        return Visitor("", may_start=True)
    if not st.user.is_logged_in:
        return Visitor("", may_start=False)
    claims, settings = dict(st.user), st.secrets.get("access", {})
    named = is_named(claims, settings.get("may_start", ()), settings.get("provider_verifies", False) is True)
    return Visitor(str(claims.get("email") or claims.get("sub") or ""), may_start=named)


def is_named(claims: Mapping[str, object], patterns: Iterable[object], provider_verifies: bool) -> bool:
    """Tell whether what a provider says of somebody is among the names of those who may start.

    Args:
        claims: What it says: ``sub``, which it gives, ``email``, and ``email_verified``.
        patterns: Addresses, in which * stands for anything, and whole ``sub``.
        provider_verifies: Whether an address counts of which the provider does not say that it is verified.
    """
    address, verified = claims.get("email"), claims.get("email_verified")
    # As text from providers that have no other claims; what is neither is as good as nothing.
    trusted = verified is True or str(verified).lower() == "true" or (verified is None and provider_verifies)
    known = address.lower() if isinstance(address, str) and trusted and _ADDRESS.fullmatch(address) else None
    for pattern in map(str, patterns):
        if "@" not in pattern and pattern == claims.get("sub"):
            return True
        if "@" in pattern and known is not None and fnmatch.fnmatchcase(known, pattern.lower()):
            return True
    return False


def may_start() -> bool:
    """Tell whether the visitor may start, stop, change and delete."""
    return visitor().may_start


def require_login() -> None:
    """Where a login is on, ask for it before anything else is drawn, and show who is signed in."""
    if not login_is_on():
        return
    if not st.user.is_logged_in:
        st.title("CFA Studio")
        st.caption("This dashboard asks who you are.")
        st.button("Sign in", type="primary", icon=":material/login:", key="sign_in", on_click=st.login)
        st.stop()
    who = visitor()
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        says = who.name if who.may_start else f"{who.name} · may look, not start"
        st.caption(texts.plain(says), width="content")
        st.button("Sign out", icon=":material/logout:", key="sign_out", on_click=st.logout)
