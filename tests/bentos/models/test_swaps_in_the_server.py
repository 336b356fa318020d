"""Swaps in a real server with two workers under load: as its clients observe them, and for each use case."""

from __future__ import annotations

import fcntl
import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bentos.follower.bundle_store import KEPT
from bentos.follower.follower import Follower
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.schema import Schema
from slipway.serving_state import desired
from slipway.settings import Settings
from tests.bentos.server.processes import Answered, Load, Server, logged, logged_ids, percentile
from tests.support import bundles
from tests.support.doubles.registry_double import RegistryDouble

ROW = bundles.ROWS["loans"][0]
SWAPS, PAUSE = 20, 0.25  # seconds after each
ROUNDS = 4  # other tests on the same cores may spoil some; a swap that holds up requests spoils all
NOT_FELT = 0.05  # seconds: three times a p99 of a millisecond is less than a busy machine lets one wait
SCHEMAS = {schema.usecase: schema for schema in (bundles.TABULAR, bundles.REGRESSION, bundles.IMAGES)}
LENIENT = {"swap_ratio": 1e6, "cache": 100}
ROWS = {name: bundles.probe_rows(schema)[0] for name, schema in SCHEMAS.items()}


class Moved(NamedTuple):
    """A swap: from when the pointer named the version (`requested`) until every worker served it (`taken`)."""

    version: str
    requested: float
    taken: float

    def meets(self, answered: Answered) -> bool:
        return self.requested < answered.received and answered.sent < self.taken


def promote(server: Server, folder: Path, version: str, schema: Schema = bundles.TABULAR, **options) -> Moved:
    """Promote a version and wait until every worker serves it."""
    digest = bundles.write(folder, schema, **options)
    bundles.put_in_store(server.var, folder, version)
    requested = time.monotonic()
    generation = bundles.point(server.var, schema.usecase, digest)
    server.wait_for(lambda: server.all_have(generation, digest, schema.usecase))
    return Moved(version, requested, time.monotonic())


@pytest.mark.alone
def test_twenty_swaps_under_a_hundred_requests_a_second_fail_none_and_sigterm_ends_it_clean(serve, var, tmp_path):
    bundles.promote(var, tmp_path / "v1", version="1")
    server = serve("loans", workers=2)
    moves = [Moved("1", 0.0, 0.0)]
    with Load(server, "loans", ROW, rate=100) as load:
        started = time.monotonic()
        time.sleep(0.5)
        for number in range(2, SWAPS + 2):
            moves.append(promote(server, tmp_path / f"v{number}", str(number), bias=number / 10))
            time.sleep(PAUSE)
        seconds = time.monotonic() - started
    assert (load.failed, load.broken) == ([], 0)
    assert len(load.answered) > 0.8 * 100 * seconds
    assert [answered for answered in load.answered if not was_current(answered, moves)] == []
    assert set(load.versions) == {move.version for move in moves}

    rounds = [p99s(load, moves[first : first + SWAPS // ROUNDS]) for first in range(1, SWAPS, SWAPS // ROUNDS)]
    assert any(swapping <= max(3 * quiet, NOT_FELT) for swapping, quiet in rounds), rounds

    server.process.terminate()
    assert server.process.wait(30) == 0
    assert logged_ids(var) == Counter(load.ids)
    assert list((var / "spool").rglob("*.open")) == []
    assert server.states() == []


def p99s(load: Load, swaps: list[Moved]) -> tuple[float, float]:
    """Split the latencies into those during these swaps and those between them."""
    begin, end = swaps[0].requested, swaps[-1].taken + PAUSE
    taken: dict[bool, list[float]] = {True: [], False: []}
    for answered in load.answered:
        if begin < answered.received and answered.sent < end:
            taken[any(swap.meets(answered) for swap in swaps)].append(answered.seconds)
    return percentile(taken[True], 99), percentile(taken[False], 99)


def was_current(answered: Answered, moves: list[Moved]) -> bool:
    """Check that the version was desired before the answer, and none newer served by all before the request."""
    newest_of_all = max(int(move.version) for move in moves if move.taken <= answered.sent)
    newest_named = max(int(move.version) for move in moves if move.requested <= answered.received)
    return newest_of_all <= int(answered.version) <= newest_named


@pytest.fixture(scope="module")
def swap_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server of three use cases with two workers; the one of loans has a cache. Tests share its state."""
    var = tmp_path_factory.mktemp("three") / "var"
    for name, schema in SCHEMAS.items():
        bundles.promote(var, var.parent / name, schema, version="1", serving=LENIENT)
    with Server(var, tuple(SCHEMAS), workers=2) as server:
        yield server


def served(server: Server, usecase: str) -> str:
    return server.predict(usecase, **ROWS[usecase])[1]["model"]["version"]


def test_use_cases_swap_on_their_own_and_workers_load_one_at_a_time(swap_server: Server, tmp_path: Path) -> None:
    loads = {name: Load(swap_server, name, ROWS[name], rate=30, connections=2) for name in SCHEMAS}
    path = swap_server.var / "serving" / "loans" / "swap.lock"
    with loads["loans"], loads["prices"], loads["shapes"], path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a worker that is loading, and does not get done
        waits = bundles.promote(swap_server.var, tmp_path / "loans", version="2", bias=0.2, serving=LENIENT)
        refused = bundles.promote(swap_server.var, tmp_path / "bad", bundles.IMAGES, version="2", probe_shift=0.1)
        promote(swap_server, tmp_path / "prices", "2", bundles.REGRESSION, bias=2.0, serving=LENIENT)
        swap_server.wait_for(lambda: outcomes(swap_server, "shapes") == {(refused, "refused")})
        swap_server.wait_for(lambda: waiting_for(path) == set(swap_server.workers()))
        assert outcomes(swap_server, "loans") == {(waits, "loading")}
        assert {name: served(swap_server, name) for name in SCHEMAS} == {"loans": "1", "prices": "2", "shapes": "1"}
        fcntl.flock(lock, fcntl.LOCK_UN)
        swap_server.wait_for(lambda: outcomes(swap_server, "loans") == {(waits, "serving")})
        time.sleep(0.3)
    assert [(load.failed, load.broken) for load in loads.values()] == [([], 0)] * 3
    assert {name: load.versions[-1] for name, load in loads.items()} == {"loans": "2", "prices": "2", "shapes": "1"}
    assert set(loads["shapes"].versions) == {"1"}


def outcomes(server: Server, usecase: str) -> set[tuple[str, str]]:
    """Return the outcome of the desired champion in each worker."""
    champions = [state.roles["champion"] for state in server.states(usecase)]
    return {(champion.digest, champion.outcome) for champion in champions}


def waiting_for(lock: Path) -> set[int]:
    """Return the processes that wait for the lock."""
    inode = lock.stat().st_ino
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return {int(fields[5]) for fields in lines if fields[1] == "->" and fields[6].endswith(f":{inode}")}


def test_a_swap_empties_the_cache_and_a_hit_is_in_the_header_and_the_log(swap_server: Server, tmp_path: Path) -> None:
    promote(swap_server, tmp_path / "one", "3", bias=0.3, serving=LENIENT)
    connection = http.client.HTTPConnection(
        "127.0.0.1", swap_server.port, timeout=10
    )  # to one worker, which has one cache

    def predict() -> tuple[str | None, str, str]:
        body = json.dumps({"instances": [{**ROW, "age": 33.25}]})
        connection.request("POST", "/v1/models/loans/predict", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = json.loads(answer.read())
        return answer.headers["X-Slipway-Cache"], content["model"]["version"], content["predictions"][0]["id"]

    found = [predict(), predict()]
    promote(swap_server, tmp_path / "two", "4", bias=0.4, serving=LENIENT)
    found += [predict(), predict()]
    assert [cache for cache, _, _ in found] == ["miss", "hit", "miss", "hit"]
    assert [version for _, version, _ in found] == ["3", "3", "4", "4"]
    cached = {event["slipway"]["row_id"]: event["slipway"]["cached"] for event in logged(swap_server.var)}
    assert [cached[identity] for _, _, identity in found] == [False, True, False, True]
    connection.close()


def test_three_bundles_are_kept_and_the_one_that_serves(swap_server: Server, tmp_path: Path) -> None:
    """Promote bundles that the follower accepts and every worker refuses: only a worker runs the probe."""
    digests, options = {}, {"serving": LENIENT}
    with RegistryDouble("prices") as registry:
        follower = Follower("prices", Registry(registry.uri), Settings(var=swap_server.var))
        for number in range(11, 17):
            shift = 0.1 if number > 13 else 0.0
            folder = tmp_path / f"v{number}"
            bundles.write(folder, bundles.REGRESSION, bias=float(number), probe_shift=shift, **options)
            digests[number] = registry.add(str(number), folder)
            registry.aliases["champion"] = str(number)
            follower.poll()
            outcome = "refused" if shift else "serving"
            swap_server.wait_for(lambda: outcomes(swap_server, "prices") == {(digests[number], outcome)})  # noqa: B023
        follower.close()
    assert served(swap_server, "prices") == "13"
    kept = {path.parent.name for path in (swap_server.var / "store").glob("*/version.json")}
    versions = {digest: desired.stored_version(swap_server.var / "store" / digest) for digest in kept}
    of_prices = {digest for digest, found in versions.items() if found.name == "prices"}
    assert of_prices == {digests[13], *(digests[number] for number in (14, 15, 16)[-KEPT:])}
    assert {"loans", "shapes"} <= {found.name for found in versions.values()}
