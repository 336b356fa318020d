"""Experiments and runs in MLflow."""

from __future__ import annotations

import time
from typing import Any

from slipway.clients.mlflow.rest import MlflowRest


class Runs(MlflowRest):
    """Experiments and runs; a run is a document of MLflow with `info` and `data`."""

    def run(self, run_id: str) -> dict[str, Any]:
        """Read a run."""
        return self._get("runs/get", run_id=run_id)["run"]

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """List an experiment's runs that are not deleted, the oldest first."""
        body: dict[str, Any] = {
            "experiment_ids": [experiment],
            "order_by": ["attributes.start_time ASC"],
            "max_results": 1000,
        }
        found: list[dict[str, Any]] = []
        while True:
            page = self._send("POST", "runs/search", **body)
            found += page.get("runs", ())
            if not page.get("next_page_token"):
                return found
            body["page_token"] = page["next_page_token"]

    def create_run(self, experiment: str, name: str) -> dict[str, Any]:
        """Create a run that starts now."""
        started = int(time.time() * 1000)
        return self._send("POST", "runs/create", experiment_id=experiment, run_name=name, start_time=started)["run"]

    def experiment(self, name: str) -> str:
        """Find an experiment's id, a deleted one's, too. Raises NotFound if there never was one."""
        return self._get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"]

    def create_experiment(self, name: str) -> str:
        """Create an experiment; returns its id."""
        return self._send("POST", "experiments/create", name=name)["experiment_id"]
