"""Double of Prefect's API in memory, as far as Slipway uses it; `test_doubles.py` compares it with a real server."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from tests.support.doubles.http_double import Answer, HttpDouble, Refused


class PrefectDouble(HttpDouble):
    """Double in which every requested deployment exists. `runs` are all flow runs by their idempotency key.

    `deployment` has what a search finds of the deployments beside their names; None: it finds none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, dict[str, Any]] = {}
        self.deployment: dict[str, Any] | None = {}

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        route, request = path.removeprefix("/api/"), json.loads(body) if body else {}
        if route == "health":
            return b"true"
        if route.startswith("deployments/name/"):
            return _deployment(*route.removeprefix("deployments/name/").split("/"))
        if route.endswith("/create_flow_run"):
            return self._start(request)
        if route == "deployments/filter":
            return self._deployments(request)
        if route == "task_runs/filter":
            return []
        if route == "flow_runs/filter":
            return self._filtered(request["flow_runs"])
        found = [run for run in self.runs.values() if route == f"flow_runs/{run['id']}"]
        if not found:
            raise Refused(404, "", f"{method} {path}")
        return found[0]

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.runs.setdefault(request["idempotency_key"], _run(request))

    def _deployments(self, by: dict[str, Any]) -> list[Any]:
        if self.deployment is None:
            return []
        (flow,), (name,) = by["flows"]["name"]["any_"], by["deployments"]["name"]["any_"]
        return [_deployment(flow, name) | self.deployment]

    def _filtered(self, by: dict[str, Any]) -> list[dict[str, Any]]:
        """Apply the filters that Slipway uses."""
        if key := by.get("idempotency_key"):
            return [self.runs[name] for name in key["any_"] if name in self.runs]
        types = by["state"]["type"]["any_"]
        return [run for run in self.runs.values() if run["state"]["type"] in types]


def _deployment(flow: str, name: str) -> dict[str, Any]:
    return {"id": f"{flow}--{name}", "parameters": {"usecase": name}}


def _run(request: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "id": str(uuid.uuid4()),
        "created": now,
        "state": {"type": "SCHEDULED", "timestamp": now},
        "parameters": request["parameters"],
        "tags": request.get("tags", []),
        "total_run_time": 0.0,
    }
