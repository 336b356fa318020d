"""The web page at `/`: files of our own, made into forms by the browser from each use case's schema.

Nothing in here holds data, so the page needs no credential. Nothing is inline and nothing comes from elsewhere, so
that the content security policy can forbid both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

__all__ = ["HEADERS", "Asset", "asset", "index"]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    body: bytes
    content_type: str


def index(usecases: Sequence[str]) -> bytes:
    """The page itself (HTML), with one tab for each use case that is served. It goes out with HEADERS."""
    links = "".join(
        f'<a href="#{quote(name)}" data-usecase="{escape(name)}">{escape(name.replace("_", " "))}</a>'
        for name in usecases
    )
    return _template().replace("{usecases}", links).encode()


def asset(path: str) -> Asset | None:
    """The file of the page at that path of the URL (`/page/page.css`); None where there is none."""
    return _assets().get(path)


@cache
def _assets() -> dict[str, Asset]:
    """Read once: a name is looked up here and never on the disk, so that no path can lead out of the folder."""
    files = [path for path in Path(__file__).parent.iterdir() if path.suffix in _TYPES]
    return {f"/page/{path.name}": Asset(path.read_bytes(), _TYPES[path.suffix]) for path in files}


@cache
def _template() -> str:
    return (Path(__file__).parent / "index.html").read_text()
