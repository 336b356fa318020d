"""Pruning of results: the last verdict stays, refusals stay counted, and bundles that are used stay."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.retention.result_pruning import prune_refusals, prune_unused, prune_verdicts
from monitoring.retraining.decision_counts import DecisionCounts
from monitoring.retraining.decisions import Decisions
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.storage.local import LocalStore
from slipway.timestamps import for_name

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DRIFT: dict[str, Any] = {"asked_for": "drift", "asked_by": "monitor", "version": "3"}
FOLDER = "verdicts/local/loans"


def test_old_verdicts_go_with_their_pages_and_the_last_stays(config: Settings) -> None:
    store, first, last = object_store(config), for_name(NOON), for_name(NOON + DAY)
    for name in (f"{first}.json", f"{first}.html", f"{first}-evidently.html", f"{last}.json", f"{last}.html"):
        store.put(f"{FOLDER}/{name}", b"{}")
    for name in ("latest.json", "notes.txt"):
        store.put(f"{FOLDER}/{name}", b"{}")
    assert prune_verdicts(config, "loans", NOON) == 0
    assert prune_verdicts(config, "loans", NOON + 90 * DAY) == 3
    assert store.names(FOLDER) == [f"{last}.html", f"{last}.json", "latest.json", "notes.txt"]
    assert prune_verdicts(config, "loans", NOON + 90 * DAY) == 0


class Killed(BaseException):
    """Stands in for a kill at one call: nothing that follows it runs."""


@pytest.mark.parametrize("kills", [(), ("put",), ("remove",), ("put", "remove")])
def test_refusals_that_were_removed_stay_counted_and_starts_stay(
    config: Settings, monkeypatch: pytest.MonkeyPatch, kills: tuple[str, ...]
) -> None:
    decisions, counts = Decisions(config, "loans"), DecisionCounts(config)
    decisions.start(NOON, "run-1", reason="", **DRIFT)
    for day in (0, 0, 1, 5):
        decisions.refuse(NOON + day * DAY, "labels", reason="Too few.", **DRIFT)
    assert counts.of("loans") == {"started": 1, "refused": 4}
    for call in kills:
        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(LocalStore, call, _die)
            prune_refusals(config, "loans", NOON + 4 * DAY)
        assert DecisionCounts(config).of("loans") == counts.of("loans") == {"started": 1, "refused": 4}
    prune_refusals(config, "loans", NOON + 4 * DAY)
    assert decisions.refusals() == ["20260306-refused-drift-monitor-labels.json"]
    assert DecisionCounts(config).of("loans") == counts.of("loans") == {"started": 1, "refused": 4}
    prune_refusals(config, "loans", NOON + 9 * DAY)
    assert (decisions.refusals(), len(decisions.starts())) == ([], 1)
    assert counts.of("loans") == {"started": 1, "refused": 4}
    assert decisions.latest() is not None


def _die(*_: object) -> None:
    raise Killed


def test_bundles_that_nobody_used_go(tmp_path: Path) -> None:
    for name, age in (("old", 91), (".fetching-old", 91), ("used", 1)):
        (tmp_path / "monitor" / name / "serve").mkdir(parents=True)
        at = (datetime.now(UTC) - age * DAY).timestamp()
        os.utime(tmp_path / "monitor" / name, (at, at))
    assert prune_unused(tmp_path / "monitor", datetime.now(UTC) - 90 * DAY) == 2
    assert [path.name for path in (tmp_path / "monitor").iterdir()] == ["used"]
    assert prune_unused(tmp_path / "nowhere", datetime.now(UTC)) == 0
