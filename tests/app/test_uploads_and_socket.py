"""What Streamlit would do for whoever reaches the server, signed in or not, and pages have no use for."""

import asyncio

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from app import server
from app.uploads import may_upload
from tests.app.pages import visit


def sent(**fields):
    return BackMsg(**fields).SerializeToString()


def operation(kind):
    message = BackMsg()
    getattr(message.backend_operation_request, kind).SetInParent()
    return message.SerializeToString()


NOT_WANTED = {
    "what Git knows of the project's folder": sent(load_git_info=True),
    "emptying everybody's caches": sent(clear_cache=True),
    "running on every change": sent(set_run_on_save=True),
    "ending the server": sent(debug_shutdown_runtime=True),
    "cutting the socket": sent(debug_disconnect_websocket=True),
    "writing skills into the project": operation("install_skills"),
    "writing into the home folder": operation("dismiss_skills_nudge"),
    "nothing": b"",
    "no message": b"\xff\xff\xff",
}
WANTED = {
    "drawing a page": sent(rerun_script={"query_string": "run=x"}),
    "stopping": sent(stop_script=True),
    "a sign of life": sent(app_heartbeat=True),
    "where to upload": sent(file_urls_request={"file_names": ["w.pt"]}),
    "a file that a page offers": operation("deferred_file"),
    "more rows of a table": operation("dataframe_chunk"),
}


@pytest.mark.parametrize("message", NOT_WANTED.values(), ids=NOT_WANTED)
def test_what_no_page_asks_for_does_not_arrive(message):
    assert arrived([message, WANTED["stopping"]]) == [WANTED["stopping"]]


@pytest.mark.parametrize("message", WANTED.values(), ids=WANTED)
def test_what_pages_ask_for_arrives(message):
    assert arrived([message]) == [message]


def arrived(messages):
    """Send messages over a socket, and give those that reach Streamlit."""
    waiting = [{"type": "websocket.receive", "bytes": m} for m in messages] + [
        {"type": "websocket.disconnect"}
    ]
    found = []

    async def receive():
        return waiting.pop(0)

    async def streamlit(scope, receive, send):
        while (message := await receive())["type"] == "websocket.receive":
            found.append(message["bytes"])

    asyncio.run(server.Guard(streamlit)({"type": "websocket"}, receive, None))
    return found


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        ("/_stcore/metrics", True),
        ("/base/_stcore/metrics/", True),
        ("/_stcore/upload_file/somebody/file", True),
        ("/base/_stcore/upload_file/somebody/file", True),
        ("/_stcore/upload_file", True),
        ("/_stcore/health", False),
        ("/monitor", False),
        ("/", False),
    ],
)
def test_addresses_that_are_for_nobody_are_closed(path, closed):
    assert server.is_closed(path) == closed


def test_a_session_that_is_offered_to_upload_may(empty_home, monkeypatch):
    offered = []
    monkeypatch.setattr("app.uploads._sessions", lambda: SetOf(offered))
    app = visit("evaluate")
    assert offered == []
    app.button_group[0].set_value(["upload"])
    visit("evaluate", typed={"own_source": "upload"})
    assert len(offered) == 1


class SetOf(set):
    def __init__(self, told):
        super().__init__()
        self.add = told.append


def test_nobody_may_upload_unasked():
    assert not may_upload("")
    assert not may_upload("somebody")
