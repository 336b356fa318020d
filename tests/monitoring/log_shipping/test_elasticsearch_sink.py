"""The sink in Elasticsearch, whose client meets every fault: nothing is lost, nothing is there twice, nothing stops."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from monitoring.log_shipping import checkpoints, delivery, elasticsearch_sink, event_lines, refused_documents
from monitoring.log_shipping.elasticsearch_sink import ElasticsearchSink
from monitoring.log_shipping.event_lines import Document
from monitoring.log_shipping.refill import replay_refused
from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink, SinkUnavailable, Totals
from slipway.prediction_log import segments
from slipway.prediction_log.jsonl import MAX_LINE
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.system.backoff import Backoff
from tests.bentos.images.container import fill, volume
from tests.support.doubles import elasticsearch_double as doubles
from tests.support.doubles.elasticsearch_double import ElasticsearchDouble, Fault
from tests.support.prediction_log.sample_events import USECASE, label, prediction

STREAM = "logs-slipway.prediction-local"
ROWS = [f"r{number:02}" for number in range(13)]
IDS = {f"{row}:champion:1" for row in ROWS}


@pytest.fixture
def server() -> ElasticsearchDouble:
    return ElasticsearchDouble()


@pytest.fixture(autouse=True)
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds for which a delivery would have slept."""
    seconds: list[float] = []
    monkeypatch.setattr(delivery, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


def sink(config: Settings, server: ElasticsearchDouble, totals: Totals | None = None) -> ElasticsearchSink:
    return ElasticsearchSink(config, totals or Totals(), server.client, Backoff(0.0, 0.0))


def shipper(config: Settings, server: ElasticsearchDouble) -> Shipper:
    totals = Totals()
    return Shipper(config, [ParquetSink(config), sink(config, server, totals)], totals)


@pytest.fixture
def thirteen(write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment of thirteen events, which are sent in seven bulks."""
    monkeypatch.setattr(event_lines, "MOST_DOCUMENTS", 2)
    write(*map(prediction, ROWS))


def once(server: ElasticsearchDouble, ids: set[str] = IDS) -> bool:
    return server.ids(STREAM) == dict.fromkeys(ids, 1)


def test_events_become_documents_as_they_are_in_the_stream_of_their_kind(config, write, server):
    write(prediction("a"))
    write(label(5, 4, row="a", label="bad"), stream="feedback")
    assert shipper(config, server).ship().events == 2
    assert server.streams[STREAM] == [{"a:champion:1": prediction("a").strip()}]
    assert len(server.ids("logs-slipway.feedback-local")) == 1
    assert segments(config.spool, USECASE) == []
    assert list((config.spool / USECASE).iterdir()) == []
    assert server.questions == []


class Killed(BaseException):
    """Stands in for a kill: nothing that follows runs."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(8))
def test_a_kill_at_any_request_loses_and_doubles_nothing_also_after_a_roll_over(config, thirteen, server, when, nth):
    requests = []

    def die(now: str) -> None:
        if now == when:
            requests.append(now)
            if len(requests) > nth:
                raise Killed

    server.on_request = die
    with suppress(Killed):
        Shipper(config, [sink(config, server)]).ship()
    server.on_request = lambda now: None
    server.roll_over()
    assert not Shipper(config, [sink(config, server)]).ship().failed
    assert once(server)


@pytest.mark.parametrize("nth", range(9))
def test_a_kill_at_any_write_to_the_disk_loses_and_doubles_nothing(config, thirteen, server, monkeypatch, nth):
    calls = []
    truncate = os.truncate

    def die(*args) -> None:
        calls.append(args)
        if len(calls) > nth:
            raise Killed
        truncate(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "truncate", die)
        with suppress(Killed):
            Shipper(config, [sink(config, server)]).ship()
    server.roll_over()
    assert not Shipper(config, [sink(config, server)]).ship().failed
    assert once(server)


FATE_UNKNOWN = [
    doubles.half_response,
    doubles.cut_response,
    doubles.lost_response,
    doubles.bad_gateway,
    doubles.other_order,
]
TAKES_NOTHING = [
    doubles.no_connection,
    doubles.read_only,
    doubles.no_template,
    doubles.too_many_shards,
    doubles.wrong_key,
    doubles.html,
    doubles.login_page,
    doubles.other_documents,
    doubles.no_status,
    doubles.status_200,
    doubles.no_items,
]


@pytest.mark.parametrize("fault", [*FATE_UNKNOWN, *TAKES_NOTHING], ids=lambda fault: fault.__name__)
def test_whatever_a_bulk_comes_to_each_event_is_there_once(config, thirteen, server, fault: Fault):
    server.store(STREAM, [])
    server.faults = [fault]
    shipping = shipper(config, server)
    failed = shipping.ship().failed
    assert len(failed) == 1 and "did not reach Elasticsearch: " in failed[0]
    assert len(segments(config.spool, USECASE)) == 1
    server.roll_over()
    assert shipping.ship().failed == []
    assert once(server)
    assert segments(config.spool, USECASE) == []
    assert object_store(config).names("refused/local") == []


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (doubles.wrong_key, "ELASTICSEARCH_API_KEY"),
        (doubles.html, "Set ELASTICSEARCH_URL to the server itself"),
        (doubles.no_template, "slipway elk status"),
        (doubles.read_only, "FORBIDDEN/8/index write"),
        (doubles.half_response, "it answered for 1 of 2 documents"),
        (doubles.login_page, "302: it redirects to"),
        (doubles.no_status, "required field `status`"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_failure_says_what_to_do(config, thirteen, server, fault: Fault, advice: str):
    server.faults = [fault]
    assert advice in shipper(config, server).ship().failed[0]


def test_a_key_that_is_replaced_in_its_file_is_used_without_a_restart(config, write, server, tmp_path):
    write(prediction("a"))
    file = tmp_path / "key"
    file.write_text("old")
    server.key = "new"
    config = config.model_copy(update={"elasticsearch_api_key_file": file})
    shipping = shipper(config, server)
    for _ in range(2):
        assert "401: the credentials are missing, wrong or expired" in shipping.ship().failed[0]
    file.write_text("new")
    assert shipping.ship().failed == []
    assert once(server, {"a:champion:1"})


def test_two_machines_with_the_same_events_write_them_once(config, write, server, tmp_path):
    write(*map(prediction, ROWS))
    other = config.model_copy(update={"var": tmp_path / "other"})
    shutil.copytree(config.spool, other.spool)
    shippers = [Shipper(each, [sink(each, server)]) for each in (config, other)]
    with ThreadPoolExecutor(2) as threads:
        results = [threads.submit(each.ship) for each in shippers]
    assert [result.result().failed for result in results] == [[], []]
    assert once(server)


def test_what_there_is_no_room_for_is_sent_again_later_and_nothing_else(config, thirteen, server, paused):
    server.faults = [doubles.half_busy]
    shipping = shipper(config, server)
    assert shipping.ship().failed == []
    assert once(server) and server.questions == []
    assert shipping.totals.retried == {USECASE: 1}
    assert len(paused) == 1 and 0.25 <= paused[0] <= 0.5


def test_the_wait_that_the_server_asks_for_is_kept(config, write, server, paused):
    write(prediction("a"))
    server.faults = [doubles.busy]
    assert shipper(config, server).ship().failed == []
    assert paused == [7.0]


def test_a_server_that_stays_busy_is_left_alone_for_a_while(config, write, server):
    write(prediction("a"))
    server.faults = [doubles.busy] * delivery.ATTEMPTS
    clock = [100.0]
    taking = ElasticsearchSink(config, Totals(), server.client, Backoff(10.0, 60.0, lambda: clock[0]))
    shipping = Shipper(config, [taking])
    assert "rejected 5 times" in shipping.ship().failed[0]
    assert "rejected 5 times" in shipping.ship().failed[0]
    assert len(server.bulks) == delivery.ATTEMPTS
    clock[0] += 10.0
    assert shipping.ship().failed == []
    assert once(server, {"a:champion:1"})


def test_a_bulk_that_is_too_large_is_halved_and_a_single_document_kept(config, write, server, monkeypatch):
    write(*map(prediction, ROWS), prediction("large", key="k" * 900))
    server.most_bytes = len(prediction("large", key="k" * 900)) - 100
    shipping = shipper(config, server)
    assert shipping.ship().failed == []
    assert once(server)
    assert shipping.totals.refused == {USECASE: 1}


def test_refused_documents_are_kept_with_the_reason_and_taken_again(config, thirteen, server):
    server.refuses = {"r03:champion:1", "r12:champion:1"}
    shipping = shipper(config, server)
    assert shipping.ship().failed == []
    assert shipping.ship().failed == []  # which moves what the first pass kept
    assert once(server, IDS - server.refuses)
    assert shipping.totals.refused == {USECASE: 2}
    store = object_store(config)
    names = refused_documents.names(config, store, USECASE)
    kept = [json.loads(line) for name in names for line in store.read(name).splitlines()]
    assert {(each["stream"], each["status"], each["type"]) for each in kept} == {
        ("prediction", 400, "document_parsing_exception")
    }
    assert {each["document"]["event"]["id"] for each in kept} == server.refuses

    server.refuses = {"r03:champion:1"}
    done = replay_refused(config, server.client())
    assert (done.documents, done.refused) == (1, 1)
    server.refuses = set()
    done = replay_refused(config, server.client())
    assert (done.documents, done.refused) == (1, 0)
    assert once(server)
    assert refused_documents.names(config, store, USECASE) == []


def test_a_refused_document_that_cannot_be_kept_holds_its_segment(config, thirteen, server):
    server.refuses = {"r03:champion:1"}
    (config.spool / USECASE / "refused").write_text("a file in place of the folder")
    shipping = shipper(config, server)
    assert "did not reach Elasticsearch" in shipping.ship().failed[0]
    (config.spool / USECASE / "refused").unlink()
    assert shipping.ship().failed == []
    assert once(server, IDS - server.refuses)
    assert shipping.ship().failed == []
    assert len(refused_documents.names(config, object_store(config), USECASE)) == 1


@pytest.mark.slow
def test_a_disk_without_room_holds_a_segment_until_there_is_some(config, server, write, monkeypatch, needs, log):
    needs("unshare")  # which may mount volumes, as this test does
    monkeypatch.setattr(event_lines, "MOST_DOCUMENTS", 2)
    server.refuses = {"r03:champion:1"}
    with volume(config.spool):
        write(*map(prediction, ROWS))
        filler = fill(config.spool)
        shipping = shipper(config, server)
        assert "No space left on device" in shipping.ship().failed[0]  # what is refused cannot be kept
        assert len(segments(config.spool, USECASE)) == 1
        assert log.predictions(USECASE).count("*").fetchall() == [(len(ROWS),)]
        server.roll_over()
        filler.unlink()
        assert shipping.ship().failed == shipping.ship().failed == []
        assert segments(config.spool, USECASE) == []
    assert once(server, IDS - server.refuses)
    assert len(refused_documents.names(config, object_store(config), USECASE)) == 1


@pytest.mark.slow
def test_a_disk_without_an_inode_for_the_checkpoint_sends_nothing_yet(config, server, write, needs):
    needs("unshare")
    with volume(config.spool, "nr_inodes=5"):  # root, folder of the use case, segment, locks
        write(*map(prediction, ROWS))
        fillers = list(_without_inodes(config.spool))
        shipping = shipper(config, server)
        assert "No space left on device" in shipping.ship().failed[0]
        assert server.bulks == []
        for filler in fillers:
            filler.unlink()
        assert shipping.ship().failed == []
    assert once(server)


def _without_inodes(folder: Path) -> Iterator[Path]:
    (folder / ".ship.lock").touch()  # as an earlier pass leaves it
    for number in range(10):
        with suppress(OSError):
            (folder / f"filler-{number}").touch()
            yield folder / f"filler-{number}"


def test_lines_that_are_no_events_go_nowhere_but_to_parquet(config, write, server, log):
    broken = [
        b"nothing\n",
        b"\x00" * 4096 + b"\n",
        b'{"event":{"id":"cut"},"@timestamp":"2026-03-01T00:00:00Z","slipw\n',
        b'{"event":{"id":"no time"}}\n',
        b'{"event":{"id":"no text"},"@timestamp":"2026-03-01T00:00:00Z","a":"\xff"}\n',
        b'{"event":{"id":"long"},"@timestamp":"2026-03-01T00:00:00Z","a":"' + b"x" * (3 * MAX_LINE) + b'"}\n',
    ]
    write(prediction("a"), *broken, prediction("b"))
    assert shipper(config, server).ship().failed == []
    assert once(server, {"a:champion:1", "b:champion:1"})
    log.predictions(USECASE)
    assert log.bad_lines == len(broken)


@pytest.mark.parametrize(
    ("id", "lines"),
    [
        ("a", b'{"event":{"id":"a"},"@timestamp":"2026-03-01T00:00:00Z","slipway":{"score":NaN}}\n'),
        ("a", b'{"event":{"id":"a"},"@timestamp":"2026-03-01T00:00:00Z","slipway":{"features":{"x":[-Infinity]}}}\n'),
        ("5", b'{"event":{"id":5},"@timestamp":"2026-03-01T00:00:00Z"}\n'),
        ("a", b'\xef\xbb\xbf{"event":{"id":"a"},"@timestamp":"2026-03-01T00:00:00Z"}\n'),
    ],
)
def test_what_is_an_event_for_parquet_is_one_for_elasticsearch(config, write, server, log, id, lines):
    write(lines)
    assert shipper(config, server).ship().failed == []
    assert once(server, {id})
    [[document]] = [list(index.values()) for index in server.streams[STREAM]]
    assert b"NaN" not in document and b"Infinity" not in document
    assert log.predictions(USECASE, answered=False, tests=True).select('"event.id"').fetchall() == [(id,)]


def test_a_segment_cut_in_a_line_gives_what_is_whole(config, write, server):
    write(prediction("a"), prediction("b"))
    (segment,) = segments(config.spool, USECASE)
    os.truncate(segment.path, segment.path.stat().st_size - 30)
    assert shipper(config, server).ship().failed == []
    assert once(server, {"a:champion:1"})


def test_events_of_a_newer_contract_and_of_the_future_are_taken_as_they_are(config, write, server):
    newer = json.loads(prediction("a", 10**9))
    newer["slipway"] |= {"contract": 99, "something_new": {"deep": [1]}}
    write(json.dumps(newer).encode())
    assert shipper(config, server).ship().failed == []
    [[document]] = [list(index.values()) for index in server.streams[STREAM]]
    assert json.loads(document) == newer


def test_an_outage_of_elasticsearch_does_not_stop_parquet(config, write, server, log):
    for row in "abcdefgh":
        write(prediction(row))
    server.faults = [doubles.no_connection] * 100
    shipping = shipper(config, server)
    shipping.ship()
    assert 1 <= len(shipping.ship().failed) <= ElasticsearchSink.at_once
    assert len(list(Path(config.log_root).rglob("*.parquet"))) == 8
    assert len(segments(config.spool, USECASE)) == 8
    lags = shipping.lags()
    assert lags[USECASE, "Parquet"] == 0.0 and lags[USECASE, "Elasticsearch"] > 0.0


def test_an_outage_of_parquet_does_not_stop_elasticsearch(config, thirteen, server):
    folder = Path(config.log_root) / "predictions"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    shipping = shipper(config, server)
    assert "did not reach Parquet" in shipping.ship().failed[0]
    assert once(server)
    folder.unlink()
    assert shipping.ship().segments == 1
    assert once(server)


def test_a_restart_reads_on_at_the_checkpoint(config, thirteen, server, monkeypatch):
    monkeypatch.setattr(elasticsearch_sink, "AT_ONCE", 1)
    server.faults = [doubles.no_fault, *[doubles.no_connection] * 100]
    with suppress(SinkUnavailable):
        sink(config, server).take(USECASE, segments(config.spool, USECASE)[0])
    (segment,) = segments(config.spool, USECASE)
    assert 0 < checkpoints.read(segment) < segment.path.stat().st_size
    server.faults = []
    assert sink(config, server).take(USECASE, segment) == len(ROWS) - 2
    assert once(server)
    assert server.questions == [{"r02:champion:1", "r03:champion:1"}]  # what follows was never sent


def test_checkpoints_go_with_their_segments(config, thirteen, server):
    (segment,) = segments(config.spool, USECASE)
    checkpoints.write(segment, 10)
    assert checkpoints.read(segment) == 10
    checkpoints.write(segment, 10**9)
    assert checkpoints.read(segment) == 0
    segment.path.unlink()
    shipper(config, server).ship()
    assert list((config.spool / USECASE).iterdir()) == []


def test_bulks_are_limited_by_bytes_and_number(monkeypatch, config, write):
    write(*map(prediction, ROWS))
    (segment,) = segments(config.spool, USECASE)
    line = len(prediction(ROWS[0]))
    monkeypatch.setattr(event_lines, "MOST_BYTES", 3 * line)
    with segment.path.open("rb") as file:
        found = list(event_lines.batches(file))
        assert [len(batch.documents) for batch in found] == [3, 3, 3, 3, 1]
        again = list(event_lines.batches(file, found[1].end))
    assert again == found[2:]
    assert found[-1].end == segment.path.stat().st_size


@pytest.mark.parametrize("length", [*range(6, 14), 20, 24, 25, 40, 47, 48, 49, 100])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_long_lines_are_read_by_pieces_and_overlong_ones_left_out(monkeypatch, tmp_path, length, end):
    monkeypatch.setattr(event_lines, "_PIECE", 8)
    monkeypatch.setattr(event_lines, "MAX_LINE", 48)
    monkeypatch.setattr(event_lines, "parse", lambda line: Document("", line) if line else None)
    long = b"x" * (length - len(end)) + end
    path = tmp_path / "lines"
    path.write_bytes(b"a\n" + long)
    with path.open("rb") as file:
        [batch] = event_lines.batches(file)
    assert [line for _, line in batch.documents] == [b"a\n", long][: 1 + (length <= 48)]
    assert (batch.start, batch.end) == (0, 2 + length)


def test_a_stream_that_is_deleted_meanwhile_goes_on_with_what_comes(config, write, server):
    shipping = shipper(config, server)
    write(prediction("a"))
    assert shipping.ship().failed == []
    server.streams.clear()
    write(prediction("b"))
    assert shipping.ship().failed == []
    assert once(server, {"b:champion:1"})


def test_two_shippers_of_one_spool_write_nothing_twice(config, write, server):
    for number in range(12):
        write(prediction(f"s{number}"))
    threads = [threading.Thread(target=shipper(config, server).ship) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert once(server, {f"s{number}:champion:1" for number in range(12)})
    assert segments(config.spool, USECASE) == []


def test_a_checkpoint_that_is_older_than_it_should_be_doubles_nothing(config, thirteen, server):
    (segment,) = segments(config.spool, USECASE)
    assert sink(config, server).take(USECASE, segment) == len(ROWS)
    checkpoints.write(segment, 0)
    server.roll_over()
    assert sink(config, server).take(USECASE, segment) == len(ROWS)
    assert once(server)


def test_a_segment_that_waited_while_a_replay_sent_its_events_doubles_nothing(config, thirteen, server):
    (segment,) = segments(config.spool, USECASE)
    server.store(STREAM, [event_lines.parse(prediction(row)) for row in ROWS])
    server.roll_over()
    waited = replace(segment, opened=segment.opened - timedelta(hours=2))
    assert sink(config, server).take(USECASE, waited) == len(ROWS)
    assert once(server)
