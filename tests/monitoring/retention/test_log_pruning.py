"""Pruning of the log: whole dates, hidden at once, removed later, and never there in part."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.log_shipping import refused_documents
from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from monitoring.retention.log_pruning import Pruning, prune
from slipway import audit
from slipway.prediction_log import Log
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.storage.local import LocalStore
from tests.support.prediction_log.sample_events import START, USECASE, label, prediction

DAY = 86_400
HOUR = timedelta(hours=1)
NOW = START + timedelta(days=4, hours=12)
OLD = ["2026-03-01", "2026-03-02"]


@pytest.fixture
def shipped(config: Settings, write: Callable[..., None]) -> Settings:
    """Provide the settings of a log of five days; the second day has a label of the first one's prediction."""
    write(*(prediction(f"r{day}", day * DAY) for day in range(5)))
    write(label(DAY, DAY, row="r0", label="bad"), stream="feedback")
    assert not Shipper(config, [ParquetSink(config)]).ship().failed
    return config


def rows(log: Log) -> list[str]:
    return sorted(row for (row,) in log.predictions(USECASE).select('"slipway.row_id"').fetchall())


def test_old_dates_are_hidden_at_once_and_removed_an_hour_later(shipped, log):
    listed = log.predictions(USECASE)
    hidden = prune(shipped, USECASE, 2, NOW)
    assert hidden == Pruning("2026-03-03", hidden={"prediction": OLD, "feedback": OLD[1:]})
    assert rows(log) == ["r2", "r3", "r4"]
    assert log.feedback(USECASE).fetchall() == []
    assert len(listed.fetchall()) == 5, "a reader that listed them goes on"
    assert prune(shipped, USECASE, 2, NOW + HOUR / 2) == Pruning("2026-03-03")
    assert prune(shipped, USECASE, 2, NOW + HOUR).removed == {"prediction": OLD, "feedback": OLD[1:]}
    assert object_store(shipped).names(f"predictions/local/{USECASE}") == [
        *("2026-03-03", "2026-03-04", "2026-03-05", "pruned-before-2026-03-03")
    ]
    assert rows(log) == ["r2", "r3", "r4"]


def test_the_audit_has_one_line_for_each_pruning(shipped):
    for hours in (0, 0, 1, 24, 25):
        prune(shipped, USECASE, 2, NOW + hours * HOUR)
    first, second = audit.lines(USECASE, shipped)
    assert (first.action, first.who) == ("log.pruned", "slipway watch")
    assert first.why == "monitoring.retention_days is 2"
    assert first.evidence == {"before": "2026-03-03", "prediction": OLD, "feedback": OLD[1:]}
    assert second.evidence == {"before": "2026-03-04", "prediction": ["2026-03-03"]}
    assert object_store(shipped).names(f"predictions/local/{USECASE}") == [
        *("2026-03-04", "2026-03-05", "pruned-before-2026-03-04")
    ]


class Killed(BaseException):
    """Stands in for a kill at one call: nothing that follows it runs."""


@pytest.mark.parametrize(("call", "nth"), [("put", 0), ("put", 1), ("remove_folder", 0), ("remove_folder", 1)])
def test_a_kill_at_any_step_leaves_no_date_in_part(shipped, log, monkeypatch, call, nth):
    original, calls = getattr(LocalStore, call), []

    def die(store: LocalStore, name: str, *content: Any) -> None:
        if name.startswith("audit/"):
            return original(store, name, *content)
        calls.append(name)
        if len(calls) > nth:
            raise Killed
        return original(store, name, *content)

    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(LocalStore, call, die)
        for hours in range(2):
            prune(shipped, USECASE, 2, NOW + hours * HOUR)
    assert rows(log) in (["r0", "r1", "r2", "r3", "r4"], ["r2", "r3", "r4"])
    for hours in range(1, 4):
        prune(shipped, USECASE, 2, NOW + hours * HOUR)
    assert rows(log) == ["r2", "r3", "r4"]
    assert not (Path(shipped.log_root) / "predictions" / "local" / USECASE / OLD[0]).exists()


def test_what_is_shipped_late_into_a_pruned_date_is_not_read_and_removed(shipped, log, write):
    prune(shipped, USECASE, 2, NOW)
    prune(shipped, USECASE, 2, NOW + HOUR)
    write(prediction("late"))
    assert not Shipper(shipped, [ParquetSink(shipped)]).ship().failed
    assert rows(log) == ["r2", "r3", "r4"]
    assert prune(shipped, USECASE, 2, NOW + 2 * HOUR).removed == {"prediction": OLD[:1]}


def test_nothing_is_pruned_where_no_date_is_old_enough(shipped, log):
    assert prune(shipped, USECASE, 4, NOW) == Pruning("2026-03-01")
    assert len(rows(log)) == 5
    assert audit.lines(USECASE, shipped) == []


def test_refused_documents_go_with_the_dates_of_their_segments(shipped):
    store, folder = object_store(shipped), refused_documents.folder(shipped, USECASE)
    old, new = (f"{folder}/prediction-202603{day}T000000000000Z-1-abcdef01-0.jsonl" for day in ("02", "03"))
    replayed = f"{folder}/replayed-feedback-20260302T120000000000Z-0.jsonl"
    for name in (old, new, replayed):
        store.put(name, b"{}\n")
    prune(shipped, USECASE, 2, NOW)
    assert refused_documents.names(shipped, store, USECASE) == [new]
