"""A compaction whose small files are rewritten meanwhile writes nothing of them, and the next one combines the rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.erasure.erasure import forget
from slipway.prediction_log import Compactor, Log, compaction
from slipway.prediction_log.compaction import Compaction
from slipway.settings import Settings
from tests.support.prediction_log.sample_events import START, USECASE
from tests.support.prediction_log.subjects import BY_KEY, KEY, OTHERS, left_of, ship, write_events
from tests.support.prediction_log.without_registry import config, log, write

__all__ = ["config", "log", "write"]

NOW = START + timedelta(days=2)


def test_what_was_erased_meanwhile_is_not_written_again(
    config: Settings, log: Log, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(write)
    ship(config)
    original = compaction.copy

    def copy(*args: Any) -> int:
        written = original(*args)
        if "compacted-" in str(args[2]) and not left_over:
            left_over.append(args[2])
            forget(BY_KEY, config)
        return written

    left_over: list[Path] = []
    monkeypatch.setattr(compaction, "copy", copy)
    assert Compactor(config).compact(USECASE, "prediction", NOW) == Compaction()
    assert left_over
    assert left_of(config, KEY) == []
    assert Compactor(config).compact(USECASE, "prediction", NOW) == Compaction(combined=2, large=1)
    rows = log.predictions(USECASE).select('"slipway.row_id"').fetchall()
    assert sorted(row for (row,) in rows) == OTHERS
