"""The browser's tab says when a job has ended, and a notification does where the visitor allows it."""

from collections.abc import Iterable
from pathlib import Path

import streamlit as st

SCRIPT = Path(__file__).with_name("job_news.js")
MOST = 200  # of the newest jobs whose ends are told

_component = st.components.v2.component(
    "cfa_job_news",
    html='<button type="button" class="cfa-job-news" hidden></button>',
    js=SCRIPT.read_text(encoding="utf-8"),
    isolate_styles=False,
)


def tell_ends(jobs: Iterable[tuple[str, str, str]]) -> None:
    """Hand the browser how jobs stand now; it knows how they stood before.

    Args:
        jobs: Id, title and state of each, the newest last.
    """
    told = [{"id": job_id, "title": title, "state": state} for job_id, title, state in jobs]
    _component(key="job_news", data={"jobs": told[-MOST:]})
