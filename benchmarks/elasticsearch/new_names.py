"""Mapping of the stream before and after a caller sent names and values of features that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.elasticsearch import events
from benchmarks.elasticsearch.figure import Figure
from benchmarks.elasticsearch.node import Node
from benchmarks.elasticsearch.throughput import new_environment
from benchmarks.monitoring.child_process import measure

NAMES = 10_000
_NAMES_OF_A_ROW = 10


def new_names(node: Node, names: int = NAMES) -> Iterator[Figure]:
    """Compare the bytes of the mapping, and count the documents."""
    with TemporaryDirectory() as temporary:
        home, environment = Path(temporary), new_environment()
        settings = node.environment(home, environment)
        stream = node.set_up(settings)
        _ship(home, settings, [events.request(environment, 1)])
        before = node.mapping(stream)
        rows = [_row(first) for first in range(0, names, _NAMES_OF_A_ROW)]
        _ship(home, settings, [events.request(environment, len(rows), rows)])
        after, documents = node.mapping(stream), node.count(stream)
    met = after == before and documents == 1 + len(rows)
    measured = f"{len(before):,} bytes before, {len(after):,} after, {documents:,} of {1 + len(rows):,} documents"
    yield Figure(f"mapping, after {names:,} new names and values of features", measured, "unchanged", met)


def _row(first: int) -> Mapping[str, float | str]:
    """Features with names of a caller's own: a number, a text, and parts that look like objects."""
    kinds = (lambda n: n / 7, lambda n: f"value {n}")
    return {f"name_{n}.of.{n}": kinds[n % 2](n) for n in range(first, first + _NAMES_OF_A_ROW)}


def _ship(home: Path, settings: Mapping[str, str], lines: list[list[bytes]]) -> None:
    events.spool(home / "var" / "spool", lines)
    measure(["-m", "slipway.cli", "ship", "--once"], settings)
