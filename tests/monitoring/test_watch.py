from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from slipway import audit
from slipway.clients.mlflow.registry import Registry
from tests.support import bundles
from tests.support.servers import free_port, publish, unique_name

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port


class Watch:
    """`slipway watch` as a process."""

    def __init__(self, log: Path, *names: str, **env: str) -> None:
        self.port = free_port()
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "slipway.cli", "watch", *names],
                cwd=ROOT,
                env={**os.environ, "SLIPWAY_STATUS_PORT": str(self.port), "SLIPWAY_SERVERS": NOWHERE, **env},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def wait_for(self, path: str, text: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                if text in self.get(path):
                    return
            time.sleep(0.2)
        raise AssertionError(
            f"{path} never contained {text!r} (exit code {self.process.poll()}):\n{self.log.read_text()}"
        )


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    running: list[Watch] = []

    def start(*names: str, **env: str) -> Watch:
        running.append(Watch(tmp_path / f"watch-{len(running)}.log", *names, **env))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_shows_what_is_down_and_ends_well_on_a_signal(watch: Callable[..., Watch], number: signal.Signals) -> None:
    running = watch("loans")
    running.wait_for("/api/status", "loans")
    page = running.get("/")
    assert "does not respond" in page
    assert running.get("/livez") == "ok\n"
    running.process.send_signal(number)
    assert running.process.wait(30) == 0
    assert "Traceback" not in running.log.read_text()


def test_two_never_watch_one_environment(watch: Callable[..., Watch]) -> None:
    first = watch("loans")
    first.wait_for("/livez", "ok")
    second = watch("loans")
    assert second.process.wait(START_SECONDS) == 1
    assert "another `slipway watch` reconciles local" in second.log.read_text()
    assert first.get("/livez") == "ok\n"


def test_a_taken_port_is_a_clear_message(watch: Callable[..., Watch]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = watch("loans", SLIPWAY_STATUS_PORT=str(taken.getsockname()[1]))
        assert refused.process.wait(START_SECONDS) == 1
    assert "SLIPWAY_STATUS_PORT" in refused.log.read_text()


def test_it_watches_the_use_cases_that_servers_serve(watch: Callable[..., Watch]) -> None:
    running = watch(SLIPWAY_SERVE="loans")
    running.wait_for("/api/status", '"name":"loans"')
    assert "credit_risk" not in running.get("/api/status")
    running.wait_for("/metrics", "\nslipway_watch_pass_timestamp_seconds ")
    assert '\nslipway_process_open_fds{process="watch"} ' in running.get("/metrics")


def test_the_page_is_for_this_machine_unless_an_address_is_set(watch: Callable[..., Watch]) -> None:
    alone = watch("loans")
    alone.wait_for("/livez", "ok")
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", alone.port), 5):
        pass
    alone.process.terminate()
    assert alone.process.wait(30) == 0
    open_to_others = watch("loans", SLIPWAY_STATUS_HOST="0.0.0.0")
    open_to_others.wait_for("/livez", "ok")
    with socket.create_connection(("127.0.0.2", open_to_others.port), 5):
        pass


def test_it_watches_what_the_registry_has_where_no_folder_says(
    watch: Callable[..., Watch], mlflow_server: str, tmp_path: Path
) -> None:
    name = unique_name("loans")
    bundles.write(tmp_path / "bundle")
    registry = Registry(mlflow_server)
    registry.set_alias(name, "champion", publish(mlflow_server, name, tmp_path / "bundle"))
    running = watch(MLFLOW_TRACKING_URI=mlflow_server, SLIPWAY_USECASES=str(tmp_path / "none"))
    running.wait_for("/api/status", name)
    assert f"{NOWHERE} does not respond" in running.get("/")


def test_an_alias_that_somebody_moves_is_written_into_the_audit(
    watch: Callable[..., Watch], mlflow_server: str, tmp_path: Path
) -> None:
    name = unique_name("loans")
    bundles.write(tmp_path / "bundle")
    registry = Registry(mlflow_server)
    number = publish(mlflow_server, name, tmp_path / "bundle")
    running = watch(name, MLFLOW_TRACKING_URI=mlflow_server)
    running.wait_for("/metrics", f'slipway_versions_deleted_total{{usecase="{name}"}} 0.0')
    registry.set_alias(name, "shadow", number)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not audit.lines(name):
        time.sleep(0.5)
    [line] = audit.lines(name)
    assert (line.action, line.version, line.who) == ("alias.moved", number, audit.UNKNOWN)
