"""Erasure in a bucket: as in a folder, and no machine keeps a copy of what was erased."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.erasure.erasure import forget
from slipway.prediction_log import Compactor, Log
from slipway.settings import Settings
from slipway.storage.s3 import S3Store
from tests.support.prediction_log.sample_events import START, USECASE
from tests.support.prediction_log.subjects import BY_KEY, KEY, OTHERS, left_of, ship, write_events


class Killed(BaseException):
    """Stands in for a kill at one call: nothing that follows it runs."""


def rows(config: Settings) -> list[str]:
    found = Log(config).predictions(USECASE).select('"slipway.row_id"').fetchall()
    return sorted(row for (row,) in found)


@pytest.mark.parametrize("is_combined", [False, True])
def test_a_bucket_and_the_copies_of_its_readers_lose_the_subject(
    config: Settings, s3: Any, write: Callable[..., None], is_combined: bool
) -> None:
    write_events(write)
    ship(s3.settings)
    if is_combined:
        Compactor(s3.settings).compact(USECASE, "prediction", START + timedelta(days=2))
    assert rows(s3.settings) == ["a", *OTHERS]
    assert any((s3.settings.var / "cache").rglob("*.parquet"))
    forget(BY_KEY, s3.settings)
    assert rows(s3.settings) == OTHERS
    assert copies_of_the_subject(s3.settings) == []
    assert not (s3.settings.var / "tmp" / "erasure").exists()


def test_a_kill_at_any_request_costs_nobody_else(
    config: Settings, s3: Any, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(write)
    ship(s3.settings)
    for call, nth in (("put", 1), ("put", 2), ("remove", 0), ("put", 2), ("remove", 2)):
        original, calls = getattr(S3Store, call), []

        def die(*args: Any, original: Any = original, calls: list[Any] = calls, nth: int = nth) -> Any:
            calls.append(args)
            if len(calls) > nth:
                raise Killed
            return original(*args)

        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(S3Store, call, die)
            forget(BY_KEY, s3.settings)
        assert [row for row in rows(s3.settings) if row != "a"] == OTHERS
    forget(BY_KEY, s3.settings)
    assert rows(s3.settings) == OTHERS


def copies_of_the_subject(config: Settings) -> list[str]:
    """Name the files of this machine that have the subject."""
    return left_of(config.model_copy(update={"log_url": str(Path(config.var))}), KEY)
