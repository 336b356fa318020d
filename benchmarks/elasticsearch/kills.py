"""Events that arrive in both copies although shipper and Elasticsearch are killed and stopped again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from elasticsearch.helpers import scan

from benchmarks.elasticsearch import events
from benchmarks.elasticsearch.figure import Figure
from benchmarks.elasticsearch.node import Node, OwnNode
from benchmarks.elasticsearch.shipper_process import RunningShipper
from benchmarks.elasticsearch.throughput import new_environment
from scenarios.harness.waiting import until
from slipway.prediction_log import connect
from slipway.prediction_log.layout import partitions
from slipway.settings import Settings

EVENTS, KILLS, STOPS = 100_000, 20, 3
_LEAST_SECONDS, _MOST_SECONDS = 2.0, 5.0  # that a shipper lives, from its first pass on
_START_SECONDS = 3.0
_STOPPED_SECONDS = 3.0
_MOST_WAIT = 120.0


@dataclass(frozen=True)
class Counts:
    """Events of both copies, and how many different ones these are."""

    documents: int
    ids: int
    rows: int
    row_ids: int
    indices: int


def kills(node: OwnNode, number: int = EVENTS, killed: int = KILLS, stopped: int = STOPS) -> Iterator[Figure]:
    """Count both copies after the kills, the stops, with roll-overs and rotations between them."""
    found = counts_after(node, number, killed, stopped)
    same = {found.documents, found.ids, found.rows, found.row_ids} == {number}
    measured = (
        f"{found.documents:,} documents of {found.ids:,} ids in {found.indices} indices, "
        f"{found.rows:,} rows of {found.row_ids:,} ids in Parquet"
    )
    name = f"{number:,} events, shipper killed {killed} times, Elasticsearch stopped {stopped} times, with roll-overs"
    yield Figure(name, measured, f"exactly {number:,} each", same)


def counts_after(node: OwnNode, number: int, killed: int, stopped: int) -> Counts:
    """Let the events arrive during kills and stops, ship what is left, and count."""
    with TemporaryDirectory() as temporary:
        home, name = Path(temporary), new_environment()
        environment = node.environment(home, name)
        stream = node.set_up(environment)
        life = _START_SECONDS + (_LEAST_SECONDS + _MOST_SECONDS) / 2
        rate = max(1, int(number / (killed * life)))  # so that events arrive until the last kill
        with events.arriving(home / "var" / "spool", name, rate, number) as arrival:
            _disturb(node, stream, environment, killed, stopped)
            arrival.done.wait()
        last = RunningShipper(environment)
        last.wait_ready()
        last.drain()
        return _counts(node, stream, Settings(var=home / "var", environment=name))


def _disturb(node: OwnNode, stream: str, environment: Mapping[str, str], killed: int, stopped: int) -> None:
    """Kill the shipper at any time, roll the stream over in each of its lives, and stop the node in some."""
    stops = set(random.sample(range(killed), stopped))
    for life in range(killed):
        shipper = RunningShipper(environment)
        shipper.wait_ready()
        seconds = random.uniform(_LEAST_SECONDS, _MOST_SECONDS)
        time.sleep(seconds / 2)
        if life in stops:
            node.stop()
            time.sleep(_STOPPED_SECONDS)
            node.start()
        if not until(lambda: bool(node.client.indices.exists(index=stream)), _MOST_WAIT):  # the first bulk makes it
            raise RuntimeError(f"{stream} is not there {_MOST_WAIT:.0f} s after a shipper began")
        node.client.indices.rollover(alias=stream)
        time.sleep(seconds / 2)
        shipper.kill()


def _counts(node: Node, stream: str, settings: Settings) -> Counts:
    documents = node.count(stream)
    ids = {hit["_id"] for hit in scan(node.client, index=stream, _source=False, size=10_000)}
    folder = Path(settings.log_root) / partitions(settings, "prediction", events.NAME)
    files = f"read_parquet('{folder}/*/*.parquet')"
    with connect(settings) as connection:
        counted = connection.execute(f"""SELECT count(*), count(DISTINCT "event.id") FROM {files}""").fetchone()
    assert counted is not None
    return Counts(documents, len(ids), *counted, len(node.client.indices.get(index=stream)))
