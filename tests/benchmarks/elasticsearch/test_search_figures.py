"""The benchmark of docs/explanation/search-performance.md, reduced: all that it counts is in a real Elasticsearch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest

from benchmarks.elasticsearch import __main__ as command
from benchmarks.elasticsearch import events
from benchmarks.elasticsearch.figure import Figure, table
from benchmarks.elasticsearch.kills import counts_after
from benchmarks.elasticsearch.lookup import lookup
from benchmarks.elasticsearch.new_names import new_names
from benchmarks.elasticsearch.node import Node, started
from benchmarks.elasticsearch.throughput import bulk_rate, shipped
from benchmarks.pages import BEGIN, END
from slipway.prediction_log import segments
from slipway.settings import Settings
from tests.support import search_servers


@pytest.fixture
def node(elasticsearch: str) -> Iterator[Node]:
    found = Node(elasticsearch)
    yield found
    found.client.close()


def test_a_body_has_each_event_under_its_id_and_ends_where_it_is_full() -> None:
    lines = list(events.requests("bench", 250))
    made = list(events.bodies(lines, most_bytes=100_000))
    assert len(made) > 1 and all(len(body) <= 100_000 for body in made)
    pairs = [msgspec.json.decode(part) for body in made for part in body.splitlines()]
    actions, documents = pairs[::2], pairs[1::2]
    assert [one["create"]["_id"] for one in actions] == [one["event"]["id"] for one in documents]
    assert len({one["event"]["id"] for one in documents}) == sum(map(len, lines)) == 250
    assert {one["service"]["environment"] for one in documents} == {"bench"}
    assert all(len(one["slipway"]["features"]) == 20 for one in documents)


def test_events_arrive_at_their_rate_in_segments_until_there_are_enough(tmp_path: Path) -> None:
    with events.arriving(tmp_path, "bench", rate=10_000, most=250) as arrival:
        assert arrival.done.wait(10) and arrival.written == 250
    found = segments(tmp_path, events.NAME)
    assert sum(one.path.read_bytes().count(b"\n") for one in found) == 250
    assert all(one.complete for one in found)


def test_the_table_has_a_row_for_each_figure_of_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / command.PAGE).write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    (tmp_path / command.RECORD).write_text(json.dumps({"lookup": [["found", "90 ms", "≤ 100 ms", True]]}))
    monkeypatch.setattr(command, "started", lambda program: nullcontext())
    monkeypatch.setitem(command.GROUPS, "kills", lambda node: iter([Figure("lost", "1", "0", False)]))
    command.measure_groups("", ["kills"], tmp_path)
    shown = (tmp_path / command.PAGE).read_text().splitlines()
    assert shown[4:6] == ["| lost | 1 | 0 | **no** |", "| found | 90 ms | ≤ 100 ms | yes |"]


def test_the_page_shows_what_the_record_has() -> None:
    record = json.loads((command.FOLDER / command.RECORD).read_text())
    rows = [Figure(*values) for group in command.GROUPS for values in record.get(group, [])]
    page = (command.FOLDER / command.PAGE).read_text()
    assert page.split(BEGIN)[1].split(END)[0].strip().splitlines() == table(rows)


def test_the_shipper_and_a_parallel_bulk_bring_every_event(node: Node) -> None:
    assert shipped(node, 500) > 0
    assert bulk_rate(node, 500) > 0


def test_names_of_a_caller_add_no_field_to_the_mapping(node: Node) -> None:
    (figure,) = new_names(node, names=200)
    assert figure.met, figure.measured


def test_a_log_that_is_replayed_is_searched_by_id_in_both_copies(node: Node, elk: Settings) -> None:
    *found, replayed = lookup(node, files=1, file_rows=500)
    assert [one.name.rpartition(" ")[2] for one in found] == ["Elasticsearch", "Parquet"]
    assert all("ms" in one.measured for one in found) and replayed.measured.endswith("/s")


@pytest.mark.slow
def test_a_kill_and_a_stop_and_a_roll_over_lose_no_event_and_double_none(
    needs: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", search_servers.JAVA_OPTIONS)
    with started(str(needs("elasticsearch"))) as own:
        found = counts_after(own, number=1_000, killed=1, stopped=1)
    assert (found.documents, found.ids, found.rows, found.row_ids) == (1_000,) * 4
    assert found.indices > 1
