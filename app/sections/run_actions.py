"""What can be done with runs that are ticked: compare them, tag them, take them along, delete them."""

import streamlit as st

from app import access, elements, texts, wording
from app.engine import downloadable, evaluated, run_folders, snapshots


def act_on(chosen: list[snapshots.Run]) -> None:
    """Offer what can be done with the runs that are ticked."""
    if not chosen:
        return
    with st.container(horizontal=True):
        if len(chosen) > 1:
            st.page_link(
                "views/compare.py",
                label=f"Compare these {len(chosen)}",
                icon=":material/compare_arrows:",
                query_params={"runs": [run.id for run in chosen]},
            )
        own = [run for run in chosen if not run.read_only]
        if own and access.may_start():
            tag_them(own)
        downloads(chosen, "chosen")
        if own and st.button(f"Delete {wording.count(len(own), 'run')}", icon=":material/delete:"):
            confirm_delete(own)


def tag_them(own: list[snapshots.Run]) -> None:
    """Offer to give tags to runs, and to take them away."""
    with st.popover("Tags", icon=":material/label:"):
        known = sorted({tag for run in snapshots.runs() for tag in run.tags})
        tags = st.multiselect(
            f"Tags of {wording.count(len(own), 'run')}", known, accept_new_options=True, key="bulk_tags"
        )
        with st.container(horizontal=True):
            for label, add, remove in (("Add", tags, []), ("Take away", [], tags)):
                st.button(
                    label,
                    key=f"bulk_tags_{label}",
                    disabled=not tags,
                    on_click=elements.attempt,
                    args=(run_folders.tag_runs, own, add, remove),
                    kwargs={"done": f"Tags of {wording.count(len(own), 'run')} changed."},
                )


@st.dialog("Delete for good?")
def confirm_delete(chosen: list[snapshots.Run]) -> None:
    """Ask before runs are deleted."""
    size = sum(run_folders.disk_use(run) for run in chosen)
    st.write(
        f"This deletes {wording.count(len(chosen), 'run')} ({wording.file_size(size)}), weights included:"
    )
    st.markdown("\n".join(f"- {texts.plain(run.name)}" for run in chosen[:10]))
    if len(chosen) > 10:
        st.caption(f"and {len(chosen) - 10} more")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:", key="confirm_delete"):
            elements.attempt(
                run_folders.delete_runs, chosen, done=f"Deleted {wording.count(len(chosen), 'run')}."
            )
            st.rerun()
        if st.button("Keep", key="keep"):
            st.rerun()


def downloads(chosen: list[snapshots.Run], key: str) -> None:
    """Offer the export as one zip, and the two tables of the contract."""
    st.download_button(
        "Export as zip",
        lambda: downloadable.export_zip(chosen),
        "cfa-export.zip",
        "application/zip",
        icon=":material/folder_zip:",
        key=f"zip_{key}",
        on_click="ignore",
        disabled=all(map(downloadable.is_link, chosen)),
    )
    results = evaluated.results(chosen)
    for label, table, file in (
        ("Per-class CSV", results.per_class, "per_class.csv"),
        ("Summary CSV", results.summary, "summary.csv"),
    ):
        elements.csv_button(label, downloadable.csv(table), file, f"{file}_{key}", disabled=table.empty)
