"""Zygote of the processes: it has everything imported, and forks one per act that it reads (standard input, JSON).

Each `Act` is answered by one line with an `Ended`.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from typing import Any

import msgspec

from slipway.errors import SlipwayError
from slipway.settings import settings
from tests.faults.faults import Effect, Fault, Injector

SECONDS = 60


class Ended(msgspec.Struct):
    """End of a process; `effects` are None if it was killed, `error` is the SlipwayError or OSError that it raised."""

    exit: int
    error: str | None = None
    effects: list[Effect] | None = None


class Act(msgspec.Struct):
    """Act to run, its arguments and environment, and the fault that it meets."""

    act: str
    args: dict[str, Any]
    environment: dict[str, str]
    servers: dict[str, str]
    imports: list[str]
    fault: Fault | None = None


def forked(act: Act) -> Ended:
    """Run the act in a forked process, and wait for its end."""
    for module in act.imports:
        importlib.import_module(module)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            os._exit(_child(act, writing))
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        output = file.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return msgspec.json.decode(output, type=Ended) if output else Ended(code)


def _child(act: Act, writing: int) -> int:
    signal.alarm(SECONDS)
    os.dup2(2, 1)
    os.environ.update(act.environment)
    settings.cache_clear()
    injector = Injector(act.fault, act.servers)
    injector.install()
    ended = Ended(0, effects=injector.effects)
    try:
        _run(act)
    except (SlipwayError, OSError) as error:
        ended.error = f"{type(error).__name__}: {error}"
    except BaseException as error:
        import traceback

        traceback.print_exc()
        ended.exit, ended.error = 1, repr(error)
    with os.fdopen(writing, "wb") as file:
        file.write(msgspec.json.encode(ended))
    return ended.exit


def _run(act: Act) -> None:
    module, _, name = act.act.partition(":")
    getattr(importlib.import_module(module), name)(**act.args)


def main(modules: list[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    _write("ready")
    for line in sys.stdin:
        _write(forked(msgspec.json.decode(line, type=Act)))


def _write(what: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
