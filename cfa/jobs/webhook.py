"""Telling a chat room that a job has ended: off, unless ``CFA_WEBHOOK`` says where.

The address is a secret: whoever has it can write into the room. It comes from the environment alone, is
stored nowhere, and stands in no log.
"""

import http.client
import json
import os
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from cfa.errors import CfaError
from cfa.escaping import chat_text
from cfa.jobs.job import EndState, Job

ADDRESS = "CFA_WEBHOOK"
SECONDS = 5.0  # that a job's worker waits for the room, all in all
LONGEST = 300  # characters of why a job failed


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Goes to no other address than the one that somebody typed."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing: the answer is then an error of its number."""


def tell_ended(job: Job, state: EndState, message: str, log: Callable[[str], None]) -> None:
    """Post one line on a job that has ended, where that is asked for; whatever goes wrong is logged.

    Args:
        job: The job.
        state: How it ended; a paused one goes on later, and nothing is said.
        message: Why it failed.
        log: Takes a line about what went wrong.
    """
    address = os.environ.get(ADDRESS, "").strip()
    if not address or state == "paused":
        return
    problem = _problem_of(address) or _posted(address, _text(job, state, message))
    if problem:
        with suppress(CfaError):  # the job has ended, whether there is room for this line or not
            log(f"nobody was told over {ADDRESS} that it ended: {problem}")


def _text(job: Job, state: EndState, message: str) -> str:
    """Write the line, so that nothing in it is a mention, a link or any other markup."""
    why = f" ({message[:LONGEST]})" if state == "failed" and message else ""
    return chat_text(f"CFA Studio: {job.title} is {state}{why}")


def _problem_of(address: str) -> str:
    try:
        parts = urlsplit(address)
        fits = parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        fits = False
    return "" if fits else "its value is no https:// address"


def _posted(address: str, text: str) -> str:
    """Post a line, and say what went wrong; within :data:`SECONDS`, however slowly the other side answers."""
    said = ["no answer within its time"]
    thread = threading.Thread(target=lambda: said.__setitem__(0, _post(address, text)), daemon=True)
    thread.start()
    thread.join(SECONDS)
    return said[0]


def _post(address: str, text: str) -> str:
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method="POST")
    secure = urllib.request.HTTPSHandler(context=ssl.create_default_context())
    try:
        with urllib.request.build_opener(secure, _NoRedirects()).open(request, timeout=SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return f"the answer was {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:  # an address may be none in many ways
        cause = getattr(error, "reason", error)
        return type(
            error if isinstance(cause, str) else cause
        ).__name__  # its words may have the address in them
