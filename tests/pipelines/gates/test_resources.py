"""Resources of a new model: its size, and its latency compared with the champion's in real servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.gates import resources
from pipelines.gates.latency import Median, measure_medians
from slipway.config import UseCase
from slipway.contracts.bundle.gate_report import Gate
from slipway.errors import ServiceError
from slipway.settings import settings
from tests.support import bundles


@pytest.fixture
def latency(verdict, monkeypatch) -> Callable[..., Gate]:
    """`latency(challenger, champion, …)`: that gate's verdict for these medians, in milliseconds."""

    def run(challenger: float, champion: float, **gates: float) -> Gate:
        medians = {"challenger": challenger, "champion": champion}
        found = {name: Median(value, value, value, 300) for name, value in medians.items()}
        monkeypatch.setattr(resources, "measure_medians", lambda usecase, folders, rows: found)
        return verdict(0.5, champion=0.5, gates=gates)["latency"]

    return run


def test_as_fast_as_the_champion_passes_and_says_so_with_intervals(latency):
    found = latency(20, 18)
    assert found.verdict == "passed" and (found.figure, found.threshold) == (20, 36)
    assert "median over 300 predictions is 20.00 ms (95 % interval" in found.sentence


def test_slower_than_the_ratio_allows_is_refused(latency):
    assert latency(50, 20).verdict == "failed"
    assert latency(50, 20, latency_ratio=3).verdict == "passed"


def test_what_nobody_notices_is_allowed(latency):
    assert latency(4, 0.5).verdict == "passed"
    assert latency(4, 0.5, latency_floor_ms=1).verdict == "failed"


def test_without_a_champion_no_server_is_started(verdict):
    found = verdict(0.5)["latency"]
    assert found.verdict == "passed" and "no champion yet" in found.sentence


def test_a_bundle_that_is_too_large_is_refused(verdict):
    found = verdict(0.5, gates={"max_bundle_mb": 0.0001})["size"]
    assert found.verdict == "failed" and "The part that a server fetches has 0.0 MB" in found.sentence
    assert found.figure > found.threshold


@pytest.fixture
def loans(tmp_path) -> Callable[..., Path]:
    """`loans(name, …)`: the folder of a bundle's `serve/`, which nothing vouches for yet."""

    def make(name: str, **options) -> Path:
        bundles.write(tmp_path / name, **options)
        (tmp_path / name / "manifest.json").unlink()
        return tmp_path / name

    return make


@pytest.mark.alone
def test_two_real_servers_are_measured_in_turn_whatever_the_machines_settings(usecase, loans, var, monkeypatch):
    monkeypatch.setenv("SLIPWAY_RATE", "1/day")
    monkeypatch.setenv("SLIPWAY_LOG_URL", str(var / "log"))
    monkeypatch.setenv("SLIPWAY_TRUSTED_KEYS", str(var / "none.pem"))
    settings.cache_clear()
    folders = {"champion": loans("old"), "challenger": loans("new", slow=60, serving={"deadline_ms": 1})}
    rows = dict.fromkeys(folders, bundles.ROWS["loans"])
    found = measure_medians(_named("loans", usecase), folders, rows)
    assert found["challenger"].milliseconds > 2 * found["champion"].milliseconds > 0
    for one in found.values():
        assert one.low <= one.milliseconds <= one.high and 30 <= one.requests <= 300
    assert not var.exists(), "the measurement left something where predictions are kept"


@pytest.mark.slow
def test_a_server_that_does_not_start_is_an_error_with_its_last_output(usecase, loans):
    folders = {"champion": loans("old"), "challenger": loans("new")}
    (folders["challenger"] / "serve" / "model.onnx").write_bytes(b"no network")
    with pytest.raises(ServiceError, match="the server of the challenger"):
        measure_medians(_named("loans", usecase), folders, dict.fromkeys(folders, bundles.ROWS["loans"]))


def _named(name: str, usecase: Callable[..., UseCase]) -> UseCase:
    return usecase().model_copy(update={"name": name})
