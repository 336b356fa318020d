"""Metrics of a server on the GPU: while it is under load, `/metrics` has the GPU's memory and use."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.gpu.check import Check, judge_on_gpu
from benchmarks.gpu.context import Context
from benchmarks.serving.load import http_request
from bentos.launcher.launcher import service_process
from slipway.clients import http
from slipway.contracts.bundle.manifest import verify
from slipway.settings import settings
from slipway.system.ports import free_port
from slipway.system.processes import RunningProcess

START_SECONDS, LOAD_SECONDS, SCRAPE_SECONDS = 90.0, 6.0, 0.25
CONNECTIONS = 64
USED, TOTAL, SHARE = "slipway_gpu_memory_used_bytes", "slipway_gpu_memory_total_bytes", "slipway_gpu_utilization_ratio"


def check_metrics(context: Context) -> Iterator[Check]:
    """Serve the dense network, load it, and scrape meanwhile: the largest values of each metric count."""
    bundle, seconds = context.networks / "dense_layers", 1.0 if context.quick else LOAD_SECONDS
    with _served(bundle, context.device) as url:
        request = context.folder / "request"
        probe = json.loads((bundle / "serve" / "probe.json").read_text())
        request.write_bytes(http_request("/v1/predict", json.dumps({"instances": probe["rows"][:1]}).encode()))
        found, load = _scrape_under_load(url, request, seconds)
        batching = http.request("GET", f"{url}/v1/models/benchmark").read(dict)["batching"]
    detail = f"{load['rate']:,.0f} requests/s of {CONNECTIONS} connections in batches of {batching['size']}; "
    memory = f"{found.get(USED, 0) / 1e9:.1f} of {found.get(TOTAL, 0) / 1e9:.1f} GB in use"
    share = f"computing in {found.get(SHARE, 0):.0%} of the time"
    holds = found.get(USED, 0) > 0 and found.get(SHARE, 0) > 0 and set(load["statuses"]) == {"200"}
    detail += f"{memory}, {share}" if found else "no series of a GPU"
    yield judge_on_gpu(context.device, "`/metrics` shows memory and use of the GPU", holds, detail)


@contextmanager
def _served(bundle: Path, device: str) -> Iterator[str]:
    """Start the service with one worker for the bundle alone; yields its URL."""
    config = settings().model_copy(update={"service_port": free_port(13000), "workers": 1, "device": device})
    config.var.mkdir(parents=True, exist_ok=True)
    process = service_process(config, [verify(bundle, serving_only=True).usecase], bundle)
    running = RunningProcess(replace(process, log=config.var / "server.log"))
    try:
        running.wait_ready(START_SECONDS, http.is_healthy)
        assert process.url is not None
        yield process.url
    finally:
        running.stop()


def _scrape_under_load(url: str, request: Path, seconds: float) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the largest value of each metric of a GPU, and what the load generator saw."""
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "benchmarks.serving.load", port, str(request), "--seconds", str(seconds)]
    load = subprocess.Popen([*command, "--connections", str(CONNECTIONS)], stdout=subprocess.PIPE)
    found: dict[str, float] = {}
    while load.poll() is None:
        for metric in text_string_to_metric_families(http.request("GET", f"{url}/metrics").content.decode()):
            if metric.name in (USED, TOTAL, SHARE) and metric.samples:
                found |= {metric.name: max([found.get(metric.name, 0), *(one.value for one in metric.samples)])}
        time.sleep(SCRAPE_SECONDS)
    output, _ = load.communicate()
    if load.returncode:
        raise RuntimeError(f"the load generator ended with exit code {load.returncode}")
    return found, json.loads(output)
