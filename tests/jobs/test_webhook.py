"""A chat room is told that a job has ended: over https, at one address, and no job waits for it long."""

import json
import shutil
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cfa.errors import StoreError
from cfa.escaping import chat_text
from cfa.jobs import webhook
from cfa.jobs.kinds.fetch_dataset import FetchDataset
from cfa.jobs.queue import Job, Queue, read_log
from cfa.jobs.webhook import tell_ended
from cfa.jobs.worker import run_job
from tests.support.require import require


class Room:
    """A chat room: an https server of this machine, and what was said in it."""

    def __init__(self, folder: Path) -> None:
        self.said: list[tuple[str, dict[str, object]]] = []
        self.answer, self.wait = 200, 0.0
        room = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                room.said.append((self.path, body))
                time.sleep(room.wait)
                self.send_response(room.answer)
                self.send_header("Location", f"{room.address}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"https://localhost:{self.server.server_port}"
        self.certificate = folder / "room.pem"
        made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
        places = ("-keyout", str(folder / "room.key"), "-out", str(self.certificate))
        names = ("-addext", "subjectAltName=DNS:localhost")
        subprocess.run(["openssl", *made, *places, *names], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, folder / "room.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def opened_room(tmp_path_factory):
    require("openssl", shutil.which("openssl"), "there is no openssl to make a certificate with")
    room = Room(tmp_path_factory.mktemp("room"))
    yield room
    room.server.shutdown()
    room.server.server_close()


@pytest.fixture
def room(opened_room: Room, monkeypatch: pytest.MonkeyPatch) -> Room:
    opened_room.said.clear()
    opened_room.answer, opened_room.wait = 200, 0.0
    monkeypatch.setenv("SSL_CERT_FILE", str(opened_room.certificate))
    monkeypatch.setenv("CFA_WEBHOOK", f"{opened_room.address}/services/secret")
    return opened_room


def a_job(title: str = "train trades") -> Job:
    return Job(**dict.fromkeys(Job.__dataclass_fields__) | {"id": "j1", "kind": "train", "title": title})


def told(job: Job, state="done", message: str = "") -> list[str]:
    lines: list[str] = []
    tell_ended(job, state, message, lines.append)
    return lines


def test_a_room_hears_how_a_job_ended(room: Room):
    assert told(a_job()) == []
    assert told(a_job(), "failed", "out of memory") == []
    assert room.said == [
        ("/services/secret", {"text": "CFA Studio: train trades is done"}),
        ("/services/secret", {"text": "CFA Studio: train trades is failed (out of memory)"}),
    ]


def test_nobody_is_told_unless_that_is_asked_for(room: Room, monkeypatch):
    assert told(a_job(), "paused") == []
    monkeypatch.delenv("CFA_WEBHOOK")
    assert told(a_job()) == []
    assert room.said == []


def test_no_redirect_is_followed_and_the_address_is_in_no_log(room: Room):
    for room.answer in (301, 302, 303, 307, 308, 500):
        (line,) = told(a_job())
        assert line == f"nobody was told over CFA_WEBHOOK that it ended: the answer was {room.answer}"
    assert {path for path, _ in room.said} == {"/services/secret"}


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost/x",
        "file:///etc/passwd",
        "ftp://localhost/x",
        "localhost/x",
        "https://",
        "https://[",
        "https://localhost:port/",
        "https://localhost:99999/",
        "https://local host/",
        "https://localhost/\n",
    ],
)
def test_what_is_no_https_address_is_told_nothing(room: Room, monkeypatch, address: str):
    monkeypatch.setenv("CFA_WEBHOOK", address)
    (line,) = told(a_job())
    assert line.startswith("nobody was told over CFA_WEBHOOK that it ended: ")
    assert "localhost" not in line
    assert room.said == []


def test_a_certificate_that_nobody_vouches_for_is_refused(room: Room, monkeypatch, tmp_path: Path):
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "SSLCertVerificationError" in told(a_job())[0]
    assert room.said == []


def test_a_room_that_does_not_answer_is_not_waited_for(room: Room, monkeypatch):
    monkeypatch.setattr(webhook, "SECONDS", 0.3)
    room.wait = 3.0
    begun = time.monotonic()
    assert "no answer" in told(a_job())[0] or "TimeoutError" in told(a_job())[0]
    assert time.monotonic() - begun < 2.0


def test_a_log_that_cannot_be_written_is_no_error(room: Room):
    def full(line: str) -> None:
        raise StoreError("the disk is full")

    room.answer = 500
    tell_ended(a_job(), "done", "", full)


HOSTILE = "<!channel> [x](https://evil.example) @all `code` *b* www.evil.example #1 a&b\nc\x1b[31m"


def test_what_is_said_calls_nobody_and_links_to_nothing(room: Room):
    told(a_job(HOSTILE))
    said = str(room.said[0][1]["text"])
    for part in ("<", ">", "@all", "](", "://", "www.", "\n", "\x1b", "`code`", "#1"):
        assert part not in said
    assert "a&amp;b" in said
    seen = said.replace("\N{WORD JOINER}", "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert seen == "CFA Studio: " + HOSTILE.replace("\n", " ").replace("\x1b", "") + " is done"
    assert chat_text("train trades-cfa s0: 97.5 % (PGD-20, 8/255)") == (
        "train trades-cfa s0: 97.5 % (PGD-20, 8/255)"
    )


def test_a_worker_tells_the_room_and_a_room_that_fails_fails_no_job(room: Room, queue: Queue, home: Path):
    room.answer = 500
    job = queue.submit(FetchDataset(dataset="nowhere"), "fetch nowhere", foreground=True)
    assert run_job(home, job.id) == 1
    assert queue.get(job.id).state == "failed"
    assert [path for path, _ in room.said] == ["/services/secret"]
    assert str(room.said[0][1]["text"]).startswith("CFA Studio: fetch nowhere is failed (")
    assert "secret" not in read_log(home, job.id)
