"""Requests that wait for one model share a run of its network without affecting each other."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.executor.worker_pool import THREADS
from bentos.models import load
from bentos.models.batch_size import BatchSize
from tests.bentos.conftest import Client
from tests.bentos.fast_path.connection import Connection, until
from tests.bentos.server.processes import Load, logged_ids
from tests.support import bundles

ROWS = bundles.ROWS["loans"]
SIZE = 8


class BlockedWorker:
    """A worker whose threads wait in the network: the first until `one` is set, the others until `rest` is.

    So the first takes all requests that arrive meanwhile as one batch. `runs` are the runs of the network, in rows.
    """

    def __init__(self, client: Client, usecase: str = "loans", size: int = SIZE) -> None:
        self.client = client
        self.live = client.worker.served[usecase].live
        self.live.inline_bytes, self.live.batching = -1, BatchSize(size, "for the test")
        self.one, self.rest = threading.Event(), threading.Event()
        self.runs: list[int] = []
        self.fails = lambda feeds: False
        self._run, self.live.predictor.run = self.live.predictor.run, self._held
        self._path = f"/v1/models/{usecase}/predict"

    async def threads_taken(self, row: dict[str, Any] = ROWS[0]) -> list[asyncio.Task]:
        """Send as many requests as there are threads, each blocked in the network."""
        tasks = []
        for count in range(1, THREADS + 1):
            tasks.append(self.send([row]))
            await until(lambda count=count: len(self.runs) == count)
        return tasks

    def send(self, instances: Any, **headers: str) -> asyncio.Task:
        body = instances if isinstance(instances, bytes) else json.dumps({"instances": instances}).encode()
        named = {"content-type": "application/json"} | headers
        return asyncio.create_task(self.client._call("POST", self._path, body, named))

    async def release(self, first: list[asyncio.Task], tasks: list[asyncio.Task]) -> list[Any]:
        """Return the answers of `tasks`, all given by one thread."""
        self.one.set()
        answers = [await task for task in tasks]
        self.rest.set()
        assert [(await task).status for task in first] == [200] * THREADS
        return answers

    async def waiting(self, count: int) -> None:
        await until(lambda: len(self.client.worker.admission.pool) == count)

    def alone(self, row: Any) -> float:
        """Compute the row's score by the network alone."""
        predictor = self.live.predictor
        return predictor.decode(self._run(predictor.encode([row])))[0].score

    def _held(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        self.runs.append(len(next(iter(feeds.values()))))
        if len(self.runs) <= THREADS:
            assert (self.one if len(self.runs) == 1 else self.rest).wait(20)
        if self.fails(feeds):
            raise RuntimeError("a row that it cannot take")
        return self._run(feeds)


@pytest.fixture
def blocked(start_client):
    made = BlockedWorker(start_client(serving={"deadline_ms": 20_000}))
    yield made
    made.one.set()
    made.rest.set()


def scores(answer: Any) -> list[float]:
    assert answer.status == 200, answer.body
    return [row["score"] for row in answer.json["predictions"]]


def run_scenario(scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_waiting_requests_are_one_batch_and_each_gets_its_own_rows(blocked):
    batches = [ROWS[1:2], ROWS[2:5], ROWS[5:6], ROWS[6:8]]
    before = blocked.client.metric("slipway_batch_rows_sum", usecase="loans")

    async def scenario() -> None:
        first = await blocked.threads_taken()
        tasks = [blocked.send(rows, traceparent=f"00-{k:032x}-{1:016x}-01") for k, rows in enumerate(batches, 1)]
        await blocked.waiting(len(batches))
        answers = await blocked.release(first, tasks)
        for rows, answer in zip(batches, answers, strict=True):
            assert scores(answer) == pytest.approx([blocked.alone(row) for row in rows], abs=1e-5)

    run_scenario(scenario)
    assert blocked.runs == [1] * THREADS + [7]
    assert blocked.client.metric("slipway_batch_rows_sum", usecase="loans") == before + THREADS + 7
    events = blocked.client.events()
    assert len({event["slipway"]["row_id"] for event in events}) == THREADS + 7
    traces = Counter(event["trace"]["id"] for event in events)
    assert [traces[f"{k:032x}"] for k in range(1, 5)] == [1, 3, 1, 2]
    by_age = {event["slipway"]["features"]["age"]: event["slipway"]["score"] for event in events}
    for row in ROWS[:8]:
        assert by_age[row["age"]] == pytest.approx(blocked.alone(row), abs=1e-5)


def test_a_batch_has_no_more_requests_than_give_it_its_rows(blocked):
    async def scenario() -> None:
        first = await blocked.threads_taken()
        tasks = [blocked.send(rows) for rows in (ROWS[:6], ROWS[:6], ROWS[:1], ROWS[:20], ROWS[:1])]
        await blocked.waiting(len(tasks))
        assert [answer.status for answer in await blocked.release(first, tasks)] == [200] * 5

    run_scenario(scenario)
    assert blocked.runs[THREADS:] == [12, 21, 1], "a request is never split, and nothing is added to what is full"


def test_without_batches_each_request_has_its_own_run(blocked):
    blocked.live.batching = BatchSize(1, "off")

    async def scenario() -> None:
        first = await blocked.threads_taken()
        tasks = [blocked.send(ROWS[:2]) for _ in range(4)]
        await blocked.waiting(4)
        assert [answer.status for answer in await blocked.release(first, tasks)] == [200] * 4

    run_scenario(scenario)
    assert blocked.runs == [1] * THREADS + [2] * 4


@pytest.mark.parametrize("fault", ["raises", "NaN"])
def test_a_row_that_the_network_cannot_take_fails_alone(blocked, fault):
    def fails(feeds: dict[str, np.ndarray]) -> bool:
        return bool((feeds["numbers"][:, 0] == 99).any())

    if fault == "raises":
        blocked.fails = fails
    else:
        run = blocked._run
        blocked._run = lambda feeds: np.where(feeds["numbers"][:, :1] == 99, np.nan, run(feeds)).astype(np.float32)

    async def scenario() -> None:
        first = await blocked.threads_taken()
        tasks = [blocked.send([row]) for row in (ROWS[1], {**ROWS[2], "age": 99}, ROWS[3])]
        await blocked.waiting(3)
        answers = await blocked.release(first, tasks)
        assert [answer.status for answer in answers] == [200, 500, 200]
        assert scores(answers[2]) == pytest.approx([blocked.alone(ROWS[3])], abs=1e-5)

    before = blocked.client.metric("slipway_model_errors_total", usecase="loans", version="1", role="champion")
    run_scenario(scenario)
    assert blocked.runs[THREADS:] == [3, 1, 1, 1]
    outcomes = Counter(event["event"]["outcome"] for event in blocked.client.events())
    assert outcomes == {"success": THREADS + 2, "failure": 1}
    after = blocked.client.metric("slipway_model_errors_total", usecase="loans", version="1", role="champion")
    assert after == before + 1


def test_an_invalid_request_leaves_the_batch_with_its_own_error(blocked):
    async def scenario() -> None:
        first = await blocked.threads_taken()
        bodies = ([ROWS[1]], [{**ROWS[2], "age": "old"}], b"{", [ROWS[3]])
        tasks = [blocked.send(body) for body in bodies]
        await blocked.waiting(4)
        answers = await blocked.release(first, tasks)
        assert [answer.status for answer in answers] == [200, 422, 400, 200]
        assert answers[1].json["place"] == "instances[0].age"

    run_scenario(scenario)
    assert blocked.runs[THREADS:] == [2]


def test_late_and_cancelled_requests_are_not_run(blocked):
    async def scenario() -> None:
        first = await blocked.threads_taken()
        deadline, blocked.live.deadline = blocked.live.deadline, 0.2
        late = blocked.send([ROWS[1]])
        await blocked.waiting(1)
        blocked.live.deadline = deadline
        leaving = Connection(blocked.client)
        gone = asyncio.create_task(leaving.answered())
        kept = blocked.send([ROWS[3]])
        await blocked.waiting(3)
        leaving.gone.set()
        assert await gone is None
        assert (await late).status == 503
        (answer,) = await blocked.release(first, [kept])
        assert scores(answer) == pytest.approx([blocked.alone(ROWS[3])], abs=1e-5)

    run_scenario(scenario)
    assert sum(blocked.runs) == THREADS + 1
    assert len(blocked.client.events()) == THREADS + 1


def test_a_swap_between_does_not_mix_two_models(blocked, tmp_path):
    async def scenario() -> None:
        first = await blocked.threads_taken()
        old = [blocked.send([ROWS[1]]), blocked.send([ROWS[2]])]
        await blocked.waiting(2)
        bundles.write(tmp_path / "second", bias=5.0)
        swapped = load(tmp_path / "second", "loans")
        swapped.inline_bytes, swapped.batching = -1, BatchSize(SIZE, "for the test")
        blocked.client.worker.served["loans"].manager.live = swapped
        new = [blocked.send([ROWS[1]]), blocked.send([ROWS[2]])]
        await blocked.waiting(4)
        answers = await blocked.release(first, [*old, *new])
        assert [answer.json["model"]["version"] for answer in answers] == ["1", "1", swapped.version, swapped.version]
        assert scores(answers[0]) == pytest.approx([blocked.alone(ROWS[1])], abs=1e-5)
        assert scores(answers[2]) != pytest.approx([blocked.alone(ROWS[1])], abs=1e-2)

    run_scenario(scenario)
    assert blocked.runs[THREADS:] == [2], "the second model's are its own"


def test_images_in_a_batch(start_client):
    schema = bundles.IMAGES
    blocked = BlockedWorker(start_client(schema, serving={"deadline_ms": 20_000}), "shapes")
    rows = [{"image": {"b64": base64.b64encode(bundles.png(seed=seed)).decode()}} for seed in range(6)]

    async def scenario() -> None:
        first = await blocked.threads_taken(rows[0])
        tasks = [blocked.send([row]) for row in rows]
        await blocked.waiting(len(rows))
        together = [scores(answer)[0] for answer in await blocked.release(first, tasks)]
        alone = [scores(await blocked.send([row]))[0] for row in rows]
        assert together == pytest.approx(alone, abs=1e-5)

    run_scenario(scenario)
    assert blocked.runs[THREADS] == len(rows)


def test_the_server_answers_batches_and_ends_without_dropping_one(serve, var: Path, tmp_path: Path) -> None:
    schema = bundles.IMAGES
    bundles.promote(var, tmp_path / "shapes", schema, serving={"deadline_ms": 10_000})
    server = serve("shapes", SLIPWAY_BATCHING="auto", SLIPWAY_DRAIN_SECONDS="0.5")
    described = json.loads(server.get("/v1/models/shapes")[1])["batching"]
    assert described["size"] >= 1 and described["wait_ms"] == 0 and described["reason"]
    row = {"image": {"b64": base64.b64encode(bundles.png()).decode()}}
    with Load(server, "shapes", row, rate=2000, connections=32) as load:
        time.sleep(2)
        server.process.terminate()
        time.sleep(0.3)
    assert server.process.wait(20) == 0
    assert len(load.ids) > 50 and not load.failed and not load.broken
    assert logged_ids(var, "shapes") == Counter(load.ids)
