"""However many look at a page, what it reads is read once, and other pages are answered meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from monitoring.status import app as status_app
from monitoring.status import dashboard
from slipway.settings import settings
from tests.slipway.system.test_shared_results import Computation

VIEWERS = 60  # more than there are threads for requests


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/shadow/loans", "monitoring.rollout.candidate_comparison.compare"),
        ("/api/shadow/loans", "monitoring.rollout.candidate_comparison.compare"),
        ("/metrics", "monitoring.status.exporter.exposition"),
        ("/verdicts/loans/latest.json", "monitoring.status.app.read_report"),
        ("/retraining/loans", "monitoring.retraining.decisions.Decisions.recent"),
    ],
)
def test_many_views_cost_one_and_keep_no_other_page_waiting(
    var: Path, monkeypatch: pytest.MonkeyPatch, path: str, where: str
) -> None:
    work = Computation()
    monkeypatch.setattr(where, lambda *key, **more: work(*key, **more) or ([] if "recent" in where else None))

    async def views() -> tuple[int, list[httpx.Response]]:
        board = dashboard.Dashboard("local", "", [], [])
        transport = httpx.ASGITransport(status_app.application(settings(), lambda: board, lambda: True))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            with work.ended():
                waiting = [asyncio.create_task(client.get(path)) for _ in range(VIEWERS)]
                async with asyncio.timeout(5):
                    while not work.calls:
                        await asyncio.sleep(0.001)
                    alive = [await client.get("/livez"), await client.get("/")]
            return max(each.status_code for each in alive), await asyncio.gather(*waiting, client.get(path))

    alive, found = asyncio.run(views())
    assert alive == 200
    assert len({(each.status_code, each.content) for each in found}) == 1
    assert len(work.calls) == 1


def test_many_names_are_refused_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch, var: Path) -> None:
    work = Computation()
    monkeypatch.setattr("monitoring.rollout.candidate_comparison.compare", work)

    async def views() -> list[httpx.Response]:
        board = dashboard.Dashboard("local", "", [], [])
        transport = httpx.ASGITransport(status_app.application(settings(), lambda: board, lambda: True))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            with work.ended():
                waiting = [asyncio.create_task(client.get(f"/shadow/usecase_{number}")) for number in range(40)]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return await asyncio.gather(*waiting)

    refused = [each for each in asyncio.run(views()) if each.status_code == 503]
    assert len(refused) == 24
    assert all("try again in a minute" in each.text for each in refused)
    assert work.most_at_once == 1


def test_a_slow_reader_of_a_report_gets_it_in_pieces(var: Path) -> None:
    """The server keeps a copy of what it was given and could not send: a piece, not the report."""
    content = b"x" * 200_000
    sent: list[int] = []

    async def read() -> None:
        async for piece in status_app._pieces(content):
            sent.append(len(piece))

    asyncio.run(read())
    assert sum(sent) == len(content)
    assert max(sent) <= 64 << 10
