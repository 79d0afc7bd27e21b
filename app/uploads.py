"""Whose uploads the server takes: Streamlit itself keeps in memory what anybody sends."""

from functools import cache

from streamlit.runtime.scriptrunner import get_script_run_ctx


def offer_uploads() -> None:
    """Take uploads of the session that this page is drawn for, from now on."""
    if (context := get_script_run_ctx()) is not None:
        _sessions().add(context.session_id)


def may_upload(session_id: str) -> bool:
    """Tell whether a session was offered to upload."""
    return session_id in _sessions()


@cache
def _sessions() -> set[str]:
    return set()
