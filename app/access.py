"""Who may change things, where a login is set up; without one everybody who reaches the dashboard may.

`[auth]` in Streamlit's secrets.toml turns on its own OpenID login (`st.login`). There

    [access]
    may_start = ["ana@example.org", "*@lab.example.org"]

names those who may start, stop, change and delete. Everyone else who signs in may look.
"""

import fnmatch
from dataclasses import dataclass

import streamlit as st

from app import texts


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
    name = str(st.user.get("email") or st.user.get("sub") or "")
    trusted = st.user.get("email_verified") is not False  # an address that anybody could claim is none
    patterns = st.secrets.get("access", {}).get("may_start", ())
    named = any(fnmatch.fnmatchcase(name.lower(), str(pattern).lower()) for pattern in patterns)
    return Visitor(name, may_start=trusted and named)


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
