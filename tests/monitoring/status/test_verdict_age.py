"""Whether the newest verdict is as new as the schedule of its monitor promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.analysis import verdict
from monitoring.release.reconciler import Reconciled
from monitoring.status import dashboard, exporter, verdict_age
from slipway.settings import settings
from slipway.timestamps import iso
from tests.support.prediction_log import watched_loans as loans

NOW = datetime(2026, 1, 30, 12, 20, tzinfo=UTC)  # a Friday


class Clock(datetime):
    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return NOW


@pytest.fixture(autouse=True)
def friday_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_age, "datetime", Clock)
    monkeypatch.setattr(verdict_age, "STARTED", NOW - timedelta(days=30))


def scheduled(folder: Path, patch: pytest.MonkeyPatch, cron: str) -> None:
    patch.setattr(loans, "USECASE_YAML", f"{loans.USECASE_YAML}schedule: {{monitor: {cron!r}}}\n")
    loans.write_usecase(folder / "usecases", patch)


@pytest.mark.parametrize(
    ("cron", "due"),
    [
        ("0 * * * *", datetime(2026, 1, 30, 12, 0)),
        ("10 * * * *", datetime(2026, 1, 30, 11, 10)),  # 12:10 is not yet 15 minutes ago
        ("*/5 * * * *", datetime(2026, 1, 30, 12, 0)),
        ("0 3 * * 1", datetime(2026, 1, 26, 3, 0)),
        ("0 9-17 * * MON-THU", datetime(2026, 1, 29, 17, 0)),
        ("0 0 1 1 *", datetime(2026, 1, 1, 0, 0)),
    ],
)
def test_a_verdict_is_overdue_when_it_is_older_than_the_last_scheduled_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cron: str, due: datetime
) -> None:
    scheduled(tmp_path, monkeypatch, cron)
    due = due.replace(tzinfo=UTC)
    on_time, late = ({"created": iso(due + timedelta(seconds=s))} for s in (1, -1))
    assert verdict_age.due("loans", on_time) == due
    assert verdict_age.describe_overdue("loans", on_time) == []
    [warning] = verdict_age.describe_overdue("loans", late)
    assert f"one was due at {due:%Y-%m-%d %H:%M} UTC" in warning
    assert "`monitor/loans`" in warning


def test_a_verdict_of_a_time_ahead_is_of_a_wrong_clock_and_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(tmp_path, monkeypatch, "0 * * * *")
    soon, wrong = ({"created": iso(NOW + ahead)} for ahead in (timedelta(minutes=4), timedelta(days=365)))
    assert verdict_age.describe_overdue("loans", soon) == []
    [warning] = verdict_age.describe_overdue("loans", wrong)
    assert warning.startswith("The newest verdict is of 2027-01-30")


def test_without_any_verdict_only_scheduled_times_since_the_start_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(tmp_path, monkeypatch, "0 * * * *")
    assert verdict_age.describe_overdue("loans", None)[0].startswith(
        "There is no verdict, and one was due at 2026-01-30"
    )
    monkeypatch.setattr(verdict_age, "STARTED", NOW - timedelta(minutes=19))
    assert (verdict_age.due("loans", None), verdict_age.describe_overdue("loans", None)) == (None, [])


def test_without_a_schedule_or_a_folder_no_verdict_is_overdue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loans.write_usecase(tmp_path / "usecases", monkeypatch)
    for usecase in ("loans", "nobody"):
        assert verdict_age.due(usecase, {"created": "2020-01-01"}) is None
        assert verdict_age.describe_overdue(usecase, {"created": "2020-01-01"}) == []


@pytest.mark.parametrize("cron", ["@daily", "hourly", "0 0 30 2 *", "61 * * * *", ""])
def test_a_schedule_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cron: str) -> None:
    scheduled(tmp_path, monkeypatch, cron)
    assert verdict_age.due("loans", None) is None
    assert [repr(cron) in line for line in verdict_age.describe_overdue("loans", None)] == ([True] if cron else [])


def test_the_page_and_the_metrics_say_that_a_verdict_is_overdue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(tmp_path, monkeypatch, "0 * * * *")
    monkeypatch.setenv("SLIPWAY_SERVERS", "http://127.0.0.1:9")
    settings.cache_clear()
    old = {
        "usecase": "loans",
        "verdict": "none",
        "sentence": "No drift.",
        "features": [],
        "predictions": [],
        "quality": None,
    }
    old |= {"created": "2026-01-30T10:00:00.000Z", "synthetic": False, "missing_reports": ["evidently"]}
    verdict.write(settings(), old, "1.json")
    [shown] = dashboard.gather(settings(), [Reconciled("loans", {}, [])]).usecases
    assert "The newest verdict is of 2026-01-30 10:00 UTC, and one was due at 2026-01-30 12:00 UTC" in shown.trouble[0]
    lines = exporter.exposition(exporter.collectors(settings(), lambda: {"loans": shown.rollout})).decode().splitlines()
    for name, value in (
        ("slipway_verdict_timestamp_seconds", datetime(2026, 1, 30, 10, tzinfo=UTC).timestamp()),
        ("slipway_verdict_due_timestamp_seconds", datetime(2026, 1, 30, 12, tzinfo=UTC).timestamp()),
    ):
        [line] = [line for line in lines if line.startswith(f'{name}{{usecase="loans"}}')]
        assert float(line.split()[-1]) == value
    assert 'slipway_report_missing{report="evidently",usecase="loans"} 1.0' in lines
    assert 'slipway_report_missing{report="page",usecase="loans"} 0.0' in lines
