"""The web page at `/`: files of our own; the browser makes forms of each use case's schema.

The files hold no data, so the page needs no credential. Nothing is inline and nothing is fetched from elsewhere, so the
content security policy can forbid both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

__all__ = ["FOLDER", "HEADERS", "MEDIA_TYPES", "render"]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
FOLDER = Path(__file__).parent
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
MEDIA_TYPES = {path.name: _TYPES[path.suffix] for path in FOLDER.iterdir() if path.suffix in _TYPES}


def render(usecases: Sequence[str]) -> str:
    """Render the page, with one tab for each use case that is served. It is sent with HEADERS."""
    links = "".join(
        f'<a href="#{quote(name)}" data-usecase="{escape(name)}">{escape(name.replace("_", " "))}</a>'
        for name in usecases
    )
    return _template().replace("{usecases}", links)


@cache
def _template() -> str:
    return (FOLDER / "index.html").read_text()
