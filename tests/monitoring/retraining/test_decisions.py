"""The record of decisions: what repeats is counted, nothing with another reason is lost, and a start has one record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.retraining.decisions import Decisions
from slipway import audit
from slipway.settings import settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DRIFT: dict[str, Any] = {"asked_for": "drift", "asked_by": "monitor", "version": "3"}


@pytest.fixture
def decisions(var: Path) -> Decisions:
    return Decisions(settings(), "loans")


def files(var: Path) -> list[str]:
    return sorted(path.name for path in (var / "log" / "retraining" / "local" / "loans").iterdir())


def test_a_storm_of_equal_refusals_is_one_file_with_a_count(decisions: Decisions, var: Path) -> None:
    for second in range(200):
        decisions.refuse(NOON + timedelta(seconds=second), "labels", reason=f"{second} of 500 rows.", **DRIFT)
    assert files(var) == ["20260301-refused-drift-monitor-labels.json", "latest.json"]
    [found] = decisions.recent()
    assert (found.times, found.at, found.last) == (200, "2026-03-01T12:00:00.000Z", "2026-03-01T12:03:19.000Z")
    assert found.reason == "199 of 500 rows.", "the newest figures"
    assert [line.action for line in audit.lines("loans")] == ["retraining.refused"]


def test_refusals_that_alternate_are_counted_apart_and_none_is_lost(decisions: Decisions) -> None:
    for _ in range(10):
        decisions.refuse(NOON, "labels", reason="Too few.", **DRIFT)
        decisions.refuse(NOON, "paused", reason="Paused.", **DRIFT)
        decisions.refuse(NOON, "labels", reason="Too few.", **{**DRIFT, "asked_by": "alertmanager"})
        decisions.refuse(NOON, "labels", reason="Too few.", **{**DRIFT, "asked_for": "age"})
    assert [one.times for one in decisions.recent()] == [10] * 4
    assert len(audit.lines("loans")) == 4


def test_the_same_refusal_on_another_day_is_another_record(decisions: Decisions) -> None:
    decisions.refuse(NOON, "labels", reason="Too few.", **DRIFT)
    decisions.refuse(NOON + timedelta(days=1), "labels", reason="Too few.", **DRIFT)
    assert [one.at[:10] for one in decisions.recent()] == ["2026-03-02", "2026-03-01"]


def test_a_start_recorded_twice_is_one(decisions: Decisions) -> None:
    for _ in range(2):
        decisions.start(NOON, "f1", reason="No rule refuses.", **DRIFT)
    decisions.start(NOON + timedelta(days=2), "f2", reason="No rule refuses.", **DRIFT)
    assert list(decisions.starts().items()) == [("f1", NOON), ("f2", NOON + timedelta(days=2))]
    assert decisions.latest().flow_run_id == "f2"


def test_a_record_that_cannot_be_read_is_recorded_anew(decisions: Decisions, var: Path) -> None:
    decisions.refuse(NOON, "labels", reason="Too few.", **DRIFT)
    for name in files(var):
        (var / "log" / "retraining" / "local" / "loans" / name).write_text('{"torn')
    assert (decisions.latest(), decisions.recent()) == (None, [])
    assert decisions.refuse(NOON, "labels", reason="Too few.", **DRIFT).times == 1


def test_what_a_killed_writer_or_a_person_leaves_among_the_records_is_no_start(decisions: Decisions, var: Path) -> None:
    start = decisions.start(NOON, "f1", reason="No rule refuses.", **DRIFT)
    folder = var / "log" / "retraining" / "local" / "loans"
    for name in (f".{start.id[:-1]}2.json.0a1b2c3d.tmp", "notes-started-f3.json", "20260301T120000.000000Z-started-f4"):
        (folder / name).write_text("{}")
    assert list(decisions.starts()) == ["f1"]
    assert decisions.recent() == [start]


def test_whoever_asks_cannot_choose_the_file(decisions: Decisions, var: Path) -> None:
    decisions.refuse(NOON, "labels", reason="Too few.", **{**DRIFT, "asked_by": "../../jo@host"})
    assert files(var) == ["20260301-refused-drift-______jo_host-1c6bb9d5-labels.json", "latest.json"]


def test_whoever_asks_has_a_file_of_its_own(decisions: Decisions, var: Path) -> None:
    sources = ["a b", "a_b", "a-b", "A_b", "a/b", "é", "e\u0301", "x" * 300, "x" * 301, "monitor"]
    decisions.refuse(NOON, "labels", reason="Too few.", **{**DRIFT, "asked_by": sources[0]})
    sources.append(decisions.latest().id.removeprefix("20260301-refused-drift-").removesuffix("-labels"))
    for source in sources[1:]:
        decisions.refuse(NOON, "labels", reason="Too few.", **{**DRIFT, "asked_by": source})
    assert {one.asked_by: one.times for one in decisions.recent()} == dict.fromkeys(sources, 1)
    assert len({name.lower() for name in files(var)}) == len(sources) + 1
    assert "20260301-refused-drift-monitor-labels.json" in files(var), "an ordinary name stays"


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b'"\xff"', b'{"id": "\xff"}', b"[1]", b'{"evidence":' + b"[" * 100_000]
)
def test_a_record_that_is_none_is_replaced_by_the_next(decisions: Decisions, var: Path, content: bytes) -> None:
    decisions.refuse(NOON, "labels", reason="Too few.", **DRIFT)
    (var / "log" / "retraining" / "local" / "loans" / "latest.json").write_bytes(content)
    assert decisions.latest() is None
    decisions.refuse(NOON, "labels", reason="Still too few.", **DRIFT)
    assert decisions.latest().reason == "Still too few."
