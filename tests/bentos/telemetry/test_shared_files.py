"""Files that workers share: one that is damaged, or cannot be had, fails neither a scrape nor a prediction."""

from __future__ import annotations

import errno
import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, values
from prometheus_client.parser import text_string_to_metric_families

from bentos.telemetry.metrics import Metrics
from bentos.telemetry.reserved_file import ReservedFile
from bentos.telemetry.shared_files import VARIABLE, SharedFiles
from tests.bentos.conftest import Client

ROW = {"age": 30, "visits": 3, "job": "nurse", "member": True}
ANSWERED = {"usecase": "loans", "route": "predict", "code": "200"}
DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "noise": lambda path: path.write_bytes(b"\x7f" * 4096),
    "text": lambda path: path.write_text("not metrics at all"),
    "a length beyond its end": lambda path: path.write_bytes(struct.pack("i", 1 << 30) + path.read_bytes()[4:]),
    "a key that is no JSON": lambda path: path.write_bytes(path.read_bytes().replace(b'["slipway', b'}"slipway', 1)),
    "a label that is no text": lambda path: path.write_bytes(path.read_bytes().replace(b'"200"', b"20000", 1)),
    "zeros": lambda path: path.write_bytes(path.read_bytes()[:4] + bytes(4096)),
}


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def count(monkeypatch: pytest.MonkeyPatch, pid: int, requests: int) -> None:
    """Count requests as the worker with this process id."""
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda: pid))
    counted = Metrics(CollectorRegistry())
    for _ in range(requests):
        counted.request("loans", "predict", 200, 0.001)
    counted.flush()


def value(files: SharedFiles, name: str, labels: dict[str, str]) -> float | None:
    samples = [sample for family in text_string_to_metric_families(files.text().decode()) for sample in family.samples]
    found = [sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)]
    assert len(found) < 2
    return found[0] if found else None


def answered(files: SharedFiles) -> float | None:
    return value(files, "slipway_requests_total", ANSWERED)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_left_out_and_told_once(folder, monkeypatch, caplog, damage) -> None:
    count(monkeypatch, 1, 3)
    count(monkeypatch, 2, 4)
    files = SharedFiles(folder)
    assert answered(files) == 7
    DAMAGES[damage](folder / "counter_2.db")
    assert [answered(files), answered(files)] == [3, 3]
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


def test_what_is_no_file_holds_up_no_scrape(folder, monkeypatch) -> None:
    count(monkeypatch, 1, 3)
    os.mkfifo(folder / "counter_2.db")
    (folder / "counter_3.db").mkdir()
    (folder / "counter_4.db").symlink_to(folder / "nowhere")
    assert answered(SharedFiles(folder)) == 3


def test_a_service_with_a_damaged_file_predicts_and_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, start_client: Callable[..., Client]
) -> None:
    (folder / "counter_999.db").write_bytes(b"\x7f" * 4096)
    (folder / f"counter_{os.getpid()}.db").write_bytes(b"\xff" * 4096)  # of an earlier process with this id
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue())
    client = start_client()
    assert client.predict(ROW).status == 200
    scraped = client.get("/metrics")
    assert scraped.status == 200
    assert b'slipway_requests_total{code="200",route="predict",usecase="loans"} 1.0' in scraped.body


@pytest.mark.parametrize("trouble", ["full", "gone"])
def test_a_service_whose_folder_takes_no_file_counts_in_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog, start_client: Callable[..., Client], trouble: str
) -> None:
    if trouble == "full":
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    else:
        monkeypatch.setenv(VARIABLE, str(folder / "gone"))
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue())
    client = start_client()
    assert client.predict(ROW).status == 200
    assert b'slipway_requests_total{code="200",route="predict",usecase="loans"} 1.0' in client.get("/metrics").body
    assert "counts in memory" in caplog.text


def test_series_without_room_on_a_full_disk_stay_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MmapedDict", ReservedFile)
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda: 1))
    counted = Metrics(CollectorRegistry())
    lost = [counted.of(counted.lost, f"usecase_{number}") for number in range(100)]
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    lost += [counted.of(counted.lost, f"usecase_{number}") for number in range(100, 1000)]
    for child in lost:
        child.inc(2)
    counted.flush()
    text = SharedFiles(folder).text().decode()
    shown = [f'slipway_prediction_log_lost_total{{usecase="usecase_{number}"}} 2.0\n' in text for number in range(1000)]
    assert all(shown[:100]) and not shown[-1]
    assert (folder / "counter_1.db").stat().st_size == 1 << 16
    assert counted.lost.labels("usecase_999")._value.get() == 2.0


def test_a_file_with_room_on_its_disk_grows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MmapedDict", ReservedFile)
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda: 1))
    counted = Metrics(CollectorRegistry())
    for number in range(1000):
        counted.of(counted.lost, f"usecase_{number}").inc()
    counted.flush()
    assert (folder / "counter_1.db").stat().st_blocks * 512 >= (folder / "counter_1.db").stat().st_size == 1 << 18
    assert value(SharedFiles(folder), "slipway_prediction_log_lost_total", {"usecase": "usecase_999"}) == 1.0
