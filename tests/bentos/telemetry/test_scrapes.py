"""Scrapes of a service at the same time: one that waits, or whose client does not read, keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from bentos.api import routes
from slipway.system.shared_results import TooManyResults
from tests.bentos.conftest import Answer, Client

ROW = {"age": 30, "visits": 3, "job": "nurse", "member": True}
SCRAPES = 60  # more than there are threads for requests


def test_scrapes_that_wait_hold_one_thread_together_and_no_other_request(
    start_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, calls, may_end = start_client(), [], threading.Event()

    def hang(*arguments: object) -> bytes:
        calls.append(arguments)
        assert may_end.wait(10)
        return b"metrics"

    monkeypatch.setattr(routes, "exposition", hang)

    async def scrape() -> tuple[list[Answer], list[Answer]]:
        waiting = [asyncio.create_task(get(client, "/metrics")) for _ in range(SCRAPES)]
        try:
            await asyncio.sleep(0.01)
            others = [await get(client, path) for path in ("/livez", "/v1/model")]
        finally:
            may_end.set()
        return others, await asyncio.gather(*waiting)

    others, scraped = asyncio.run(scrape())
    assert {answer.status for answer in others} == {200}
    assert {(answer.status, answer.body) for answer in scraped} == {(200, b"metrics")}
    assert len(calls) == 1
    assert client.get("/metrics").status == 200
    assert len(calls) == 2, "a text is shared by those alone who wait for it"


def test_a_scrape_whose_client_does_not_read_holds_up_no_other(start_client: Callable[..., Client]) -> None:
    client = start_client()

    async def scrape() -> Answer:
        started = asyncio.Event()

        async def never_read(message: dict) -> None:
            started.set()
            await asyncio.Event().wait()

        scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": [], "query_string": b""}
        stuck = asyncio.create_task(client.application(scope, receive, never_read))
        await started.wait()
        answer = await get(client, "/metrics")
        stuck.cancel()
        return answer

    assert asyncio.run(scrape()).status == 200


def test_too_many_different_scrapes_are_asked_to_come_again(
    start_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> bytes:
        raise TooManyResults

    monkeypatch.setattr(routes.SharedResults, "get", refuse)
    answer = start_client().get("/metrics")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert "scrape" in answer.json["detail"]


async def receive() -> dict:
    return {"type": "http.request", "body": b"", "more_body": False}


async def get(client: Client, path: str) -> Answer:
    return await client._call("GET", path, b"", {})
