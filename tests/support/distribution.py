"""Which tests are slow, and in which order workers run them.

A file's tests go to one worker, for they share servers (`--dist loadfile`). Slow files go first.
"""

from __future__ import annotations

import os

import pytest

# Fixtures that start a server, a browser or containers, build an image, or train
SLOW = {
    "alertmanager",
    "bento",
    "chromium",
    "container",
    "gpu_image",
    "homes_made",
    "image",
    "images",
    "mlflow_app_server",
    "mlflow_server",
    "namespaces",
    "prefect_server",
    "redis",
    "run_steps",
    "s3_port",
    "serve",
    "server",
    "stage",
    "steps",
    "swap_server",
    "trained",
    "watch",
}
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
# Each worker computes on one thread: several with one for each core would wait for each other.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

if IS_WORKER:
    for name in THREADS:
        os.environ.setdefault(name, "1")


@pytest.hookimpl(tryfirst=True)  # before -m is evaluated
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start a server as slow; a worker runs files with slow tests first, so that none is the last."""
    for item in items:
        if SLOW.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    if IS_WORKER:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)
