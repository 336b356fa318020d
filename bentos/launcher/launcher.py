"""Launcher: starts, supervises and ends the two processes of `slipway serve`, the service and its follower."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from bentos.launcher import curl_example
from slipway.clients import http
from slipway.errors import PortTaken, ServiceError
from slipway.settings import Settings
from slipway.system.ports import free_port, url_at
from slipway.system.processes import Process, RunningProcess
from slipway.texts import one_line

POLL_SECONDS = 0.25
RESTART_SECONDS = 5.0
Say = Callable[[str], None]
_MAX_REASON = 2000  # characters of what a use case waits for
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}  # noqa: S104, compared only


class _Model(Struct):
    """What is read of the response to `GET /v1/models/NAME`."""

    version: str | None = None
    device: str | None = None
    synthetic: bool = False
    waits_for: str | None = None


class _Problem(Struct):
    detail: str


def service_url(settings: Settings) -> str:
    """Return the URL at which this machine reaches the service."""
    host = _REACHED_AT.get(settings.host, settings.host)
    return url_at(host, settings.service_port)


def require_free_port(settings: Settings, names: Sequence[str]) -> None:
    """Raise PortTaken, which names a free port, where the service's port is in use."""
    host = settings.host
    free = free_port(settings.service_port, host=host)
    if free != settings.service_port:
        raise PortTaken(
            f"port {settings.service_port} on {host} is taken; `slipway status` shows whether Slipway uses it. "
            f"Port {free} is free: slipway serve {' '.join(names)} --port {free}"
        )


def service_process(settings: Settings, names: Sequence[str], bundle: Path | None) -> Process:
    """Describe the service's process. Each port has its own BENTOML_HOME: a start deletes all metrics in it."""
    env = {
        **_environment(settings),
        "SLIPWAY_SERVE": ",".join(names),
        "SLIPWAY_HOST": settings.host,
        "SLIPWAY_SERVICE_PORT": str(settings.service_port),
        "SLIPWAY_WORKERS": str(settings.workers),
        "SLIPWAY_DEVICE": settings.device,
        "BENTOML_HOME": str(_bentoml_home(settings)),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    if bundle is not None:
        env["SLIPWAY_BUNDLE"] = str(bundle.resolve())
    argv = (sys.executable, "-u", "-m", "bentoml", "serve", "-q", "bentos.service:slipway")
    return Process("the service", argv, None, env, f"{service_url(settings)}/readyz", service_url(settings))


def follower_process(settings: Settings, names: Sequence[str]) -> Process:
    """Describe the follower's process."""
    argv = (sys.executable, "-u", "-m", "slipway.cli", "follow", *names)
    return Process("the follower", argv, None, _environment(settings))


def run(settings: Settings, names: Sequence[str], bundle: Path | None, *, follow: bool, say: Say) -> None:
    """Run both processes until SIGTERM or Ctrl-C, then end them.

    Raises:
        ServiceError: the service ended by itself.
    """
    stop = _on_signals()
    processes = [follower_process(settings, names)] if follow else []
    with _started([*processes, service_process(settings, names, bundle)]) as running:
        if _wait_ready(running, settings, stop, say):
            try:
                announce(settings, names, say)
            except (OSError, ServiceError, ValueError, LookupError, TypeError) as error:
                # the service runs all the same
                say(f"ready; the served versions cannot be shown: {error}")
        while not stop.wait(POLL_SECONDS):
            _supervise(running, stop, say)


def announce(settings: Settings, names: Sequence[str], say: Say) -> None:
    """Print the served versions, the URLs of page and API, and a curl line for each use case."""
    url = service_url(settings)
    say("")
    examples = [_announce_model(settings, name, say) for name in names]
    say(f"  page  {url}/")
    say(f"  API   {url}/docs")
    if any(examples):
        say("Try:")
    for example in filter(None, examples):
        say(f"  {example}")


def _announce_model(settings: Settings, name: str, say: Say) -> str | None:
    """Print the version that serves, and return its curl line; None where no schema can be read yet or by this key."""
    url = service_url(settings)
    responses = [_get(f"{url}/v1/models/{name}{end}", settings) for end in ("", "/schema")]
    if any(response.status in (401, 403) for response in responses):
        say(f"{name} is served, for clients with a key: SLIPWAY_API_KEY holds none with the scope predict or read.")
        return None
    model, schema = responses[0].read(_Model), responses[1].read(dict)
    if model.waits_for is not None:  # the worker that answered still loads the version that another one serves
        say(f"{name} is served.")
        return None
    synthetic = ", trained on synthetic data" if model.synthetic else ""
    say(f"{name} version {model.version} is served on {model.device}{synthetic}")
    return curl_example.curl_command(url, name, schema, settings.serving / name, bool(settings.authorization))


def _environment(settings: Settings) -> dict[str, str]:
    return {"SLIPWAY_VAR": str(settings.var.resolve())}


def _bentoml_home(settings: Settings) -> Path:
    """Return BENTOML_HOME, in a container not on the volume: a full one kills writers of mapped metrics."""
    folder = Path(tempfile.gettempdir()) if settings.container else settings.var.resolve()
    return folder / "bentoml" / str(settings.service_port)


def _on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextmanager
def _started(processes: Sequence[Process]) -> Iterator[dict[str, RunningProcess]]:
    """Start the processes, and end them in reverse order, also after an error."""
    running: dict[str, RunningProcess] = {}
    try:
        for process in processes:
            running[process.name] = RunningProcess(process)
        yield running
    finally:
        for one in reversed(list(running.values())):
            one.stop(seconds=30)


def _wait_ready(running: dict[str, RunningProcess], settings: Settings, stop: threading.Event, say: Say) -> bool:
    """Wait until the service is ready, and print what it waits for; False where it is to stop before."""
    printed = None
    while not stop.wait(POLL_SECONDS):
        _supervise(running, stop, say)
        ready, waits_for = _readiness(settings)
        if ready:
            return True
        if waits_for and waits_for != printed:
            printed = waits_for
            say(f"not ready yet: {waits_for}")
    return False


def _readiness(settings: Settings) -> tuple[bool, str | None]:
    """Return whether the service is ready, and otherwise what it waits for, as far as this machine's key may know."""
    url = f"{service_url(settings)}/readyz"
    try:
        response = http.request("GET", url, timeout=2, headers=settings.authorization)
        return (True, None) if response.ok else (False, one_line(response.read(_Problem).detail, _MAX_REASON))
    except ServiceError:
        return False, None


def _supervise(running: dict[str, RunningProcess], stop: threading.Event, say: Say) -> None:
    """Restart a follower that ended, which predictions do not need. Raises ServiceError where the service ended."""
    for name, one in running.items():
        if one.alive:
            continue
        if name == "the service":
            raise ServiceError("the service ended by itself; its last output is above.")
        say(f"{name} ended; starting it again in {RESTART_SECONDS:.0f} s. What is served stays.")
        if not stop.wait(RESTART_SECONDS):
            running[name] = RunningProcess(one.process)


def _get(url: str, settings: Settings) -> http.Response:
    """Send a GET with this machine's API key. Raises ServiceError for an error other than 401 and 403."""
    response = http.request("GET", url, headers=settings.authorization)
    if not response.ok and response.status not in (401, 403):
        raise ServiceError(f"{url} answers {response.status} {response.reason}".rstrip())
    return response
