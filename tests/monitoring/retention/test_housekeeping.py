"""Housekeeping: each use case by its own file, and what fails costs itself."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from monitoring.retention import housekeeping
from monitoring.retention.housekeeping import Housekeeper, running
from slipway.prediction_log import Log
from slipway.settings import settings
from slipway.storage import object_store
from slipway.timestamps import for_name
from tests.support.minimal_usecase import write_usecase
from tests.support.prediction_log.sample_events import START, USECASE, prediction

DAY = timedelta(days=1)
NOW = START + 40 * DAY


def test_a_pass_prunes_compacts_and_removes_old_results_and_a_failure_costs_itself(
    config, write, tmp_path, monkeypatch, caplog
):
    write_usecase(tmp_path / "usecases", USECASE, "{retention_days: 30}")
    write_usecase(tmp_path / "usecases", "broken", "{retention_days: 30}")
    monkeypatch.setenv("SLIPWAY_USECASES", str(tmp_path / "usecases"))
    settings.cache_clear()
    for day in (1, 20, 20):
        write(prediction(f"r{day}", day * DAY.total_seconds()))
    assert not Shipper(config, [ParquetSink(config)]).ship().failed
    store = object_store(config)
    store.put("predictions/local/broken/pruned-before-2026-03-01", b"when?")
    for at in (START - 200 * DAY, START):
        store.put(f"verdicts/local/{USECASE}/{for_name(at)}.json", b"{}")
    with caplog.at_level("INFO"):
        Housekeeper(config).pass_once(NOW)
    assert "made_up: prediction events before 2026-03-11 are pruned: 2026-03-02" in caplog.text
    assert "made_up: prediction events: 2 files are combined into 1, 0 are removed" in caplog.text
    assert "a step of the housekeeping failed" in caplog.text
    assert len(Log(config).predictions(USECASE).fetchall()) == 1
    assert store.names(f"verdicts/local/{USECASE}") == [f"{for_name(START)}.json"]


@pytest.mark.parametrize("text", [None, "{}"])
def test_a_log_of_a_use_case_without_retention_or_without_a_file_is_kept(config, write, tmp_path, monkeypatch, text):
    if text:
        write_usecase(tmp_path / "usecases", USECASE, text)
    monkeypatch.setenv("SLIPWAY_USECASES", str(tmp_path / "usecases"))
    settings.cache_clear()
    write(prediction("a"))
    assert not Shipper(config, [ParquetSink(config)]).ship().failed
    Housekeeper(config).pass_once(START + 4000 * DAY)
    assert len(Log(config).predictions(USECASE).fetchall()) == 1


def test_the_thread_takes_passes_until_the_block_ends(config, monkeypatch):
    passed = threading.Event()
    monkeypatch.setattr(housekeeping, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(Housekeeper, "pass_once", lambda _: passed.set())
    with running(config):
        assert passed.wait(30)
    assert "housekeeping" not in {thread.name for thread in threading.enumerate()}
