"""Series of versions: they end a while after a version has left, however many versions a server serves in its life."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, values

from bentos.telemetry.metrics import Metrics
from bentos.telemetry.reserved_file import ReservedFile
from bentos.telemetry.served_versions import PERIOD_SECONDS, ServedVersions
from bentos.telemetry.shared_files import VARIABLE
from tests.bentos.conftest import Client
from tests.support import bundles
from tests.support.waiting import until


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    """The metrics of a worker in files, as under BentoML."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(values, "MmapedDict", ReservedFile)
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda: 1))
    yield Metrics(CollectorRegistry())
    ReservedFile.opened.clear()


def serve(metrics: Metrics, version: str, usecase: str = "loans") -> None:
    """Count what a version counts that is champion, and has been canary."""
    for role in ("canary", "champion"):
        for label in ("good", "bad"):
            metrics.of(metrics.predictions, usecase, version, role, label).inc(3)
        metrics.of(metrics.model_seconds, usecase, version, role).observe(0.001)
        metrics.of(metrics.model_info, usecase, version, role, "pointer", "cpu").set(1)
    metrics.of(metrics.lost, usecase).inc()
    metrics.flush()


def keys(folder: Path) -> dict[str, float]:
    """Values in the files by series, as another process reads them."""
    read = ReservedFile.read_all_values_from_file
    return {key: value for path in folder.glob("*_1.db") for key, value, *_ in read(path)}


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_many_versions_leave_the_series_and_the_size_of_one(metrics: Metrics, tmp_path: Path) -> None:
    serve(metrics, "1", "prices")
    serve(metrics, "1")
    before, size = keys(tmp_path).keys(), sizes(tmp_path)
    for number in range(2, 60):
        serve(metrics, str(number))
        metrics.forget(usecase="loans", version=str(number - 1))
    found = keys(tmp_path)
    assert len(found) == len(before)
    assert {key for key in found if '"version": "1"' in key} == {
        key for key in before if '"prices"' in key and "version" in key
    }
    assert sizes(tmp_path) == size
    [lost] = [value for key, value in found.items() if "_lost" in key and '"loans"' in key and "_total" in key]
    assert lost == 59


def test_a_version_that_comes_back_counts_from_zero(metrics: Metrics, tmp_path: Path) -> None:
    serve(metrics, "1")
    before = keys(tmp_path)
    metrics.forget(usecase="loans", version="1")
    assert not [key for key in keys(tmp_path) if "version" in key]
    serve(metrics, "1")
    after = keys(tmp_path)
    assert after.keys() == before.keys()
    assert {after[key] for key in after if "slipway_predictions_total" in key} == {3.0}


def test_a_version_is_left_out_of_the_files_of_killed_workers_too(
    metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = 1 << 22  # above every process id
    serve(metrics, "1")
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda: dead))
    serve(Metrics(CollectorRegistry()), "1")
    (tmp_path / f"counter_{dead + 1}.db").write_bytes(b"\x7f" * 4096)
    ReservedFile.opened.clear()
    files = [tmp_path / f"{kind}_{dead}.db" for kind in ("counter", "histogram")]
    before = [list(ReservedFile.read_all_values_from_file(path)) for path in files]
    metrics.forget(usecase="loans", version="1")
    for path, old in zip(files, before, strict=True):
        left = [(key, value) for key, value, *_ in ReservedFile.read_all_values_from_file(path)]
        assert left == [(key, value) for key, value, *_ in old if '"version"' not in key]
    assert not list(tmp_path.glob("*.new"))


def test_on_a_full_disk_series_stay_and_count_on(
    metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    serve(metrics, "1")
    before = keys(tmp_path).keys()
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", refuse)
        metrics.forget(usecase="loans", version="1")
    assert keys(tmp_path).keys() == before
    serve(metrics, "1")
    assert {value for key, value in keys(tmp_path).items() if "slipway_predictions_total" in key} == {6.0}
    assert not list(tmp_path.glob("*.new"))


def test_a_version_is_forgotten_once_it_has_had_no_role_for_a_whole_period() -> None:
    now, forgotten = [PERIOD_SECONDS / 2], list[str]()
    versions = ServedVersions(forgotten.append, lambda: now[0])
    versions.change("champion", "1")
    versions.change("canary", "2")
    versions.change("canary", None)
    versions.change("champion", "2")
    versions.change("shadow", "3")
    versions.change("shadow", None)
    for period, gone in ((1.99, []), (2.0, ["1", "3"]), (9.0, ["1", "3"])):
        now[0] = period * PERIOD_SECONDS
        versions.tidy()
        assert forgotten == gone


def test_a_clock_that_is_set_back_forgets_later() -> None:
    now, forgotten = [10 * PERIOD_SECONDS], list[str]()
    versions = ServedVersions(forgotten.append, lambda: now[0])
    versions.change("champion", "1")
    versions.change("champion", "2")
    for period, gone in ((1.0, []), (11.5, []), (12.0, ["1"])):
        now[0] = period * PERIOD_SECONDS
        versions.tidy()
        assert forgotten == gone


def test_a_server_leaves_out_the_version_that_it_no_longer_serves(
    start_client: Callable[..., Client], var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start_client()
    [served] = client.worker.served.values()
    first, second = (f'usecase="loans",version="{version}"'.encode() for version in "12")
    client.predict(bundles.ROWS["loans"][0])
    assert first in client.get("/metrics").body
    bundles.promote(var, tmp_path / "two", version="2", bias=0.3, serving={"swap_ratio": 1e6})
    until(lambda: "1" in served.versions._left)
    assert first in client.get("/metrics").body
    later = served.versions._clock() + 2 * PERIOD_SECONDS
    monkeypatch.setattr(served.versions, "_clock", lambda: later)
    served.versions.tidy()
    found = client.get("/metrics").body
    assert first not in found and second in found
