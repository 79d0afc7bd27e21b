"""A small OpenID provider for tests: it signs in at once whoever is next, without asking."""

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "cfa-studio"


class Provider:
    """An issuer on this machine; ``next_user`` are the claims of whoever signs in next."""

    def __init__(self) -> None:
        """Start to answer."""
        self.next_user: dict[str, Any] = {}
        self.codes: dict[str, dict[str, Any]] = {}
        self.key = RSAKey.generate_key(2048, parameters={"kid": "test", "use": "sig", "alg": "RS256"})
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = urlparse(self.path)
                query = {name: values[0] for name, values in parse_qs(asked.query).items()}
                if asked.path == "/authorize":
                    self.send_response(302)
                    self.send_header("Location", provider.authorize(query))
                    self.end_headers()
                elif asked.path == "/jwks":
                    self._answer({"keys": [provider.key.as_dict(private=False)]})
                else:
                    self._answer(provider.metadata())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(provider.token(form["code"]))

            def log_message(self, *words: object) -> None:
                """Say nothing."""

            def _answer(self, content: dict[str, Any]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self.server.shutdown()
        self.server.server_close()

    def metadata(self) -> dict[str, Any]:
        """Describe the provider, as OpenID Connect Discovery says."""
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Sign in the next user and give the address to go back to."""
        code = secrets.token_hex(8)
        self.codes[code] = {**self.next_user, "nonce": query.get("nonce")}
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, code: str) -> dict[str, Any]:
        """Exchange a code for an identity token."""
        now = int(time())
        claims = {"iss": self.address, "aud": CLIENT, "iat": now, "exp": now + 600, **self.codes.pop(code)}
        signed = jwt.encode({"alg": "RS256", "kid": "test"}, claims, self.key)
        return {"access_token": "unused", "token_type": "Bearer", "expires_in": 600, "id_token": signed}


def write_secrets(folder: Path, provider: Provider, *, may_start: str) -> None:
    """Write what turns the login on in a dashboard that is started in a folder."""
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(
        f"""
[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "{"c" * 32}"
client_id = "{CLIENT}"
client_secret = "s3cret"
server_metadata_url = "{provider.address}/.well-known/openid-configuration"

[access]
may_start = ["{may_start}"]
"""
    )
