"""Static files of the web page and of the API documents: named files, sent from memory with fixed headers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response
from starlette.routing import get_route_path
from starlette.staticfiles import StaticFiles
from starlette.types import Scope


class NamedFiles(StaticFiles):
    """The files of a folder whose names are given with their media types; no other path leads to a file.

    `headers` are sent with each file. The files are in memory: a client that does not read must not keep one open.
    """

    def __init__(self, directory: Path, media_types: Mapping[str, str], headers: Mapping[str, str]) -> None:
        super().__init__(directory=directory)
        self._media_types = media_types
        self._contents = {name: (directory / name).read_bytes() for name in media_types}
        self._headers = headers

    def get_path(self, scope: Scope) -> str:
        """Return the path as it was sent: one with `..` or `//` is no name."""
        return get_route_path(scope).removeprefix("/")

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return super().lookup_path(path) if path in self._media_types else ("", None)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response, name = super().file_response(full_path, stat_result, scope, status_code), Path(full_path).name
        if response.status_code == status_code:
            validators = {field: response.headers[field] for field in ("etag", "last-modified")}
            response = Response(self._contents[name], status_code, validators)
            response.headers["content-type"] = self._media_types[name]
        response.headers.update(self._headers)
        return response
