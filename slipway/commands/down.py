"""`slipway down`: the end of a stack, from another terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import typer

PATIENCE_SECONDS = 60.0


def command() -> None:
    """End what `up` (or `demo`) started from this folder, and wait until nothing of it is left."""
    from slipway.local import running_stack
    from slipway.settings import settings

    var = settings().var.resolve()
    stack = running_stack(var)
    if stack is None:
        typer.echo(f"nothing runs from {var}")
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(stack.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while running_stack(var) and time.monotonic() < deadline:
        time.sleep(0.2)
    if running_stack(var):
        for pid in (stack.pid, *(part.pid for part in stack.parts)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    typer.echo(f"ended {', '.join(part.name for part in stack.parts) or 'the stack'}")
