"""The dashboard as a server: what starts and stops with it, to which names it answers, what pages may load.

`app/main.py` hands this to Streamlit; it runs once a process, before anybody looks.
"""

import asyncio
import base64
import gc
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import streamlit
from google.protobuf.message import DecodeError
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.proto.BackMsg_pb2 import BackMsg

from app.plotly_library import library_address
from app.uploads import may_upload

if TYPE_CHECKING:
    from cfa.jobs.supervisor import Supervisors

logger = logging.getLogger(__name__)

WITH_CHARTS = ("", "monitor", "classes", "sweep", "compare", "leaderboard")
"""Pages that are nothing without charts, as their addresses end."""

HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


# --- what starts and stops with the server --------------------------------------------------------


@asynccontextmanager
async def lifespan(_server: object) -> AsyncIterator[None]:
    """Take jobs from the queue as long as the server runs, whether anybody looks or not.

    The engine takes seconds to import, and the first page is on its way meanwhile.
    """
    starting = asyncio.create_task(asyncio.to_thread(_start_work))
    try:
        yield
    finally:
        if (supervision := await starting) is not None:
            await asyncio.to_thread(supervision.stop)


def _start_work() -> "Supervisors | None":
    gc.disable()  # nothing of what is imported is garbage: looking for some takes a tenth of the time
    try:
        from app.supervision import start_work

        return start_work()
    except Exception:  # nobody waits for this thread: whoever reads the log must see it
        logger.exception("No job will be started")
        return None
    finally:
        gc.enable()


# --- names, and headers ---------------------------------------------------------------------------


class Guard:
    """Answers under allowed names only, for pages and files as Streamlit does for its socket.

    A site elsewhere that has its name point to this machine (DNS rebinding) would be let in otherwise. What
    Streamlit does for whoever reaches it, signed in or not, and pages have no use for, is refused too.
    """

    def __init__(self, server: ASGIApp) -> None:
        """Stand before the server."""
        self.server = server
        self.scripts = " ".join(_hashes((Path(streamlit.__file__).parent / "static/index.html").read_text()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await self.server(scope, _wanted(receive), send)
            return
        if scope["type"] != "http":
            await self.server(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")
        policy = HEADERS | {"Content-Security-Policy": self.content_policy(host)}

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(policy | _needed_soon(scope["path"], headers.get("content-type", "")))
            await send(message)

        if is_closed(scope["path"]):
            closed = PlainTextResponse("This is for nobody here.\n", status_code=403)
            await closed(scope, receive, send_with_policy)
            return
        if answers_to(host, config.get_option("server.allowedHosts")):
            await self.server(scope, receive, send_with_policy)
            return
        refusal = PlainTextResponse(
            "This dashboard does not answer to that name; whoever runs it adds it to server.allowedHosts.\n",
            status_code=403,
        )
        policy["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        await refusal(scope, receive, send_with_policy)

    def content_policy(self, host: str) -> str:
        """Say what a page may load: from here alone, and what it made itself."""
        sockets = f"ws://{host} wss://{host}"
        return (
            f"default-src 'self'; script-src 'self' blob: {self.scripts}; style-src 'self' 'unsafe-inline'; "
            f"connect-src 'self' {sockets}; img-src 'self' data: blob:; font-src 'self' data:; "
            "worker-src 'self' blob:; media-src 'self' blob:; object-src 'none'; frame-src 'none'; "
            "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
        )


def _needed_soon(path: str, kind: str) -> dict[str, str]:
    """Have the browser fetch and compile what draws charts while Streamlit's own program still starts."""
    library = library_address()
    if library is None or not kind.startswith("text/html") or path.rpartition("/")[2] not in WITH_CHARTS:
        return {}
    return {"Link": f"<{library}>; rel=modulepreload"}


ASKED_BY_PAGES = ("rerun_script", "stop_script", "app_heartbeat", "file_urls_request")
FETCHED_BY_PAGES = ("deferred_file", "dataframe_chunk")


def is_asked_by_pages(sent: bytes) -> bool:
    """Tell whether a page would send this over the socket.

    Others do not need to sign in for what Streamlit would do: run Git here and tell which files it does not
    know, empty everybody's caches, write into the project's folder.
    """
    message = BackMsg()
    try:
        message.ParseFromString(sent)
    except DecodeError:
        return False
    kind = message.WhichOneof("type")
    if kind == "backend_operation_request":
        return message.backend_operation_request.WhichOneof("payload") in FETCHED_BY_PAGES
    return kind in ASKED_BY_PAGES


def _wanted(receive: Receive) -> Receive:
    async def receive_wanted() -> Message:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive" or is_asked_by_pages(message.get("bytes") or b""):
                return message

    return receive_wanted


def is_closed(path: str) -> bool:
    """Tell whether an address is for nobody: how the server does, and uploads of those who may not."""
    _, core, wanted = f"{path}/".partition("/_stcore/")  # below server.baseUrlPath, where one is set
    what, _, rest = wanted.partition("/")
    if what == "upload_file":
        return not may_upload(rest.partition("/")[0])
    return bool(core) and what == "metrics"


def answers_to(host: str, allowed: Iterable[str]) -> bool:
    """Tell whether a ``Host`` header has one of the allowed names; where none is named, any will do."""
    names = [name.strip().lower().rstrip(".") for name in allowed]
    if re.fullmatch(r"[\w.-]+(:\d*)?|\[[\da-fA-F:.]+\](:\d*)?", host, re.ASCII) is None:
        return False
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    fits = (name == known or (known.startswith("*.") and name.endswith(known[1:])) for known in names)
    return not names or "*" in names or any(fits)


def _hashes(page: str) -> list[str]:
    """Return the hashes by which the scripts that stand in Streamlit's page itself are admitted."""
    inline = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in inline]


MIDDLEWARE = [Middleware(Guard)]
