"""Requirements of a pod on a shipper: servers in other containers, an end after theirs, and figures for Prometheus."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from monitoring.log_shipping import exporter
from monitoring.log_shipping.exporter import STUCK_SECONDS, serve_metrics
from monitoring.log_shipping.shipper import Shipper, lag
from monitoring.log_shipping.sinks import ParquetSink
from slipway.errors import PortTaken
from slipway.prediction_log import Log, Writer, segments, writer
from slipway.settings import Settings, settings
from tests.support.prediction_log.sample_events import USECASE, prediction
from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parents[3]
SERVER = """
import sys, time
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.support.prediction_log.sample_events import USECASE, prediction
writer = Writer(settings().spool, USECASE, "prediction")
assert writer.write(prediction(sys.argv[1]))
print("answered", flush=True)
time.sleep(600)
"""
SHIP = [sys.executable, "-m", "slipway.cli", "ship"]


def rows(log: Log) -> list[str]:
    return sorted(row for (row,) in log.predictions(USECASE).select('"slipway.row_id"').fetchall())


@contextmanager
def container(needs: Callable[[str], Path], *command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that sees no other: it has PIDs of its own, as the containers of a pod have."""
    apart = [str(needs("unshare")), "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    process = subprocess.Popen([*apart, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_living_server_of_another_container_is_not_taken_for_a_dead_one(needs, config, log):
    with container(needs, sys.executable, "-c", SERVER, "a") as server:
        assert server.stdout.readline() == "answered\n"
        with container(needs, *SHIP, "--once") as shipping:
            assert "0 events of 0 segments" in shipping.communicate(timeout=120)[0]
        (open_one,) = segments(config.spool, USECASE)
        assert not open_one.complete
    with container(needs, sys.executable, "-c", SERVER, "b") as restarted:
        assert restarted.stdout.readline() == "answered\n"
        with container(needs, *SHIP, "--once") as shipping:
            assert "1 events of 1 segments" in shipping.communicate(timeout=120)[0]
        assert len(segments(config.spool, USECASE)) == 1
    assert rows(log) == ["a", "b"]


def read_until(process: subprocess.Popen[str], text: str) -> None:
    output = ""
    while line := process.stderr.readline():
        output += line
        if text in line:
            return
    raise AssertionError(f"{text!r} did not appear in:\n{output}")


@contextmanager
def shipping(**env: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(SHIP, stderr=subprocess.PIPE, text=True, env={**os.environ, **env})
    try:
        read_until(process, "shipping")
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_outlives_the_server_and_ends_at_lag_0(config, log):
    """A pod's sidecar is stopped after the server; one that is stopped together with it waits."""
    with shipping() as process:
        server = Writer(config.spool, USECASE, "prediction")
        server.write(prediction("a"))
        process.send_signal(signal.SIGTERM)
        read_until(process, "1 events are left")
        server.write(prediction("b"))
        server.close()
        read_until(process, "0 events are left")
        assert process.wait(60) == 0
    assert lag(config) == {USECASE: 0.0}
    assert rows(log) == ["a", "b"]


def test_a_second_signal_ends_it_at_once_and_what_is_left_is_reported(config):
    server = Writer(config.spool, USECASE, "prediction")
    server.write(prediction("a") + prediction("b"))
    with shipping() as process:
        process.send_signal(signal.SIGTERM)
        read_until(process, "2 events are left")
        process.send_signal(signal.SIGTERM)
        read_until(process, f"error: 2 events are left in {config.spool}: the next `slipway ship` takes them.")
        assert process.wait(60) == 1
    server.close()


def test_what_a_lost_node_costs_is_bounded_by_the_age_of_segments_and_a_pass(config, monkeypatch):
    """No request comes after the first: the server's timer closes the segment, the next pass ships it."""
    clock = 100.0
    monkeypatch.setattr(writer, "time", SimpleNamespace(monotonic=lambda: clock))
    server = Writer(config.spool, USECASE, "prediction", segment_seconds=15.0)
    shipper = Shipper(config, [ParquetSink(config)])
    server.write(prediction("a"))
    clock += 14.9
    server.rotate_if_due()
    assert shipper.ship().events == 0
    clock += 0.1
    server.rotate_if_due()
    _until(lambda: segments(config.spool, USECASE)[0].complete)  # after a sync, within a second
    assert shipper.ship().events == 1
    assert lag(config) == {USECASE: 0.0}
    server.close()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def scraped(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SLIPWAY_SHIP_PORT", str(free_port()))
    monkeypatch.setenv("SLIPWAY_SEGMENT_SECONDS", "7")
    settings.cache_clear()
    return settings()


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Failing:
    name = "Elsewhere"
    at_once = 1

    def take(self, usecase: str, segment: object) -> int:
        raise ConnectionError("nobody answers")


def test_it_can_be_scraped(scraped, write):
    write(prediction("a"), prediction("b"))
    shipper = Shipper(scraped, [ParquetSink(scraped)])
    with serve_metrics(scraped, shipper) as url:
        before = get(f"{url}/metrics")[1]
        assert f'slipway_prediction_log_shipped_events_total{{usecase="{USECASE}"}} 0.0' in before
        shipper.ship()
        write(prediction("c"))
        shipper.ship()
        status, text = get(f"{url}/metrics")
    assert status == 200
    for line in ("shipped_events_total", 3.0), ("shipped_segments_total", 2.0), ("ship_failures_total", 0.0):
        assert f'slipway_prediction_log_{line[0]}{{usecase="{USECASE}"}} {line[1]}' in text
    assert f'slipway_prediction_log_lag_seconds{{usecase="{USECASE}"}} 0.0' in text
    assert "slipway_prediction_log_rotation_seconds 7.0" in text


def test_what_fails_is_counted_and_the_lag_grows(scraped, write):
    write(prediction("a"))
    shipper = Shipper(scraped, [Failing()])
    with serve_metrics(scraped, shipper) as url:
        shipper.ship()
        shipper.ship()
        text = get(f"{url}/metrics")[1]
    assert f'slipway_prediction_log_ship_failures_total{{usecase="{USECASE}"}} 2.0' in text
    assert f'slipway_prediction_log_lag_seconds{{usecase="{USECASE}"}} 0.0\n' not in text


def test_it_is_alive_while_it_fails_and_not_when_it_is_stuck(scraped, write, monkeypatch):
    write(prediction("a"))
    shipper = Shipper(scraped, [Failing()])
    with serve_metrics(scraped, shipper) as url:
        shipper.ship()
        assert get(f"{url}/livez") == (200, "ok\n")
        monkeypatch.setattr(exporter, "STUCK_SECONDS", -1.0)
        assert get(f"{url}/livez")[0] == 503
        assert get(f"{url}/other")[0] == 404
    assert STUCK_SECONDS > 0


def test_no_page_of_another_site_reads_the_metrics(scraped):
    with serve_metrics(scraped, Shipper(scraped, [])) as url:
        assert get(f"{url}/metrics", Host="evil.example")[0] == 403
        assert get(f"{url}/livez", Origin="https://evil.example")[0] == 403


def test_the_process_listens_at_the_configured_address(scraped):
    with shipping():
        _until(lambda: _responds(f"http://127.0.0.1:{scraped.ship_port}/livez"))
        taken = pytest.raises(PortTaken, match=f"127.0.0.1:{scraped.ship_port}, for the shipper's metrics")
        with taken, serve_metrics(scraped, Shipper(scraped, [])):
            pass


def _responds(url: str) -> bool:
    with suppress(OSError):
        return get(url)[0] == 200
    return False


def test_the_metrics_are_served_on_ipv6_too(scraped):
    on_ipv6 = scraped.model_copy(update={"status_host": "::1", "ship_port": 0})
    with serve_metrics(on_ipv6, Shipper(on_ipv6, [])) as url:
        assert url.startswith("http://[::1]:")
        assert get(f"{url}/livez")[0] == 200


def test_each_sink_has_its_lag_and_elasticsearch_its_refused_and_retried_documents(scraped, write):
    write(prediction("a"))
    shipper = Shipper(scraped, [ParquetSink(scraped), Failing()])
    shipper.totals.refused[USECASE] = 2
    shipper.totals.retried[USECASE] = 3
    with serve_metrics(scraped, shipper) as url:
        shipper.ship()
        text = get(f"{url}/metrics")[1]
    assert f'slipway_prediction_log_sink_lag_seconds{{sink="Parquet",usecase="{USECASE}"}} 0.0' in text
    assert f'slipway_prediction_log_sink_lag_seconds{{sink="Elsewhere",usecase="{USECASE}"}} 0.0\n' not in text
    assert f'slipway_prediction_log_refused_documents_total{{usecase="{USECASE}"}} 2.0' in text
    assert f'slipway_prediction_log_retried_documents_total{{usecase="{USECASE}"}} 3.0' in text
