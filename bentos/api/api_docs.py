"""The page at `/docs`: Swagger UI over `/openapi.json`, from files that BentoML brings along, so nothing is fetched."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Slipway API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<body><div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
_START = b'SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null});\n'
HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
]


@cache
def asset(path: str) -> tuple[bytes, bytes] | None:
    """Content type and bytes of a file under `/docs/`; None where there is none."""
    if path == "/docs/start.js":
        return b"text/javascript", _START
    types = {"/docs/swagger-ui.css": b"text/css", "/docs/swagger-ui-bundle.js": b"text/javascript"}
    if path not in types:
        return None
    name = path.rpartition("/")[2]
    return types[path], (files("bentoml") / "_internal" / "server" / "static_content" / name).read_bytes()
