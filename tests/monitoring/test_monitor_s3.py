"""Monitoring over a bucket: the verdict and its pages are as over a folder."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.analysis import verdict
from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from monitoring.monitor import monitor
from monitoring.status.app import read_report
from slipway.prediction_log import segments
from slipway.settings import settings
from slipway.storage import object_store
from tests.support.prediction_log import watched_loans as loans

SAME = ("version", "verdict", "sentence", "drifted", "features", "predictions", "quality", "reference")


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    loans.write_usecase(tmp_path / "usecases", monkeypatch)
    return loans.write_bundle(tmp_path / "bundle", loans.rows(800, seed=1))


def watched(tmp_path: Path, **options: object) -> dict[str, Any]:
    """What `monitor` says when everything is shipped."""
    assert not Shipper(settings(), [ParquetSink(settings())]).ship().failed
    assert segments(settings().spool, "loans") == []
    return monitor("loans", bundle=tmp_path / "bundle", **{"detailed": False, **options})


def test_a_window_over_a_bucket_is_the_one_over_a_folder(
    s3: Any, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, hour_ago = loans.rows(1000, seed=3, age=6, missing=0.3), datetime.now(UTC) - timedelta(hours=1)
    loans.log_labels(loans.answer(frame, digest), list(frame["label_true"]))
    shutil.copytree(settings().spool, tmp_path / "same")
    in_bucket = watched(tmp_path, since=hour_ago)
    shutil.copytree(tmp_path / "same", settings().spool, dirs_exist_ok=True)
    monkeypatch.delenv("SLIPWAY_LOG_URL")
    settings.cache_clear()
    in_folder = watched(tmp_path, since=hour_ago)
    assert in_bucket["drifted"] == ["age", "visits"]
    assert in_bucket["quality"]["metrics"]
    assert {name: in_bucket[name] for name in SAME} == {name: in_folder[name] for name in SAME}
    assert {**in_bucket["window"], "until": None} == {**in_folder["window"], "until": None}


def test_the_verdict_and_its_pages_lie_in_the_bucket(s3: Any, digest: str, tmp_path: Path) -> None:
    loans.answer(loans.rows(300, seed=4), digest)
    watched(tmp_path)
    found = watched(tmp_path, detailed=True)
    assert verdict.latest(settings(), "loans") == found
    names = object_store(settings()).names("verdicts/local/loans")
    assert [name.partition("Z")[2] for name in names] == [".html", ".json", "-evidently.html", ".html", ".json", ""]
    for page in ("report", "evidently"):
        assert found[page].startswith(f"{s3.url}/verdicts/local/loans/")
        assert b"<html" in read_report(settings(), "loans", Path(found[page]).name)
    assert json.loads(read_report(settings(), "loans", "latest.json")) == found
