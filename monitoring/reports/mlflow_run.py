"""MLflow run of a verdict: experiment `monitor/USECASE`, its figures as metrics, its pages as artifacts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipway.clients.mlflow.metric_keys import allowed_keys
from slipway.clients.mlflow.registry import Registry
from slipway.contracts import registry_names
from slipway.errors import NotFound, RegistryError

_SECONDS = 30.0  # Evidently's page has 4 MB


def record(verdict: dict[str, Any], pages: Sequence[Path], name: str) -> str:
    """Log the pages, and the verdict as a file `name`; return the id of the run.

    Raises:
        RegistryError: MLflow does not respond, or rejects the run.
    """
    if not Registry().alive():
        raise RegistryError(f"MLflow at {Registry().uri} does not respond")
    registry = Registry(timeout=_SECONDS)
    experiment = _experiment(registry, registry_names.monitor_experiment(verdict["usecase"]))
    run = registry.create_run(experiment, name.partition(".")[0], _tags(verdict)).info
    registry.log_metrics(run.run_id, metrics(verdict))
    for page in pages:
        registry.put_artifact(run.artifact_uri, page.name, page.read_bytes())
    content = json.dumps({**verdict, "mlflow_run_id": run.run_id}, indent=2, ensure_ascii=False)
    registry.put_artifact(run.artifact_uri, name, content.encode())
    registry.finish_run(run.run_id)
    return run.run_id


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


def _experiment(registry: Registry, name: str) -> str:
    try:
        return registry.experiment(name)
    except NotFound:
        return registry.create_experiment(name)


def _tags(verdict: dict[str, Any]) -> dict[str, str]:
    return {
        registry_names.VERDICT: verdict["verdict"],
        registry_names.ENVIRONMENT: verdict["environment"],
        registry_names.MODEL_VERSION: str(verdict["version"]),
        registry_names.SYNTHETIC: str(verdict["synthetic"]).lower(),
        "mlflow.note.content": verdict["sentence"],
    }
