"""Garbage collection without what stays: the libraries that tests import are a million objects, never garbage."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave out what tests import."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish() -> None:
    """Leave out all that is there: pytest would collect five times before the process ends, for seconds.

    A worker, which has sent its results, then ends without taking its libraries down, which takes as long. Another
    process counts again at its exit, for libraries in C++ report what is left over then.
    """
    gc.freeze()
    if "PYTEST_XDIST_WORKER" in os.environ:
        atexit.register(os._exit, 0)
    else:
        atexit.register(gc.unfreeze)
