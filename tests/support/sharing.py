"""Servers that all workers of one test run share: the first that needs one starts it, and it ends with the run.

`started(factory, "mlflow", start)` is the same address in every worker.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

GENTLE_SECONDS = 5.0

Started = tuple[int, str]  # the pid of a session's leader, and where it answers


def of_the_run(factory: pytest.TempPathFactory) -> Path:
    """Return the folder for temporary files that all workers of the run share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock of the run, by one process at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def started(
    factory: pytest.TempPathFactory, name: str, start: Callable[[Path], Started], *, gently: bool = False
) -> str:
    """Return the address of the run's server of that name; `start(folder)` starts it if no worker has.

    One that removes its own files is ended `gently`.
    """
    folder = of_the_run(factory) / f"shared-{name}"
    folder.mkdir(exist_ok=True)
    record = folder / "started.json"
    with locked(folder / "lock"):
        if not record.exists():
            record.write_text(json.dumps([*start(folder), gently]))
        return json.loads(record.read_text())[1]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the servers of the run, after the last worker."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is None or hasattr(session.config, "workerinput"):
        return
    records = [json.loads(path.read_text()) for path in of_the_run(factory).glob("shared-*/started.json")]
    end_gently(*(leader for leader, _, gently in records if gently))
    end(*(leader for leader, *_ in records))


def end_gently(*leaders: int) -> None:
    """Ask leaders of sessions to end, so that they remove their files, and kill what has not ended soon."""
    for leader in leaders:
        with suppress(ProcessLookupError):
            os.kill(leader, signal.SIGTERM)
    deadline = time.monotonic() + GENTLE_SECONDS
    while any(map(_runs, leaders)) and time.monotonic() < deadline:
        time.sleep(0.05)
    end(*leaders)


def end(*leaders: int) -> None:
    """Kill sessions of processes: what these servers keep, nobody reads any more."""
    for leader in leaders:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # which nobody may wait for
