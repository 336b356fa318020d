"""`/metrics` of the service: objectives, swaps, processes, disks, credentials; and no series without bound."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bentos.api.routes import Routes
from bentos.server import processes
from slipway import api_keys
from slipway.serving_state import follower_status
from slipway.settings import settings
from slipway.telemetry.processes import ProcessMetrics
from tests.bentos.auth.issuers import AUDIENCE, ISSUER, new_key
from tests.bentos.conftest import Client
from tests.slipway.telemetry.certificates import at, pem
from tests.support import bundles
from tests.support.waiting import until


def series(client: Client, **headers: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = client.get("/metrics", **headers).body.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples), "a series is exported twice"
    return found


def value(client: Client, name: str, **labels: str) -> float | None:
    return series(client).get((name, tuple(sorted(labels.items()))))


def test_the_objectives_of_the_served_bundle_are_exported(start_client: Callable[..., Client]) -> None:
    objectives = {"availability": 0.99, "latency_ms": 20, "latency_quantile": 0.9, "window_days": 7}
    client = start_client(serving={"objectives": objectives})
    assert value(client, "slipway_objective_availability_ratio", usecase="loans") == 0.99
    assert value(client, "slipway_objective_latency_seconds", usecase="loans") == 0.02
    assert value(client, "slipway_objective_latency_quantile", usecase="loans") == 0.9
    assert value(client, "slipway_objective_window_days", usecase="loans") == 7
    assert value(client, "slipway_requests_slow_total", usecase="loans", route="predict") is not None
    for code in ("200", "500", "503"):
        assert value(client, "slipway_requests_total", usecase="loans", route="predict", code=code) is not None


def test_a_swap_changes_the_objectives_and_is_counted(start_client: Callable[..., Client], var: Path, tmp_path: Path):
    client = start_client()
    before = attempts(client)  # of this process' other tests, too
    serving = {"swap_ratio": 1e6, "objectives": {"latency_ms": 5}}
    bundles.promote(var, tmp_path / "two", version="2", bias=0.3, serving=serving)
    until(lambda: attempts(client) == before | {"swapped": before["swapped"] + 1})
    assert value(client, "slipway_objective_latency_seconds", usecase="loans") == 0.005
    bundles.promote(var, tmp_path / "three", version="3", probe_shift=0.5)
    until(lambda: attempts(client)["refused"] == before["refused"] + 1)
    assert attempts(client)["failed"] == before["failed"]
    assert value(client, "slipway_objective_latency_seconds", usecase="loans") == 0.005


def attempts(client: Client) -> dict[str, float]:
    found = series(client)
    labels = {outcome: (("outcome", outcome), ("usecase", "loans")) for outcome in ("swapped", "failed", "refused")}
    return {outcome: found["slipway_swaps_total", label] for outcome, label in labels.items()}


def test_processes_and_disks_are_measured(start_client: Callable[..., Client]) -> None:
    found = series(start_client())
    worker = (("process", "worker-1"),)
    assert found["slipway_process_cpu_seconds_total", worker] > 0
    assert 1 << 24 < found["slipway_process_resident_memory_bytes", worker] < 1 << 36
    assert 0 < found["slipway_process_open_fds", worker] < found["slipway_process_max_fds", worker]
    assert 0 < time.time() - found["slipway_process_start_time_seconds", worker] < 1e6
    for folder in ("state", "log", "tmp"):
        labels = (("folder", folder),)
        assert 0 < found["slipway_disk_free_bytes", labels] <= found["slipway_disk_size_bytes", labels]


def test_a_process_that_has_ended_is_left_out() -> None:
    gone = 1 << 22  # above every process id
    families = list(ProcessMetrics(lambda: {"worker-1": os.getpid(), "worker-2": gone}).collect())
    assert {sample.labels["process"] for family in families for sample in family.samples} == {"worker-1"}


def test_a_follower_is_told_from_a_process_with_its_id_in_another_container(var: Path, monkeypatch, tmp_path: Path):
    serving = settings().serving
    follower_status.write_status(serving, "loans", follower_status.FollowerStatus(pid=os.getpid()))
    assert "follower" not in processes.find(settings(), ["loans"])
    arguments = f"/proc/{os.getpid()}/cmdline"
    monkeypatch.setattr(processes, "_arguments", lambda pid: [b"python", b"follow", b"loans"] if pid else [arguments])
    assert processes.find(settings(), ["loans"]) == {"follower": os.getpid()}


def test_the_next_end_of_a_key_is_exported(start_client: Callable[..., Client], var: Path) -> None:
    now = datetime.now(UTC)
    path = settings().key_file
    _, secret = api_keys.create(path, "reader", ("read", "predict"), expires=now + timedelta(days=9))
    api_keys.create(path, "batch", ("predict",), expires=now + timedelta(days=3))
    api_keys.create(path, "page", ("predict",))
    client = start_client()
    found = series(client, authorization=f"Bearer {secret}")
    end = found["slipway_credential_expiry_timestamp_seconds", (("kind", "api_key"), ("name", "SLIPWAY_KEYS"))]
    assert end == pytest.approx((now + timedelta(days=3)).timestamp(), abs=1)


def test_certificates_that_the_service_uses_and_token_keys_are_exported(
    start_client: Callable[..., Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis, authorities, keys = (tmp_path / name for name in ("redis.crt", "authorities.pem", "jwks.json"))
    redis.write_bytes(pem(30, 7))
    authorities.write_bytes(pem(-5, 300))
    key = new_key("first").as_dict(private=False)
    keys.write_text(json.dumps({"keys": [{**key, "exp": at(20)}]}))
    monkeypatch.setenv("SLIPWAY_REDIS_URL", f"rediss://127.0.0.1:9/0?ssl_keyfile=/k.pem&ssl_certfile={redis}")
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    for name, value in (("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE), ("JWKS", str(keys))):
        monkeypatch.setenv(f"SLIPWAY_JWT_{name}", value)
    monkeypatch.setenv("SLIPWAY_OPEN_METRICS", "true")
    client = start_client()
    expected = {
        ("certificate", "SLIPWAY_REDIS_URL"): at(7),
        ("ca_certificates", "SSL_CERT_FILE"): at(300),
        ("token_keys", "SLIPWAY_JWT_JWKS"): at(20),
    }
    until(lambda: expiries(client) == expected)


def expiries(client: Client) -> dict[tuple[str, ...], float]:
    found = {labels: end for (name, labels), end in series(client).items() if name.startswith("slipway_credential")}
    return {tuple(value for _, value in labels): end for labels, end in found.items()}


def test_ten_thousand_unknown_paths_and_use_cases_make_no_series(start_client: Callable[..., Client]) -> None:
    client = start_client()
    for path in ("/no/such/path", "/v1/models/none/predict"):
        client.post(path, {})
    series(client)
    before = series(client).keys()
    routes, metrics = Routes(client.worker), client.worker.metrics
    for number in range(10_000):
        for path in (f"/path/{number}", f"/v1/models/usecase_{number}/predict", f"/v1/models/loans/{number}"):
            metrics.request(*routes.labels(path), 404, 0.001)
    for number in range(20):
        client.post(f"/v1/models/usecase_{number}/predict?{number}", {}, **{f"x-{number}": str(number)})
    assert series(client).keys() == before
