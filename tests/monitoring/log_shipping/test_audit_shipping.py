"""The audit's second copy in a real Elasticsearch: made, compared byte for byte, and what became of either."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from elasticsearch import Elasticsearch

from monitoring.elk.capabilities import Capabilities
from monitoring.elk.definitions import resources
from monitoring.governance import audit_copies
from monitoring.log_shipping import audit_shipping
from monitoring.log_shipping.audit_shipping import AuditShipper
from slipway import audit, audit_store
from slipway.clients.elasticsearch.connection import connect
from slipway.clients.elasticsearch.streams import AUDIT, DATASETS, stream
from slipway.errors import ServiceError
from slipway.settings import Settings, settings
from tests.conftest import NOWHERE, Ran
from tests.support.damages import DAMAGES
from tests.support.doubles.mlflow_double import MlflowDouble

pytestmark = pytest.mark.timeout(240)  # the first test waits for the server


@pytest.fixture
def client(elk: Settings) -> Elasticsearch:
    """Provide a client, and the stream's templates of `slipway elk setup`."""
    found = connect(elk)
    server = Capabilities("8.19.3", "none", ingest=False, lifecycle=False, security=False)
    for resource in resources(elk, server, dict.fromkeys(DATASETS)):
        if "audit" in resource.name:
            resource.write(found)
    return found


@pytest.fixture
def shipper(elk: Settings, client: Elasticsearch) -> AuditShipper:
    return AuditShipper(elk, client)


def append(number: int = 1, usecase: str = "loans") -> list[audit.AuditLine]:
    evidence = {"alias": "champion", "from": None, "to": "3", "ä": "\u2028"}
    return [
        audit.append(usecase, "promoted", who="ann@laptop", why="it is better", version="3", evidence=evidence)
        for _ in range(number)
    ]


def test_marked_lines_are_copied_once_byte_for_byte(shipper: AuditShipper, elk: Settings) -> None:
    append(3)
    assert audit_copies.compare(elk, "loans").pending == 3
    assert shipper.ship() == 3
    assert shipper.ship() == 0
    found = audit_copies.compare(elk, "loans")
    assert (found.lines, found.pending, found.copy, found.compared) == (3, 0, stream(AUDIT, elk), True)
    assert found.problems == []


def test_a_copy_can_be_searched_by_its_parts(shipper: AuditShipper, elk: Settings, client: Elasticsearch) -> None:
    [line] = append()
    shipper.ship()
    [hit] = client.search(index=stream(AUDIT, elk))["hits"]["hits"]
    source = hit["_source"]
    assert hit["_id"] == source["event"]["id"] == line.id
    assert source["message"] == "loans: promoted by ann@laptop: it is better"
    assert (source["user"]["name"], source["slipway"]["model_version"]) == ("ann@laptop", "3")


def test_a_line_that_two_shippers_send_or_a_killed_one_sent_is_there_once_across_a_roll_over(
    shipper: AuditShipper, elk: Settings, client: Elasticsearch
) -> None:
    [line] = append()
    shipper.ship()
    client.indices.rollover(alias=stream(AUDIT, elk))
    [content] = audit_store.stored(elk, "loans").values()
    audit_store.write(elk, "loans", line.id, line.at[:10], content)  # its mark, again
    assert AuditShipper(elk, client).ship() == 0
    assert audit_store.pending(elk, "loans") == []
    assert client.count(index=stream(AUDIT, elk))["count"] == 1


def test_the_lines_of_an_earlier_release_are_copied_without_a_mark_also_by_a_shipper_that_is_interrupted(
    shipper: AuditShipper, elk: Settings, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in append(3):
        audit_store.settle(elk, "loans", line.id)
    found = audit_copies.compare(elk, "loans")
    assert (found.pending, found.problems) == (3, [])
    monkeypatch.setattr(audit_shipping, "_AT_ONCE", 1)

    def interrupted(config: Settings, usecase: str, id: str) -> None:
        raise OSError("killed after the first copy")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(audit_store, "settle", interrupted)
        shipper.ship()
    assert AuditShipper(elk, client).ship() == 2
    assert audit_store.pending(elk, "loans") == []
    found = audit_copies.compare(elk, "loans")
    assert (found.lines, found.pending, found.problems) == (3, 0, [])


def test_a_stream_that_lost_all_copies_gets_them_again(
    shipper: AuditShipper, elk: Settings, client: Elasticsearch
) -> None:
    append(2)
    shipper.ship()
    for hit in client.search(index=stream(AUDIT, elk))["hits"]["hits"]:
        client.delete(index=hit["_index"], id=hit["_id"], refresh=True)
    assert audit_copies.compare(elk, "loans").pending == 2
    assert shipper.ship() == 2
    assert audit_copies.compare(elk, "loans").pending == 0


def test_a_line_that_was_changed_to_name_another_use_case_is_compared_with_its_copy(
    shipper: AuditShipper, elk: Settings
) -> None:
    [line] = append()
    path = settings().var / "log" / audit_store.names(elk, "loans")[line.id]
    path.write_bytes(path.read_bytes().replace(b'"usecase":"loans"', b'"usecase":"other"'))
    shipper.ship()
    assert audit_copies.compare(elk, "loans").problems == []


def test_a_line_that_elasticsearch_refuses_keeps_its_mark_and_is_logged_once(
    shipper: AuditShipper, elk: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    refused, _ = append(2)
    path = settings().var / "log" / audit_store.names(elk, "loans")[refused.id]
    path.write_bytes(path.read_bytes().replace(b'"at":"2', b'"at":"no time 2'))
    assert shipper.ship() == 1
    assert shipper.ship() == 0
    assert audit_store.pending(elk, "loans") == [refused.id]
    [record] = [record for record in caplog.records if "was refused" in record.getMessage()]
    assert refused.id in record.getMessage()


def test_changed_and_removed_lines_are_told_apart(shipper: AuditShipper, elk: Settings, client: Elasticsearch) -> None:
    changed, removed_there, removed_here, _ = append(4)
    shipper.ship()
    names = audit_store.names(elk, "loans")
    folder = settings().var / "log"
    (folder / names[changed.id]).write_bytes((folder / names[changed.id]).read_bytes().replace(b"ann", b"bob"))
    (folder / names[removed_here.id]).unlink()
    [hit] = client.search(index=stream(AUDIT, elk), query={"ids": {"values": [removed_there.id]}})["hits"]["hits"]
    client.delete(index=hit["_index"], id=removed_there.id, refresh=True)
    problems = audit_copies.compare(elk, "loans").problems
    assert [changed.id in problems[0], removed_there.id in problems[1], removed_here.id in problems[2]] == [True] * 3
    assert ["was changed" in problems[0], "removed there" in problems[1], "only" in problems[2]] == [True] * 3
    assert len(problems) == 3


def test_lines_that_cannot_be_read_keep_no_other_from_being_copied(shipper: AuditShipper, elk: Settings) -> None:
    damages = ["a folder", "a pipe", "a file of gigabytes", "truncated", "not UTF-8"]
    lines = append(len(damages) + 2)
    names = audit_store.names(elk, "loans")
    for line, damage in zip(lines[1:], damages, strict=False):
        DAMAGES[damage](settings().var / "log" / names[line.id])
    assert shipper.ship() == 2
    assert len(audit_store.pending(elk, "loans")) == len(damages)


def test_a_mark_copies_its_own_line_whatever_it_holds(shipper: AuditShipper, elk: Settings) -> None:
    marks = ["../../secret", "/etc/hostname", "\udcff", ""]
    for line, mark in zip(append(len(marks)), marks, strict=True):
        [path] = (settings().var / "log").rglob(f"pending/{line.id}")
        path.write_text(mark, errors="surrogateescape")
    assert shipper.ship() == len(marks)
    assert audit_copies.compare(elk, "loans").problems == []


def test_while_elasticsearch_is_away_lines_wait_and_history_says_that_nothing_was_compared(
    elk: Settings, monkeypatch: pytest.MonkeyPatch, var
) -> None:
    append(2)
    away = elk.model_copy(update={"elasticsearch_url": NOWHERE})
    with pytest.raises(ServiceError, match="cannot be reached"):
        AuditShipper(away, connect(away)).ship()
    assert len(audit_store.pending(elk, "loans")) == 2
    found = audit_copies.compare(away, "loans")
    assert (found.pending, found.compared, found.problems) == (2, False, [])
    assert "the audit was not compared" in found.warnings[0]


def test_without_elasticsearch_there_is_one_copy_and_no_complaint(var) -> None:
    audit.append("loans", "promoted", who="ann@laptop")
    found = audit_copies.compare(settings(), "loans")
    assert (found.lines, found.copy, found.problems, found.warnings) == (1, None, [], [])


def test_the_commands_copy_compare_and_name_an_altered_copy(
    elk: Settings, client: Elasticsearch, cli: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    with MlflowDouble() as mlflow:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.uri)
        settings.cache_clear()
        line = audit.append("loans", "retraining.paused", who="ann@laptop")
        assert "; 1 are not copied yet." in cli("history", "loans").out
        assert "1 audit lines were copied to Elasticsearch" in cli("ship", "--once").out
        ran = cli("history", "loans")
        assert (ran.code, f"1 audit lines, in the log and in {stream(AUDIT, elk)}." in ran.out) == (0, True)
        alter(client, stream(AUDIT, elk), line.id)
        ran = cli("history", "loans")
        named = f"the audit line {line.id} is not the same in {stream(AUDIT, elk)}: one of the two was changed."
        assert (ran.code, named in ran.out) == (1, True)


def alter(client: Elasticsearch, index: str, id: str) -> None:
    found = client.search(index=index, query={"ids": {"values": [id]}}, seq_no_primary_term=True)
    [hit] = found["hits"]["hits"]
    document = hit["_source"]
    document["event"]["original"] = document["event"]["original"].replace("ann", "bob")
    seen = {"if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}
    client.index(index=hit["_index"], id=id, document=document, refresh=True, **seen)
