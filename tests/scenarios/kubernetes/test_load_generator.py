"""The load that the trial of a cluster sends: it counts what failed and why, and the log can be held against it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from scenarios.kubernetes.log_query import count_events
from tests.bentos.server.processes import Server
from tests.support import bundles

SCRIPT = Path(__file__).resolve().parents[3] / "scenarios" / "kubernetes" / "load_generator.py"
RATE = 50


class Loading:
    """The script as a process; `result()` ends it."""

    def __init__(self, url: str, stop: Path) -> None:
        self._stop = stop
        argv = [sys.executable, str(SCRIPT), url, "loans", "run", str(RATE), str(stop)]
        environment = os.environ | {"SLIPWAY_API_KEY": "none-is-needed-here"}
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment)

    def result(self) -> dict:
        self._stop.touch()
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return json.loads(out)


@pytest.fixture
def start_load(serve, var, tmp_path):
    """`start_load(workers=2)` starts a server, and a load that it answers already."""
    with ExitStack() as stack:

        def start(**options: Any) -> tuple[Server, Loading]:
            bundles.promote(var, tmp_path / "one")
            server = serve("loans", **options)
            loading = Loading(f"http://127.0.0.1:{server.port}", tmp_path / "stop")
            stack.callback(loading.process.kill)
            server.wait_for(
                lambda: server.metric("slipway_requests_total", usecase="loans", route="predict", code="200") > RATE
            )
            return server, loading

        yield start


def test_every_number_has_a_response_and_is_in_the_log_once(start_load):
    _, loading = start_load()
    result = loading.result()
    assert result["sent"] > RATE and result["failed"] == {}
    assert count_events("loans") == {"run": dict.fromkeys(range(result["sent"]), 1)}


def test_failures_are_reported_with_number_and_reason(start_load):
    server, loading = start_load(workers=2)
    victim = stop_a_worker_that_is_asked(server)
    time.sleep(1)
    os.kill(victim, signal.SIGKILL)
    time.sleep(1)
    result = loading.result()
    assert result["failed"], "requests were on their way to a stopped worker when it was killed"
    kinds = {reason.partition(":")[0] for reason in result["failed"].values()}
    assert kinds <= {"IncompleteReadError", "ConnectionResetError"}, result["failed"]
    answered = set(range(result["sent"])) - {int(number) for number in result["failed"]}
    assert count_events("loans")["run"].keys() >= answered


def stop_a_worker_that_is_asked(server: Server) -> int:
    """Stop a worker that has a connection of the load, and return its pid: the next request on it gets no response."""
    while True:
        for pid in server.workers():
            os.kill(pid, signal.SIGSTOP)
            if any(each.status == psutil.CONN_ESTABLISHED for each in psutil.Process(pid).net_connections()):
                return pid
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
