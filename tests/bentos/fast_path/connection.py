"""One request as uvicorn passes it on, whose client may disconnect before it is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.support import bundles

ROW = bundles.ROWS["loans"][0]
BODY = json.dumps({"instances": [ROW]}).encode()
PATH = "/v1/models/loans/predict"


class Connection:
    """Connection whose `gone` is set when the client disconnects; `sent` are the application's messages."""

    def __init__(self, client: Any, *parts: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._client = client
        self._headers = [(b"content-type", b"application/json"), *headers]
        self._parts = list(parts or (BODY,))
        self.gone = asyncio.Event()
        self.sent: list[dict] = []

    async def answered(self) -> int | None:
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": self._headers, "query_string": b""}
        await self._client.application(scope, self._receive, self._send)
        return self.sent[0]["status"] if self.sent else None

    async def _receive(self) -> dict:
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict) -> None:
        self.sent.append(message)


async def until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")
