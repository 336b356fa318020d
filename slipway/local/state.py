"""State of the local stack: `stack.json` in the state folder names its processes and how others find them.

The lock `stack.lock` is held for as long as the stack's parent lives, so a stale file is never taken for a running
stack.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from slipway.clients.prefect import AUTH_STRING
from slipway.errors import ServiceError
from slipway.system.files import read_struct, write_text
from slipway.system.locks import acquire, is_held

_CREDENTIALS = {  # of which address
    AUTH_STRING: "PREFECT_API_URL",
    "MLFLOW_TRACKING_USERNAME": "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_PASSWORD": "MLFLOW_TRACKING_URI",
}


@dataclass(frozen=True)
class ServiceStatus:
    """A running process of the stack."""

    name: str
    pid: int
    log: str
    url: str | None = None


@dataclass(frozen=True)
class State:
    """A running stack: its parent's pid, the environment that leads to its servers, and its processes (`parts`)."""

    pid: int
    command: str
    env: Mapping[str, str]
    parts: tuple[ServiceStatus, ...] = field(default_factory=tuple)
    ready: bool = False

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that the stack uses."""
        return tuple(int(value) for name, value in self.env.items() if name.endswith("_PORT"))


class StackLock:
    """The lock of the one stack of a state folder, which the kernel frees when the holder dies."""

    def __init__(self, var: Path) -> None:
        self._var = var
        try:
            self._file = acquire(var / "stack.lock")
        except BlockingIOError:
            raise ServiceError(
                f"a stack runs from {var} already. `slipway status` shows it, `slipway down` ends it."
            ) from None

    def write(self, state: State) -> None:
        """Write `stack.json`."""
        content = json.dumps(asdict(state), indent=1)
        write_text(self._var / "stack.json", content, durable=False, mode=0o600)  # the environment holds passwords

    def release(self) -> None:
        """Remove `stack.json` and free the lock."""
        (self._var / "stack.json").unlink(missing_ok=True)
        self._file.close()


def running_stack(var: Path) -> State | None:
    """Read the state of the stack that runs from `var`; None if there is none.

    Raises:
        DamagedFile: a stack runs, and `stack.json` does not tell of it.
    """
    try:
        if not is_held(var / "stack.lock"):
            return None
    except FileNotFoundError:
        return None
    return read_struct(var / "stack.json", State)


def use_running_stack(var: Path) -> None:
    """Lead this process to the servers of the stack that runs from `var`, unless its environment names others."""
    state = running_stack(var)
    env = dict(state.env) if state else {}
    credentials = {name: env.pop(name) for name in _CREDENTIALS if name in env}
    for name, value in env.items():
        os.environ.setdefault(name, value)
    for name, value in credentials.items():
        address = _CREDENTIALS[name]
        if os.environ[address] == env[address]:  # no other server gets the password
            os.environ.setdefault(name, value)
