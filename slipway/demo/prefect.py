"""Flow runs over Prefect's REST API: what the demo starts, it starts by a deployment's name, as a schedule would."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.errors import ServiceError

POLL_SECONDS = 2.0
BUSY, BUSY_TRIES, BUSY_SECONDS = 503, 10, 1.0
DONE = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class FlowRun:
    """`state` is Prefect's name for it, `message` what it says of a run that failed."""

    id: str
    state: str
    message: str
    seconds: float

    @property
    def completed(self) -> bool:
        return self.state == "COMPLETED"


class Prefect:
    """A server's API; every method raises ServiceError where it does not answer or refuses."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def start(self, deployment: str, parameters: Mapping[str, Any]) -> str:
        """Start `train/digits` with parameters beside those of the deployment; returns the flow run's id."""
        found = self._call("GET", f"deployments/name/{urllib.parse.quote(deployment)}")
        body = {
            "parameters": {**found["parameters"], **parameters},
            "state": {"type": "SCHEDULED"},
            "idempotency_key": str(uuid.uuid4()),
        }
        return self._call("POST", f"deployments/{found['id']}/create_flow_run", body)["id"]

    def flow_run(self, run_id: str) -> FlowRun:
        found = self._call("GET", f"flow_runs/{run_id}")
        state = found["state"] or {}
        return FlowRun(run_id, state.get("type", "PENDING"), state.get("message") or "", found["total_run_time"])

    def tasks(self, run_id: str) -> Iterator[tuple[str, str, float]]:
        """Name, state and seconds of the run's tasks, in the order in which they started."""
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        for task in self._call("POST", "task_runs/filter", body):
            yield (
                task["name"].rpartition("-")[0] or task["name"],
                task["state_type"] or "PENDING",
                task["total_run_time"],
            )

    def wait(self, runs: Mapping[str, str], say: Callable[[str], None]) -> dict[str, FlowRun]:
        """The finished runs by the same names; `say` is told each task that ends."""
        finished: dict[str, FlowRun] = {}
        told: set[tuple[str, str]] = set()
        while len(finished) < len(runs):
            time.sleep(POLL_SECONDS)
            for name, run_id in runs.items():
                if name in finished:
                    continue
                seen = self.flow_run(run_id)
                for task, state, seconds in self.tasks(run_id):
                    if state in DONE and (name, task) not in told:
                        told.add((name, task))
                        say(f"  {name}: {task} {state.lower()} ({seconds:.0f} s)")
                if seen.state in DONE:
                    finished[name] = seen
        return finished

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer; asked again while the server is busy: on SQLite, that is, while its database is locked."""
        for _ in range(BUSY_TRIES):
            status, answer = self._once(method, path, body)
            if status != BUSY:
                break
            time.sleep(BUSY_SECONDS)
        if status >= 400:
            raise ServiceError(f"Prefect answered {status} to {method} {path}: {answer[:300].decode(errors='replace')}")
        return json.loads(answer)

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._uri}/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (urllib.error.URLError, OSError) as error:
            raise ServiceError(f"Prefect does not answer at {self._uri}: {error}") from None
