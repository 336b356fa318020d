"""An issuer of tokens: its key pairs, the server of its public keys, and valid and invalid tokens."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER, AUDIENCE = "https://issuer.example", "slipway"


class Issuer:
    """`published` may be changed at any time; `down` makes it answer 500; `request_count` counts its requests."""

    def __init__(self) -> None:
        self.key = new_key("first")
        self.published = [self.key]
        self.down = False
        self.request_count = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.request_count += 1
                body = json.dumps({"keys": [key.as_dict(private=False) for key in issuer.published]}).encode()
                self.send_response(500 if issuer.down else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "SLIPWAY_JWT_ISSUER": ISSUER,
            "SLIPWAY_JWT_AUDIENCE": AUDIENCE,
            "SLIPWAY_JWT_JWKS": self.url,
        }

    def __enter__(self) -> Issuer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, key: Any = None, alg: str = "ES256", header: dict | None = None, **claims: Any) -> str:
        """Issue a valid token with the scope predict; given claims replace the defaults, None removes one."""
        key = key or self.key
        now = int(time.time())
        whole = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ann",
            "scope": "predict",
            "iat": now,
            "exp": now + 600,
            **claims,
        }
        whole = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode({"alg": alg, "kid": key.kid, **(header or {})}, whole, key, algorithms=[alg])

    def signed_with_public_bytes(self) -> str:
        """Issue a token of the algorithm confusion attack: HMAC with the public key's PEM as its secret."""
        good = self.token()
        head, body = _encoded(json.dumps({"alg": "HS256", "kid": self.key.kid}).encode()), good.split(".")[1]
        mac = hmac.digest(self.key.as_pem(private=False), f"{head}.{body}".encode(), "sha256")
        return f"{head}.{body}.{_encoded(mac)}"

    def unsigned(self) -> str:
        head = _encoded(json.dumps({"alg": "none", "kid": self.key.kid}).encode())
        return f"{head}.{self.token().split('.')[1]}."


def new_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"})


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
