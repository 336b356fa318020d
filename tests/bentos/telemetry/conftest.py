"""Metrics that workers share in a folder, without workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import values

from bentos.telemetry.metrics import metrics
from bentos.telemetry.shared_files import VARIABLE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Share metrics in a folder, as under BentoML."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    for name in ("ValueClass", "MmapedDict"):  # they are as before after the test
        monkeypatch.setattr(values, name, getattr(values, name))
    metrics.cache_clear()
    yield tmp_path
    metrics.cache_clear()
