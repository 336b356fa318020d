"""MLflow run of a verdict: experiment `monitor/USECASE`, its figures as metrics, its pages as artifacts."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipway.clients.mlflow.metric_keys import allowed_keys
from slipway.clients.mlflow.registry import Registry
from slipway.contracts import registry_names
from slipway.errors import RegistryError

_MOST_AT_ONCE = 1000  # MLflow's own limit of one request


def record(verdict: dict[str, Any], pages: Sequence[Path], name: str) -> str:
    """Log the pages, and the verdict as a file `name`; return the id of the run.

    Raises:
        RegistryError: MLflow does not respond, or rejects the run.
    """
    registry = Registry()
    if not registry.alive():
        raise RegistryError(f"MLflow at {registry.uri} does not answer")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return _log(MlflowClient(registry.uri, registry.uri), verdict, pages, name)
    except (MlflowException, OSError) as error:
        raise RegistryError(f"MLflow at {registry.uri} rejected the run: {error}") from None


def metrics(verdict: dict[str, Any]) -> dict[str, float]:
    """All figures of a verdict, under keys that MLflow allows."""
    tests = [*verdict["features"], *verdict["predictions"]]
    key = allowed_keys(test["name"] for test in tests)
    found = {"drift_detected": float(verdict["verdict"] == "drift"), "window_rows": float(verdict["window"]["rows"])}
    found |= {f"effect/{key[test['name']]}/{test['method']}": test["effect"]["value"] for test in tests}
    found |= {f"adjusted_p/{key[test['name']]}/{test['method']}": test["adjusted_p"] for test in tests}
    if verdict["quality"]:
        found["label_coverage"] = verdict["quality"]["coverage"]
        found |= {f"quality/{name}": score["value"] for name, score in verdict["quality"]["metrics"].items()}
    return {name: float(value) for name, value in found.items()}


def _log(client: Any, verdict: dict[str, Any], pages: Sequence[Path], name: str) -> str:
    from mlflow.entities import Metric

    experiment = _experiment(client, registry_names.monitor_experiment(verdict["usecase"]))
    run_id = client.create_run(experiment, tags=_tags(verdict)).info.run_id
    now = int(time.time() * 1000)
    figures = [Metric(key, value, now, 0) for key, value in metrics(verdict).items()]
    for start in range(0, len(figures), _MOST_AT_ONCE):
        client.log_batch(run_id, metrics=figures[start : start + _MOST_AT_ONCE])
    for page in pages:
        client.log_artifact(run_id, str(page))
    client.log_dict(run_id, {**verdict, "mlflow_run_id": run_id}, name)
    client.set_terminated(run_id)
    return run_id


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name)


def _tags(verdict: dict[str, Any]) -> dict[str, str]:
    return {
        registry_names.VERDICT: verdict["verdict"],
        registry_names.ENVIRONMENT: verdict["environment"],
        registry_names.MODEL_VERSION: str(verdict["version"]),
        registry_names.SYNTHETIC: str(verdict["synthetic"]).lower(),
        "mlflow.note.content": verdict["sentence"],
    }
