"""The text of all workers' metrics equals that of prometheus_client's collector, whatever became of their files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from bentos.telemetry import shared_files
from bentos.telemetry.metrics import Metrics
from bentos.telemetry.metrics_file import MetricsFile
from bentos.telemetry.shared_files import SharedFiles
from slipway.contracts.objectives import Objectives

ODD = ('a "quote"', "a\nline", "back\\slash", "é\u2028\x0b", "# HELP", "")


class Theirs(Collector):
    """The library's collector, which reads the files in the order of the system; here they are sorted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        yield from MultiProcessCollector.merge(sorted(self._folder.glob("*.db")))


def theirs(folder: Path) -> bytes:
    return generate_latest(Theirs(folder))  # type: ignore[arg-type]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Callable[[int], Metrics]:
    """`start(1)` returns the metrics of a worker with this process id."""

    def started(pid: int) -> Metrics:
        monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda: pid))
        return Metrics(CollectorRegistry())

    return started


def predict(metrics: Metrics, usecase: str, *seconds: float) -> None:
    """Update each kind of metric, as a worker does that predicts."""
    metrics.expose_predictions(usecase)
    metrics.set_objectives(usecase, Objectives(latency_ms=20))
    for each in seconds:
        metrics.request(usecase, "predict", 200, each)
        metrics.of(metrics.model_seconds, usecase, "7", "champion").observe(each / 2)
        metrics.of(metrics.batch_rows, usecase).observe(3)
    metrics.of(metrics.in_flight, usecase).set(len(seconds))
    metrics.of(metrics.model_info, usecase, "7", "champion", "registry", "cpu").set(1)
    metrics.flush()


def test_the_text_is_that_of_prometheus_client_after_each_change(folder: Path, start: Callable[[int], Metrics]) -> None:
    files = SharedFiles(folder)
    assert files.text() == theirs(folder) == b""
    one = start(1)
    predict(one, "loans")
    assert files.text() == theirs(folder)
    predict(one, "loans", 0.001, 0.25, 9.0)
    assert files.text() == theirs(folder)
    two = start(20)
    predict(two, "digits", 0.5)
    predict(two, "loans", 0.125, 0.0625)
    assert files.text() == theirs(folder)
    two.of(two.swaps, "loans", "swapped").inc(12_345_678)
    two.flush()
    assert files.text() == theirs(folder)
    for label in ODD:
        two.of(two.predictions, "loans", "7", "champion", label).inc()
    two.of(two.follower_finding, "loans", "hung")  # not set: it is not shown
    two.flush()
    text = files.text()
    assert text == theirs(folder)
    assert b"# TYPE slipway_follower_finding gauge\n" in text and b"slipway_follower_finding{" not in text
    mark_process_dead(1, str(folder))
    assert files.text() == theirs(folder) != text
    predict(start(1), "digits", 0.25)  # another worker with the same id goes on with its counters
    assert files.text() == theirs(folder)
    (folder / "counter_20.db").unlink()
    assert files.text() == theirs(folder)
    assert b'slipway_requests_total{code="200",route="predict",usecase="loans"} 3.0\n' in files.text()


def test_a_file_that_was_replaced_by_one_of_its_size_has_its_own_series(folder: Path, start: Callable[[int], Metrics]):
    files = SharedFiles(folder)
    for order in (("loans", "wines"), ("wines", "loans")):
        (folder / "counter_1.db").unlink(missing_ok=True)
        metrics = start(1)
        for number, usecase in enumerate(order, 1):
            metrics.of(metrics.lost, usecase).inc(number)
        metrics.flush()
        assert files.text() == theirs(folder)


def test_a_text_of_some_use_cases_has_those_and_what_belongs_to_none(folder: Path, start: Callable[[int], Metrics]):
    metrics = start(1)
    for usecase in ("loans", "digits", "wines"):
        predict(metrics, usecase, 0.001)
    metrics.request("", "probe", 200, 0.001)
    metrics.flush()
    files = SharedFiles(folder)
    hidden = [line for line in files.text().splitlines(keepends=True) if b'usecase="wines"' in line]
    assert len(hidden) > 40
    shown = files.text(["loans", "digits"])
    assert shown == b"".join(line for line in files.text().splitlines(keepends=True) if line not in hidden)
    assert b'usecase=""' in files.text([])


def test_series_are_read_once_and_values_in_each_scrape(
    folder: Path, start: Callable[[int], Metrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, read = start(1), []
    predict(metrics, "loans", 0.001)
    files = SharedFiles(folder)
    files.text()
    monkeypatch.setattr(MmapedDict, "read_all_values_from_file", read.append)
    for _ in range(3):
        predict(metrics, "loans", 0.001)
        text = files.text()
    assert not read
    monkeypatch.undo()
    assert text == theirs(folder)


def test_a_worker_that_dies_in_a_scrape_takes_its_gauges_alone(
    folder: Path, start: Callable[[int], Metrics], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for pid in (1, 2):
        predict(start(pid), "loans", 0.001)
    files, read = SharedFiles(folder), MetricsFile.read
    assert b'slipway_requests_in_flight{usecase="loans"} 2.0\n' in files.text()

    def read_late(file: MetricsFile) -> bool:
        mark_process_dead(2, str(folder))
        return read(file)

    monkeypatch.setattr(MetricsFile, "read", read_late)
    text = files.text()
    assert text == theirs(folder)
    assert b'slipway_requests_in_flight{usecase="loans"} 1.0\n' in text
    assert b'slipway_requests_total{code="200",route="predict",usecase="loans"} 2.0\n' in text
    assert not [record for record in caplog.records if record.levelno == logging.ERROR]


def test_after_a_scrape_that_failed_the_next_one_is_right(
    folder: Path, start: Callable[[int], Metrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    metrics, files = start(1), SharedFiles(folder)
    predict(metrics, "loans", 0.001)
    files.text()
    predict(metrics, "digits", 0.001)
    monkeypatch.setattr(shared_files, "MergedMetrics", fail)
    with pytest.raises(MemoryError):
        files.text()
    monkeypatch.undo()
    predict(metrics, "loans", 0.001)
    assert files.text() == theirs(folder)
