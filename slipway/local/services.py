"""The laptop home: which processes it is made of, on which ports, and the environment that leads to them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.clients.http import is_healthy
from slipway.local.stack import Stack
from slipway.settings import Settings, settings
from slipway.system.ports import free_port
from slipway.system.processes import Process

PORTS = ("service", "grpc", "mlflow", "prefect", "status")


@dataclass(frozen=True)
class Home:
    """A laptop home: its folder and one port per server."""

    var: Path
    usecases: Path
    ports: dict[str, int]

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{self.ports[part]}"

    @property
    def env(self) -> dict[str, str]:
        """What leads any Slipway process, and the libraries, to this home."""
        return {
            "SLIPWAY_VAR": str(self.var),
            "SLIPWAY_USECASES": str(self.usecases),
            **{f"SLIPWAY_{part.upper()}_PORT": str(port) for part, port in self.ports.items()},
            "MLFLOW_TRACKING_URI": self.url("mlflow"),
            "PREFECT_API_URL": f"{self.url('prefect')}/api",
        }

    def mlflow(self) -> Process:
        folder = self.var / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        argv = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(self.ports["mlflow"]), "--workers", "1"]
        argv += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--serve-artifacts"]
        argv += ["--artifacts-destination", str(folder / "artifacts")]
        # 2 processes instead of 15: jobs are for scorers and the gateway, which are not used here
        env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
        return self._module("mlflow", argv, self.url("mlflow"), "/health", env)

    def prefect(self) -> Process:
        argv = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.ports["prefect"])]
        return self._module("prefect", argv, self.url("prefect"), "/api/health")

    def runner(self, usecases: Sequence[str]) -> Process:
        """Serves the Prefect deployments `train/USECASE` and `monitor/USECASE`."""
        ready = f"/api/deployments/name/train/{usecases[-1]}" if usecases else "/api/health"
        return self._module("runner", ["pipelines.deployments"], None, f"{self.url('prefect')}{ready}")

    def service(self, usecases: Sequence[str]) -> Process:
        return self._slipway("service", ["serve", *usecases], self.url("service"), "/readyz")

    def ship(self) -> Process:
        return self._slipway("ship", ["ship"])

    def watch(self) -> Process:
        return self._slipway("watch", ["watch"], self.url("status"), "/livez")

    def _slipway(self, name: str, argv: list[str], url: str | None = None, health: str | None = None) -> Process:
        return self._module(name, ["slipway.cli", *argv], url, health)

    def _module(
        self, name: str, argv: list[str], url: str | None, health: str | None, env: dict[str, str] | None = None
    ) -> Process:
        return Process(
            name,
            (sys.executable, "-u", "-m", *argv),
            self.var / "logs" / f"{name}.log",
            {**self.env, **(env or {})},
            health_url=f"{url or ''}{health}" if health else None,
            url=url,
        )


def home(found: Settings | None = None, say: Callable[[str], None] = lambda line: None) -> Home:
    """This machine's home: the ports of the settings, or the next free ones, which `say` is told."""
    found = found or settings()
    ports: dict[str, int] = {}
    for part in PORTS:
        wanted = getattr(found, f"{part}_port")
        ports[part] = free_port(wanted, ports.values())
        if ports[part] != wanted:
            say(f"port {wanted} is taken: {part} takes {ports[part]}")
    return Home(found.var.resolve(), found.usecases.resolve(), ports)


def settle(stack: Stack, command: str, say: Callable[[str], None]) -> Home:
    """Make the stack this folder's only one, and lead this process and all others to its home.

    Raises:
        ServiceError: another stack runs from the folder.
        PortTaken: no port is free near the one that is set.
    """
    stack.claim(settings().var.resolve(), command)
    here = home(say=say)
    stack.lead(here.env)
    os.environ.update(here.env)
    settings.cache_clear()
    return here


@contextmanager
def services(*names: str, say: Callable[[str], None] = lambda line: None) -> Iterator[dict[str, str]]:
    """Servers for the length of a command: `with services("mlflow", "prefect") as urls`.

    A server that answers at the configured address is used as it is. Another one is started on this machine, on the
    laptop's own database, and ended afterwards; meanwhile the settings and the environment lead to it.

    Raises:
        ServiceError: a server does not start.
    """
    found = settings()
    health = {"mlflow": f"{found.registry_uri}/health", "prefect": f"{found.prefect_uri}/health"}
    missing = [name for name in names if not is_healthy(health[name])]
    urls = {"mlflow": found.registry_uri, "prefect": found.prefect_uri}
    if not missing:
        yield {name: urls[name] for name in names}
        return
    at = home(found)
    urls |= {name: at.url(name) + ("/api" if name == "prefect" else "") for name in missing}
    variables = {"mlflow": "MLFLOW_TRACKING_URI", "prefect": "PREFECT_API_URL"}
    with _environment({variables[name]: urls[name] for name in missing}), Stack(say) as stack:
        say(f"{' and '.join(missing)}: nothing answers at the configured address, starting here")
        stack.start(*(getattr(at, name)() for name in missing))
        yield {name: urls[name] for name in names}


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    settings.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
        settings.cache_clear()


def links(home: Home, served: Sequence[str]) -> list[str]:
    """One line per page, for a person."""
    pages = [("status, all links", home.url("status")), ("models and runs", home.url("mlflow"))]
    pages += [("flows", home.url("prefect"))]
    if served:
        pages += [("try the models", home.url("service")), ("the API", f"{home.url('service')}/docs")]
    return [f"  {what:18}{url}" for what, url in pages]
