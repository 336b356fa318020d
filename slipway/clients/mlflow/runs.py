"""Experiments and runs in MLflow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from slipway.clients.mlflow import documents
from slipway.clients.mlflow.documents import Accepted, Experiment, ExperimentResponse, Run, RunResponse
from slipway.clients.mlflow.rest import MlflowRest

_MOST_METRICS = 1000  # MLflow's own limit of one request


class Runs(MlflowRest):
    """Experiments and runs."""

    def run(self, run_id: str) -> Run:
        """Read a run."""
        return self._get(RunResponse, "runs/get", run_id=run_id).run

    def runs(self, experiment: str) -> list[Run]:
        """List an experiment's runs that are not deleted, the oldest first."""
        body: dict[str, Any] = {
            "experiment_ids": [experiment],
            "order_by": ["attributes.start_time ASC"],
            "max_results": 1000,
        }
        pages = self._pages(lambda token: self._send(documents.Runs, "POST", "runs/search", **body, **token))
        return [run for page in pages for run in page.runs]

    def create_run(self, experiment: str, name: str, tags: Mapping[str, str] = MappingProxyType({})) -> Run:
        """Create a run that starts now."""
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        body = {"experiment_id": experiment, "run_name": name, "start_time": _now_ms(), "tags": listed}
        return self._send(RunResponse, "POST", "runs/create", **body).run

    def log_metrics(self, run_id: str, values: Mapping[str, float]) -> None:
        """Log metrics of a run."""
        now = _now_ms()
        metrics = [{"key": key, "value": value, "timestamp": now, "step": 0} for key, value in values.items()]
        for start in range(0, len(metrics), _MOST_METRICS):
            some = metrics[start : start + _MOST_METRICS]
            self._send(Accepted, "POST", "runs/log-batch", run_id=run_id, metrics=some)

    def finish_run(self, run_id: str) -> None:
        """End a run that succeeded."""
        self._send(Accepted, "POST", "runs/update", run_id=run_id, status="FINISHED", end_time=_now_ms())

    def experiment(self, name: str) -> str:
        """Find an experiment's id, a deleted one's, too. Raises NotFound if there never was one."""
        found = self._get(ExperimentResponse, "experiments/get-by-name", experiment_name=name)
        return found.experiment.experiment_id

    def create_experiment(self, name: str) -> str:
        """Create an experiment; returns its id."""
        return self._send(Experiment, "POST", "experiments/create", name=name).experiment_id


def _now_ms() -> int:
    return int(time.time() * 1000)
