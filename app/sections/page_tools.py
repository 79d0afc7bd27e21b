"""What every page offers for its address: to copy it, and to keep it under a name among the saved views."""

import streamlit as st

from app import access, addresses, elements, texts
from app.copy_link import copy_link
from app.engine import saved_views

PAGES = {
    "": "Home",
    "train": "Train",
    "monitor": "Monitor",
    "runs": "Runs",
    "evaluate": "Evaluate",
    "classes": "Classes",
    "sweep": "Sweep",
    "compare": "Compare",
    "leaderboard": "Leaderboard",
}


@st.fragment
def show_tools() -> None:
    """Offer, beside a page's title, to copy its address and to open and save views."""
    with st.container(key="page_tools", horizontal=True, horizontal_alignment="right", gap="small"):
        copy_link()
        menu = st.popover("Views", icon=":material/bookmark:", key="views_menu", on_change="rerun")
        if menu.open:
            with menu:
                show_views()


def show_views() -> None:
    """List the saved views, and offer to save what the page shows."""
    elements.show_notices()
    found = saved_views.saved_views()
    if found.problem:
        st.warning(elements.sentence(found.problem), icon=":material/broken_image:")
    elif not found.views:
        st.caption("No view is saved yet. A view is a page with all that is chosen on it.")
    for view in found.views:
        label = f"{texts.plain(view.name)} · {PAGES.get(view.page, texts.plain(view.page))}"
        if st.button(label, type="tertiary", key=f"open_view_{view.name}"):
            open_view(view)
    if not access.may_start():
        st.caption("Who may look can open views; saving one is for those who may start.")
        return
    page = PAGES.get(addresses.current()[0], "this page")
    with st.form("save_view", border=False, clear_on_submit=True):
        st.text_input(f"Save what {page} shows as", key="view_name", max_chars=100, placeholder="A name")
        st.form_submit_button("Save view", icon=":material/bookmark_add:", on_click=save_view)
    if found.views:
        change_views([view.name for view in found.views])


def save_view() -> None:
    """Keep what the page shows under the name that was typed."""
    page, query = addresses.current()
    elements.attempt(saved_views.save_view, st.session_state["view_name"], page, query, done="Saved.")


def change_views(names: list[str]) -> None:
    """Offer to rename and to delete one of the views."""
    with st.expander("Rename or delete", icon=":material/edit:"):
        chosen = st.selectbox("View", names, key="changed_view")
        wanted = st.text_input("New name", value=chosen, key=f"new_name_{chosen}", max_chars=100)
        with st.container(horizontal=True):
            st.button(
                "Rename",
                key="rename_view",
                on_click=elements.attempt,
                args=(saved_views.rename_view, chosen, wanted),
                kwargs={"done": "Renamed."},
            )
            st.button(
                "Delete",
                icon=":material/delete:",
                key="delete_view",
                on_click=elements.attempt,
                args=(saved_views.delete_view, chosen),
                kwargs={"done": "Deleted."},
            )


def open_view(view: saved_views.View) -> None:
    """Open the page of a view, which then shows what the view says."""
    if view.page not in PAGES:
        st.error(f"There is no page {texts.plain(view.page)!r} here.", icon=":material/link_off:")
        return
    addresses.go(f"views/{view.page or 'home'}.py", view.query)


def list_views() -> None:
    """List the saved views as buttons, where there are any."""
    found = saved_views.saved_views()
    if found.problem:
        st.warning(elements.sentence(found.problem), icon=":material/broken_image:")
    if not found.views:
        return
    st.subheader("Saved views")
    with st.container(horizontal=True, gap="small"):
        for view in found.views:
            label = f"{texts.plain(view.name)} · {PAGES.get(view.page, texts.plain(view.page))}"
            if st.button(label, icon=":material/bookmark:", key=f"home_view_{view.name}"):
                open_view(view)
