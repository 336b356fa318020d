"""Double of GitHub's API as far as Slipway uses it: an event becomes a run of the workflow `train`, with its title."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.support.doubles.http_double import Answer, HttpDouble, Refused

WORKFLOW = Path(__file__).resolve().parents[3] / ".github" / "workflows" / "train.yml"


class GitHubDouble(HttpDouble):
    """Double for one repository and token. `runs` are all runs, the oldest first; `events` what was sent."""

    repository, token = "example/slipway", "a token of GitHub"

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.enabled = True

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        if self.request_headers["Authorization"] != f"Bearer {self.token}":
            raise Refused(401, "", "Bad credentials")
        route = path.removeprefix(f"/repos/{self.repository}/")
        if (method, route) == ("POST", "dispatches"):
            event = json.loads(body)
            self.events.append(event)
            if self.enabled:
                self.add(_title(event["client_payload"]))
            return b""
        if route == "actions/workflows/train.yml/runs":
            return {"total_count": len(self.runs), "workflow_runs": self.runs[::-1][: int(query["per_page"])]}
        found = [run for run in self.runs if route == f"actions/runs/{run['id']}"]
        if not found:
            raise Refused(404, "", "Not Found")
        return found[0]

    def add(self, title: str, status: str = "queued", conclusion: str | None = None) -> dict[str, Any]:
        """Add a run, as somebody else's event would."""
        run = {
            "id": 7000 + len(self.runs),
            "name": "train",
            "display_title": title,
            "status": status,
            "conclusion": conclusion,
            "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.runs.append(run)
        return run


def _title(payload: dict[str, str]) -> str:
    """Return the title that the workflow itself would give: its `run-name`, with the payload in it."""
    name = yaml.safe_load(WORKFLOW.read_text())["run-name"]

    def value(expression: re.Match[str]) -> str:
        field = re.search(r"client_payload\.(\w+)", expression[1])[1]
        return f" {payload[field]}" if "format(" in expression[1] and payload.get(field) else payload.get(field, "")

    return re.sub(r"\$\{\{(.+?)\}\}", value, name)
