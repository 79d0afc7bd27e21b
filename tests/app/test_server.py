"""What the server answers to, what it tells browsers, and that it starts work by itself."""

import asyncio
import logging
import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from streamlit.web.server.app_discovery import discover_asgi_app

from app import server, supervision
from app.plotly_library import library_address
from cfa.errors import StoreError
from tests.app.test_setup import APP


@pytest.fixture
def ask(monkeypatch):
    """Give a function that asks a server behind the guard, which answers to 127.0.0.1."""
    monkeypatch.setattr(server.config, "get_option", {"server.allowedHosts": ["127.0.0.1"]}.__getitem__)
    inside = Route("/", lambda request: PlainTextResponse("inside"))
    transport = httpx.ASGITransport(Starlette(routes=[inside], middleware=server.MIDDLEWARE))

    async def answer(path, host):
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.get(path)

    return lambda path="/", host="127.0.0.1:8501": asyncio.run(answer(path, host))


@pytest.mark.parametrize(
    ("path", "kind", "asked_for"),
    [
        ("/", "text/html; charset=utf-8", True),
        ("/monitor", "text/html; charset=utf-8", True),
        ("/cfa/compare", "text/html; charset=utf-8", True),
        ("/train", "text/html; charset=utf-8", False),
        ("/", "text/plain", False),
    ],
)
def test_browsers_get_plotly_while_a_page_with_charts_starts(monkeypatch, path, kind, asked_for):
    monkeypatch.setattr(server.config, "get_option", {"server.allowedHosts": []}.__getitem__)
    inside = Route(path, lambda request: PlainTextResponse("inside", headers={"content-type": kind}))
    transport = httpx.ASGITransport(Starlette(routes=[inside], middleware=server.MIDDLEWARE))

    async def answer():
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path)

    links = asyncio.run(answer()).links
    assert [link["url"] for link in links.values()] == [library_address()] * asked_for
    assert all(link["rel"] == "modulepreload" for link in links.values())


def test_streamlit_finds_the_server_in_the_main_file():
    found = discover_asgi_app(APP / "main.py")
    assert (found.is_asgi_app, found.import_string) == (True, "main:app")


@pytest.mark.parametrize(
    ("host", "names", "answered"),
    [
        ("127.0.0.1:8501", ["localhost", "127.0.0.1"], True),
        ("LOCALHOST", ["localhost", "127.0.0.1"], True),
        ("localhost.", ["localhost"], True),
        ("evil.example", ["localhost", "127.0.0.1"], False),
        ("evil.example:8501", ["localhost", "127.0.0.1"], False),
        ("127.0.0.1.evil.example", ["127.0.0.1"], False),
        ("127.0.0.1@evil.example", ["127.0.0.1"], False),
        ("evil.example@127.0.0.1", ["127.0.0.1"], False),
        ("127.0.0.1/../evil", ["127.0.0.1"], False),
        ("127.0.0.1;x", ["*"], False),
        ("", ["localhost"], False),
        ("[::1]:8501", ["::1"], True),
        ("cfa.example.org", ["cfa.example.org"], True),
        ("a.lab.example.org", ["*.lab.example.org"], True),
        ("lab.example.org", ["*.lab.example.org"], False),
        ("evillab.example.org", ["*.lab.example.org"], False),
        ("anything.example", ["*"], True),
        ("anything.example", [], True),
    ],
)
def test_only_allowed_names_are_answered(host, names, answered):
    assert server.answers_to(host, names) == answered


def test_a_foreign_name_gets_a_sentence_and_nothing_else(ask):
    assert ask().text == "inside"
    refused = ask(host="evil.example")
    assert refused.status_code == 403
    assert "inside" not in refused.text
    assert "server.allowedHosts" in refused.text
    assert refused.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("path", ["/", "/nothing"])
def test_every_answer_says_what_a_page_may_load(ask, path):
    headers = ask(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["frame-ancestors"] == policy["object-src"] == policy["frame-src"] == "'none'"
    assert policy["default-src"] == "'self'"
    assert policy["img-src"] == "'self' data: blob:"
    assert re.fullmatch(r"'self' blob:( 'sha256-[\w+/]{43}=')+", policy["script-src"])
    assert policy["connect-src"] == "'self' ws://127.0.0.1:8501 wss://127.0.0.1:8501"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_work_starts_and_stops_with_the_server(monkeypatch):
    said = []

    class Threads:
        def stop(self):
            said.append("stopped")

    monkeypatch.setattr(supervision, "start_supervisors", lambda home: said.append(home) or Threads())

    async def serve():
        async with server.lifespan(None):
            assert "stopped" not in said

    asyncio.run(serve())
    assert [str(word) for word in said] == [str(supervision.default_home()), "stopped"]


@pytest.mark.parametrize("error", [StoreError("the store cannot be read"), RuntimeError("a fault")])
def test_a_server_whose_work_cannot_start_serves_and_says_so(monkeypatch, caplog, error):
    def fail(home):
        raise error

    monkeypatch.setattr(supervision, "start_supervisors", fail)

    async def serve():
        async with server.lifespan(None):
            pass

    with caplog.at_level(logging.ERROR):
        asyncio.run(serve())
    assert "No job will be started" in caplog.text
    assert str(error) in caplog.text
