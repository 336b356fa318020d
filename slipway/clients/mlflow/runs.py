"""Experiments and runs in MLflow."""

from __future__ import annotations

import time
from typing import Any

from slipway.clients.mlflow import documents
from slipway.clients.mlflow.documents import Experiment, ExperimentResponse, Run, RunResponse
from slipway.clients.mlflow.rest import MlflowRest


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

    def create_run(self, experiment: str, name: str) -> Run:
        """Create a run that starts now."""
        started = int(time.time() * 1000)
        body = {"experiment_id": experiment, "run_name": name, "start_time": started}
        return self._send(RunResponse, "POST", "runs/create", **body).run

    def experiment(self, name: str) -> str:
        """Find an experiment's id, a deleted one's, too. Raises NotFound if there never was one."""
        found = self._get(ExperimentResponse, "experiments/get-by-name", experiment_name=name)
        return found.experiment.experiment_id

    def create_experiment(self, name: str) -> str:
        """Create an experiment; returns its id."""
        return self._send(Experiment, "POST", "experiments/create", name=name).experiment_id
