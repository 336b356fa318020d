"""BentoML's supervisor, seen from a worker: it must not outlive its use, nor the worker it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

from slipway.serving_state import observed
from slipway.settings import Settings

_PR_SET_PDEATHSIG = 1


def is_there() -> bool:
    """Whether this process is a worker that BentoML started; not so in tests, or under another ASGI server."""
    from bentoml._internal.context import server_context

    return server_context.worker_index is not None


def end_with_it() -> None:
    """Have the kernel send SIGTERM when the supervisor dies, even by SIGKILL: orphans would keep the port (Linux only).

    Call it in the main thread: the kernel binds it to the thread.
    """
    if not is_there():
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1 and not _is_bentoml(1):
        os.kill(os.getpid(), signal.SIGTERM)


def _is_bentoml(pid: int) -> bool:
    """In a container the supervisor itself may be the first process."""
    with contextlib.suppress(OSError):
        return b"bentoml" in Path("/proc", str(pid), "cmdline").read_bytes()
    return False


def end_it(settings: Settings, names: tuple[str, ...]) -> None:
    """End the server where this worker cannot start and no other one serves.

    The supervisor would start it again and again, the port open all the while and nothing behind it.
    """
    workers = [state for name in names for state in observed.read(settings.serving, name)]
    alone = not any(state.serving and state.pid != os.getpid() for state in workers)
    if is_there() and alone:
        os.kill(os.getppid(), signal.SIGTERM)
