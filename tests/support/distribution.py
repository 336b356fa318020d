"""Which tests are slow, which go to the same worker, and in which order workers run them.

A file's tests go to one worker, for they share servers (`--dist loadfile`), and so do files that import the same large
library. Slow files go first.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# Fixtures that start a server, a browser, containers or a program, build an image, or train
SLOW = {
    "alertmanager",
    "bento",
    "chromium",
    "container",
    "elasticsearch",
    "elk",
    "example",
    "gpu_image",
    "homes_made",
    "image",
    "images",
    "kubeconform",
    "limited",
    "mlflow_app_server",
    "mlflow_server",
    "namespaces",
    "opensearch",
    "prefect_server",
    "redis",
    "rendered",
    "run_steps",
    "s3_port",
    "serve",
    "server",
    "stage",
    "steps",
    "swap_server",
    "trained",
    "watch",
    "with_components",
}
# Files that import a library for which a worker needs seconds
LIBRARIES = {
    "TensorFlow": (
        "benchmarks/gpu/test_gpu.py",
        "benchmarks/models/test_credit_risk.py",
        "pipelines/commands/test_train.py",
        "pipelines/labels/test_retraining_data.py",
        "pipelines/modeling/test_networks.py",
        "pipelines/steps/test_training_steps.py",
        "pipelines/steps/test_validate.py",
        "pipelines/test_any_name.py",
        "usecases/test_conformance.py",
    ),
    "Evidently": (
        "monitoring/analysis/test_drift_evidently.py",
        "monitoring/reports/test_scripts_of_callers.py",
        "monitoring/test_monitor.py",
        "monitoring/test_monitor_s3.py",
    ),
    "Prefect": (
        "infra/kubernetes/test_prefect_deployments.py",
        "infra/kubernetes/test_prefect_jobs.py",
        "monitoring/retraining/test_policy.py",
        "pipelines/test_flows.py",
    ),
    "MLflow": (
        "monitoring/mlflow_app/test_app.py",
        "monitoring/mlflow_app/test_login.py",
        "pipelines/steps/test_register.py",
        "scenarios/closed_loop/test_tampered_version.py",
        "slipway/clients/mlflow/test_metric_keys.py",
    ),
}
_LIBRARY_OF = {file: library for library, files in LIBRARIES.items() for file in files}
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
# Each worker computes on one thread: several with one for each core would wait for each other.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

if IS_WORKER:
    for name in THREADS:
        os.environ.setdefault(name, "1")


class _Scheduling(LoadFileScheduling):
    """Distribution by file, or by the library that it imports."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return _LIBRARY_OF.get(file.removeprefix("tests/"), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return _Scheduling(config, log)


class _Folder(pytest.Dir):
    """A folder whose collection begins at another place in each worker, so that no two compile the same files."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        found = list(super().collect())
        first = len(found) * int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) // WORKERS
        return found[first:] + found[:first]


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect folders in a worker's own order; they are sorted below."""
    return _Folder.from_parent(parent, path=path) if IS_WORKER else None


@pytest.hookimpl(tryfirst=True)  # before -m is evaluated
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start a server as slow. Workers run files with slow tests first, then those with most tests, so
    that none runs long when the others are done."""
    for item in items:
        if SLOW.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    if IS_WORKER:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        tests = Counter(item.path for item in items)
        items.sort(key=lambda item: (item.path not in slow, 0 if item.path in slow else -tests[item.path], item.path))
