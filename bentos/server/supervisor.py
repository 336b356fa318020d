"""BentoML's supervisor process, as its workers use it: neither must outlive the other."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

from slipway.serving_state import observed
from slipway.settings import Settings

_PR_SET_PDEATHSIG = 1


def is_present() -> bool:
    """Return whether BentoML started this process as a worker; not so in tests, or under another ASGI server."""
    from bentoml._internal.context import server_context

    return server_context.worker_index is not None


def stop_with_supervisor() -> None:
    """Have the kernel send SIGTERM when the supervisor dies, even by SIGKILL: orphans would keep the port (Linux only).

    Call it in the main thread: the kernel binds it to the thread.
    """
    if not is_present():
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1 and not _is_bentoml(1):
        os.kill(os.getpid(), signal.SIGTERM)


def _is_bentoml(pid: int) -> bool:
    """Return whether the process is BentoML: in a container the supervisor itself may be process 1."""
    with contextlib.suppress(OSError):
        return b"bentoml" in Path("/proc", str(pid), "cmdline").read_bytes()
    return False


def stop_supervisor(settings: Settings, names: tuple[str, ...]) -> None:
    """Stop the server when this worker cannot start and no other worker serves.

    The supervisor would restart it again and again, with the port open and nothing behind it.
    """
    workers = [state for name in names for state in observed.read(settings.serving, name)]
    alone = not any(state.serving and state.pid != os.getpid() for state in workers)
    if is_present() and alone:
        os.kill(os.getppid(), signal.SIGTERM)
