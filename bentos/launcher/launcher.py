"""Launch: the two processes of `slipway serve`, the service and its follower, from their start to their end."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bentos.launcher import curl_example
from slipway.errors import PortTaken, ServiceError
from slipway.settings import Settings
from slipway.system.ports import free_port
from slipway.system.processes import Process, RunningProcess

LOOK_SECONDS = 0.25
RESTART_SECONDS = 5.0
Say = Callable[[str], None]


def address(settings: Settings) -> str:
    """Where a browser on this machine finds the service."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "localhost") else settings.host
    return f"http://{host}:{settings.service_port}"


def refuse_taken(settings: Settings, names: Sequence[str]) -> None:
    """Raises PortTaken where somebody listens there already; says which port is free."""
    host = settings.host
    free = free_port(settings.service_port, host=host)
    if free != settings.service_port:
        raise PortTaken(
            f"port {settings.service_port} on {host} is taken; `slipway status` shows whether it is by Slipway. "
            f"Port {free} is free: slipway serve {' '.join(names)} --port {free}"
        )


def service(settings: Settings, names: Sequence[str], bundle: Path | None) -> Process:
    """BentoML with its own home for each port: a start empties the metrics in it, others' too."""
    env = {
        **_environment(settings),
        "SLIPWAY_SERVE": ",".join(names),
        "SLIPWAY_HOST": settings.host,
        "SLIPWAY_SERVICE_PORT": str(settings.service_port),
        "SLIPWAY_WORKERS": str(settings.workers),
        "SLIPWAY_DEVICE": settings.device,
        "BENTOML_HOME": str(_scratch(settings)),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    if bundle is not None:
        env["SLIPWAY_BUNDLE"] = str(bundle.resolve())
    argv = (sys.executable, "-u", "-m", "bentoml", "serve", "-q", "bentos.service:slipway")
    return Process("the service", argv, None, env, f"{address(settings)}/readyz", address(settings))


def follower(settings: Settings, names: Sequence[str]) -> Process:
    argv = (sys.executable, "-u", "-m", "slipway.cli", "follow", *names)
    return Process("the follower", argv, None, _environment(settings))


def run(settings: Settings, names: Sequence[str], bundle: Path | None, *, follow: bool, say: Say) -> None:
    """Serve until SIGTERM or Ctrl-C, then end both processes.

    Raises:
        ServiceError: the service ended by itself.
    """
    stop = _on_signals()
    processes = [follower(settings, names)] if follow else []
    with _started([*processes, service(settings, names, bundle)]) as running:
        if _until_ready(running, address(settings), stop, say):
            try:
                announce(settings, names, say)
            except OSError as error:  # it serves all the same, also from a volume that takes no example
                say(f"ready; what it serves cannot be shown here: {error}")
        while not stop.wait(LOOK_SECONDS):
            _look_after(running, stop, say)


def announce(settings: Settings, names: Sequence[str], say: Say) -> None:
    """What is served, where to look, and a line to paste for each use case."""
    url = address(settings)
    say("")
    lines = []
    for name in names:
        try:
            model, schema = (_get(f"{url}/v1/models/{name}{end}", settings) for end in ("", "/schema"))
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403):
                raise
            say(f"{name} is served, for whoever has a key: SLIPWAY_API_KEY holds none with the scope predict or read.")
            continue
        if "waits_for" in model:  # a worker answered that still loads what another one serves
            say(f"{name} is served.")
            continue
        synthetic = ", trained on synthetic data" if model["synthetic"] else ""
        say(f"{name} version {model['version']} is served on {model['device']}{synthetic}")
        lines.append(curl_example.line(url, name, schema, settings.serving / name, bool(settings.authorization)))
    say(f"  page  {url}/")
    say(f"  API   {url}/docs")
    if lines:
        say("Try:")
    for line in lines:
        say(f"  {line}")


def _environment(settings: Settings) -> dict[str, str]:
    return {"SLIPWAY_VAR": str(settings.var.resolve())}


def _scratch(settings: Settings) -> Path:
    """BentoML's home. In a container not on the volume: what counts in memory (mmap) dies where that is full."""
    folder = Path(tempfile.gettempdir()) if settings.container else settings.var.resolve()
    return folder / "bentoml" / str(settings.service_port)


def _on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextmanager
def _started(processes: Sequence[Process]) -> Iterator[dict[str, RunningProcess]]:
    """The processes, ended in the reverse order whatever happens."""
    running: dict[str, RunningProcess] = {}
    try:
        for process in processes:
            running[process.name] = RunningProcess(process)
        yield running
    finally:
        for one in reversed(list(running.values())):
            one.stop(seconds=30)


def _until_ready(running: dict[str, RunningProcess], url: str, stop: threading.Event, say: Say) -> bool:
    """Whether it became ready before it was to stop; what it waits for is said meanwhile, once."""
    told = None
    while not stop.wait(LOOK_SECONDS):
        _look_after(running, stop, say)
        ready, waits_for = _readiness(url)
        if ready:
            return True
        if waits_for and waits_for != told:
            told = waits_for
            say(f"not ready yet: {waits_for}")
    return False


def _readiness(url: str) -> tuple[bool, str | None]:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2):
            return True, None
    except urllib.error.HTTPError as error:
        try:
            return False, json.loads(error.read())["detail"]
        except (ValueError, KeyError, TypeError):
            return False, None
    except OSError:
        return False, None


def _look_after(running: dict[str, RunningProcess], stop: threading.Event, say: Say) -> None:
    """A follower that ended is started again: predictions do not need it. A service that ended ends us."""
    for name, one in running.items():
        if one.alive:
            continue
        if name == "the service":
            raise ServiceError("the service ended by itself; its last words are above.")
        say(f"{name} ended; starting it again in {RESTART_SECONDS:.0f} s. What is served stays.")
        if not stop.wait(RESTART_SECONDS):
            running[name] = RunningProcess(one.process)


def _get(url: str, settings: Settings) -> Any:
    asked = urllib.request.Request(url, headers=settings.authorization)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.loads(answer.read())
