"""Flow runs over Prefect's REST API, without Prefect's client, whose import takes seconds."""

from __future__ import annotations

import base64
import os
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.clients.http import HttpClient, Response
from slipway.errors import ServiceError

AUTH_STRING = "PREFECT_API_AUTH_STRING"  # Prefect's variable of a login, USER:PASSWORD
POLL_SECONDS = 2.0
BUSY, BUSY_TRIES, BUSY_SECONDS = 503, 10, 1.0
DONE = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
UNDER_WAY = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
DUE = timedelta(minutes=1)
# A runner that is killed before its run began leaves it pending for ever; one that runs has a heartbeat to miss.
LONGEST_PENDING = timedelta(hours=1)


@dataclass(frozen=True)
class FlowRun:
    """A flow run; `state` is as Prefect names it, `message` the reason of a failure, `created` a time in UTC."""

    id: str
    state: str
    message: str
    seconds: float
    created: datetime | None = None
    tags: tuple[str, ...] = ()

    @property
    def completed(self) -> bool:
        return self.state == "COMPLETED"


class PrefectClient:
    """A Prefect server; every method raises ServiceError if it does not respond, or responds with an error."""

    def __init__(self, uri: str, timeout: float = 20.0) -> None:
        self._uri = uri
        self._http = HttpClient(uri, timeout=timeout)

    def start(
        self,
        deployment: str,
        parameters: Mapping[str, Any],
        key: str | None = None,
        tags: Sequence[str] = (),
    ) -> str:
        """Start a deployment such as `train/digits` with further parameters and tags; returns the flow run's id.

        If a run was started with the same `key` before, by anybody, it is that run's id, and nothing is started.
        """
        found = self._call("GET", f"deployments/name/{urllib.parse.quote(deployment)}")
        body = {
            "parameters": {**found["parameters"], **parameters},
            "state": {"type": "SCHEDULED"},
            "idempotency_key": key or str(uuid.uuid4()),
            "tags": list(tags),
        }
        return self._call("POST", f"deployments/{found['id']}/create_flow_run", body)["id"]

    def flow_run(self, run_id: str) -> FlowRun:
        return _flow_run(self._call("GET", f"flow_runs/{run_id}"))

    def with_key(self, key: str) -> FlowRun | None:
        """Find the run that was started with this key."""
        found = self._call("POST", "flow_runs/filter", {"flow_runs": {"idempotency_key": {"any_": [key]}}})
        return _flow_run(found[0]) if found else None

    def under_way(self, flow: str, usecase: str) -> list[FlowRun]:
        """List the flow's runs for a use case that are due, pending or running, the oldest first.

        Runs that a schedule has planned for later are not among them.
        """
        now = datetime.now(UTC)
        body = {
            "flows": {"name": {"any_": [flow]}},
            "flow_runs": {
                "state": {"type": {"any_": list(UNDER_WAY)}},
                "expected_start_time": {"before_": (now + DUE).isoformat()},
            },
            "sort": "EXPECTED_START_TIME_ASC",
        }
        found = self._call("POST", "flow_runs/filter", body)
        return [_flow_run(run) for run in found if run["parameters"].get("usecase") == usecase and _lives(run, now)]

    def begun(self, flow: str, usecase: str, since: datetime) -> list[FlowRun]:
        """List the flow's runs for a use case that were to start since then, in any state, the oldest first."""
        body = {
            "flows": {"name": {"any_": [flow]}},
            "flow_runs": {"expected_start_time": {"after_": since.isoformat()}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        found = self._call("POST", "flow_runs/filter", body)
        return [_flow_run(run) for run in found if run["parameters"].get("usecase") == usecase]

    def tasks(self, run_id: str) -> Iterator[tuple[str, str, float]]:
        """List name, state and seconds of the run's tasks, in the order in which they started."""
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        for task in self._call("POST", "task_runs/filter", body):
            yield (
                task["name"].rpartition("-")[0] or task["name"],
                task["state_type"] or "PENDING",
                task["total_run_time"],
            )

    def wait(self, runs: Mapping[str, str], say: Callable[[str], None]) -> dict[str, FlowRun]:
        """Wait for runs to finish; returns them by the same names. Each task that ends is reported to `say`."""
        finished: dict[str, FlowRun] = {}
        reported: set[tuple[str, str]] = set()
        while len(finished) < len(runs):
            time.sleep(POLL_SECONDS)
            for name, run_id in runs.items():
                if name in finished:
                    continue
                run = self.flow_run(run_id)
                for task, state, seconds in self.tasks(run_id):
                    if state in DONE and (name, task) not in reported:
                        reported.add((name, task))
                        say(f"  {name}: {task} {state.lower()} ({seconds:.0f} s)")
                if run.state in DONE:
                    finished[name] = run
        return finished

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request, again while the server is busy: on SQLite, that is, while its database is locked."""
        for _ in range(BUSY_TRIES):
            response = self._once(method, path, body)
            if response.status != BUSY:
                break
            time.sleep(BUSY_SECONDS)
        if response.status >= 300:
            detail = response.content[:300].decode(errors="replace")
            raise ServiceError(f"Prefect answered {response.status} to {method} {path}: {detail}")
        try:
            return response.json()
        except ValueError:
            raise ServiceError(f"{self._uri} does not answer as Prefect does: is another program there?") from None

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Response:
        try:
            return self._http.request(method, f"/{path}", document=body, headers=authorization(os.environ))
        except ServiceError as error:
            raise ServiceError(f"Prefect does not answer at {self._uri}: {error}") from None


def _flow_run(found: Mapping[str, Any]) -> FlowRun:
    state, created = found["state"] or {}, found.get("created")
    return FlowRun(
        id=str(found.get("id", "")),
        state=state.get("type", "PENDING"),
        message=state.get("message") or "",
        seconds=found["total_run_time"],
        created=datetime.fromisoformat(created) if created else None,
        tags=tuple(found.get("tags", ())),
    )


def _lives(run: Mapping[str, Any], now: datetime) -> bool:
    state = run["state"] or {}
    if state.get("type") != "PENDING":
        return True
    return now - datetime.fromisoformat(state["timestamp"]) < LONGEST_PENDING


def authorization(environment: Mapping[str, str]) -> dict[str, str]:
    """The credentials in Prefect's own variables, as its client sends them: a login before a key of Prefect Cloud."""
    if pair := environment.get(AUTH_STRING):
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if key := environment.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    return {}
