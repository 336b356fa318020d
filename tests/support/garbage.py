"""Garbage collection without what stays: the libraries that tests import are a million objects, never garbage."""

from __future__ import annotations

import atexit
import gc


def pytest_collection_finish() -> None:
    """Leave out what was imported so far."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Leave out all that is there: pytest would collect five times before the process ends, for seconds.

    At the exit it counts again, for libraries in C++ report what is left over then.
    """
    gc.freeze()
    atexit.register(gc.unfreeze)
