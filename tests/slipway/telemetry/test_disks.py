"""Disks: measured apart from a scrape; a folder that is not there yet is measured by the one above it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.telemetry.disks import DiskMetrics


def free(disks: DiskMetrics) -> dict[str, float]:
    return {sample.labels["folder"]: sample.value for sample in next(disks.collect()).samples}


def test_a_scrape_shows_the_last_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks = DiskMetrics({"state": tmp_path, "log": tmp_path / "not" / "yet"})
    assert free(disks) == {}
    disks.measure()
    before = free(disks)
    assert before.keys() == {"state", "log"} and min(before.values()) > 0

    def hang(path: Path) -> None:
        raise AssertionError("a scrape measured a disk")

    monkeypatch.setattr("slipway.telemetry.disks.shutil.disk_usage", hang)
    assert free(disks) == before


def test_a_volume_that_cannot_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks = DiskMetrics({"state": tmp_path})
    disks.measure()

    def fail(path: Path) -> None:
        raise OSError("stale file handle")

    monkeypatch.setattr("slipway.telemetry.disks.shutil.disk_usage", fail)
    disks.measure()
    assert free(disks) == {}
