"""The server as real processes, and a client that keeps its connections and counts answers."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import psutil
from prometheus_client.parser import text_string_to_metric_families

from slipway.serving_state import observed
from slipway.serving_state.observed import WorkerState
from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 90  # 4 alone; the machine may be busy with other tests
STOP_SECONDS = 30
COUNTED_SECONDS = 5.0  # what a worker counts may reach /metrics a moment after the answer


class Server:
    """`bentoml serve bentos.service:slipway` in a session of its own."""

    command = [sys.executable, "-m", "bentoml", "serve", "bentos.service:slipway"]

    def __init__(self, var: Path, usecases: tuple[str, ...], workers: int = 1, ready: bool = True, **env: str) -> None:
        self.var = var
        self.port = free_port()
        self.log = var.parent / f"server-{self.port}.log"
        self._ready = ready
        self._usecases = usecases
        self._workers = workers
        self._env = {
            **os.environ,
            "SLIPWAY_VAR": str(var),
            "SLIPWAY_SERVE": ",".join(usecases),
            "SLIPWAY_SERVICE_PORT": str(self.port),
            "SLIPWAY_WORKERS": str(workers),
            "BENTOML_HOME": str(var / "bentoml"),
            **env,
        }

    def __enter__(self) -> Server:
        self.var.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self._env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            if self._ready:
                self.wait_ready()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        workers = self.workers() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        for pid in [self.process.pid, *workers]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                if self.get("/readyz")[0] == 200 and self._all_have_begun():
                    return
            time.sleep(0.2)
        raise AssertionError(f"the server is not ready (exit code {self.process.poll()}):\n{self.log.read_text()}")

    def _all_have_begun(self) -> bool:
        """Tell whether every worker has begun: readiness is that of one worker, the others may still load models."""
        return all(len(self.states(usecase)) == self._workers for usecase in self._usecases)

    def workers(self) -> list[int]:
        """Return the pids of the worker processes."""
        found = psutil.Process(self.process.pid).children()
        return [child.pid for child in found if child.status() != psutil.STATUS_ZOMBIE]

    def wait_for(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen in time:\n{self.log.read_text()}"
            time.sleep(0.05)

    def states(self, usecase: str = "loans") -> list[WorkerState]:
        """Return the observed state that the workers wrote."""
        return observed.read(self.var / "serving", usecase)

    def all_have(self, generation: int, digest: str | None, usecase: str = "loans", role: str = "champion") -> bool:
        """Tell whether every worker has followed that generation of the pointer and has the digest in the role."""
        found = [state.roles.get(role) for state in self.states(usecase) if state.generation == generation]
        expected = digest and (digest, "serving")
        return [state and (state.digest, state.outcome) for state in found] == [expected] * self._workers

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of all series in `/metrics` that have at least these labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1].decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def wait_for_metric(self, value: float, name: str, **labels: str) -> None:
        deadline = time.monotonic() + COUNTED_SECONDS
        while (found := self.metric(name, **labels)) != value:
            assert time.monotonic() < deadline, f"{name}{labels} is {found}, not {value}"
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, bytes]:
        return self.request("GET", path)

    def predict(self, usecase: str, **instance: Any) -> tuple[int, dict]:
        status, body = self.request("POST", f"/v1/models/{usecase}/predict", {"instances": [instance]})
        return status, json.loads(body)

    def request(self, method: str, path: str, content: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Answered(NamedTuple):
    """A prediction; times by `time.monotonic()`."""

    sent: float
    received: float
    version: str
    id: str

    @property
    def seconds(self) -> float:
        return self.received - self.sent


class Load:
    """Threads that predict at a steady rate on persistent connections and record the answers.

    >>> with Load(server, "loans", rate=100) as load:
    ...     time.sleep(5)
    """

    def __init__(
        self, server: Server, usecase: str, row: dict[str, Any], rate: float = 100, connections: int = 4
    ) -> None:
        self.answered: list[Answered] = []
        self.failed: list[str] = []
        self.breaks: list[float] = []  # when a connection ended under a request, as when its worker is killed
        self._server = server
        self._path = f"/v1/models/{usecase}/predict"
        self._body = json.dumps({"instances": [row]})
        self._pause = connections / rate
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(15)

    @property
    def broken(self) -> int:
        return len(self.breaks)

    @property
    def versions(self) -> list[str]:
        return [answered.version for answered in self.answered]

    @property
    def ids(self) -> list[str]:
        return [answered.id for answered in self.answered]

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=10)
        due = time.monotonic()
        while not self._stopping.is_set():
            try:
                sent = time.monotonic()
                connection.request("POST", self._path, self._body, {"content-type": "application/json"})
                answer = connection.getresponse()
                self._note(sent, answer.status, answer.read())
            except (OSError, http.client.HTTPException):
                self.breaks.append(time.monotonic())
                connection.close()
                time.sleep(0.05)
            due = max(due + self._pause, time.monotonic() - 1)
            self._stopping.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def _note(self, sent: float, status: int, body: bytes) -> None:
        received = time.monotonic()
        content = json.loads(body)
        if status == 200:
            self.answered.append(Answered(sent, received, content["model"]["version"], content["predictions"][0]["id"]))
        else:
            self.failed.append(f"{status}: {content}")


def logged_ids(var: Path, usecase: str = "loans") -> Counter[str]:
    """Count how often each row is in the log."""
    return Counter(event["slipway"]["row_id"] for event in logged(var, usecase))


def logged(var: Path, usecase: str = "loans") -> list[dict[str, Any]]:
    """Return the events in the log, read from the files themselves; a truncated line would not parse."""
    paths = sorted((var / "spool" / usecase).glob("prediction-*"))
    return [json.loads(line) for path in paths for line in _segment(path).splitlines()]


def _segment(path: Path) -> bytes:
    """Read a segment that the server may have completed, which renames it, since it was listed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return path.with_name(path.name.removesuffix(".open")).read_bytes()


def percentile(values: Iterable[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))]
