"""Local services: their processes, ports, and the environment variables that lead other processes to them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from slipway.clients.http import is_healthy
from slipway.clients.prefect import AUTH_STRING, authorization
from slipway.local.logins import login_file, read_login
from slipway.local.stack import Stack
from slipway.serving_state import additions
from slipway.settings import Settings, settings
from slipway.system.ports import free_port
from slipway.system.processes import Process

PORTS = ("service", "mlflow", "prefect", "status")


@dataclass(frozen=True)
class LocalServices:
    """The services of one state folder, each with its port.

    `spools_logs`: their log lines go where events go. `log_format` is that of their log files, which people read.
    """

    var: Path
    usecases: Path
    ports: dict[str, int]
    mlflow_login: bool = False
    spools_logs: bool = False
    log_format: str = "text"

    def url(self, service: str) -> str:
        """The address of a service."""
        return f"http://127.0.0.1:{self.ports[service]}"

    @property
    def env(self) -> dict[str, str]:
        """The variables that lead Slipway's processes, and the libraries, to these services."""
        return {
            "SLIPWAY_VAR": str(self.var),
            "SLIPWAY_USECASES": str(self.usecases),
            **{f"SLIPWAY_{name.upper()}_PORT": str(port) for name, port in self.ports.items()},
            "MLFLOW_TRACKING_URI": self.url("mlflow"),
            "PREFECT_API_URL": f"{self.url('prefect')}/api",
            **({"SLIPWAY_SPOOL_LOGS": "true"} if self.spools_logs else {}),
            **self.credentials("mlflow"),
            **self.credentials("prefect"),
        }

    def credentials(self, server: str) -> dict[str, str]:
        """The variables that its clients take their credentials from; none where it has no login."""
        if server == "mlflow" and not self.mlflow_login:
            return {}
        login = read_login(self.var, server)
        if server == "prefect":
            return {AUTH_STRING: login}
        user, _, password = login.partition(":")
        return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}

    def mlflow(self) -> Process:
        """The MLflow server, on a SQLite database and artifacts in the state folder."""
        folder = self.var / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        argv = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(self.ports["mlflow"]), "--workers", "1"]
        argv += ["--app-name", "slipway"]  # monitoring.mlflow_app
        argv += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--serve-artifacts"]
        argv += ["--artifacts-destination", str(folder / "artifacts")]
        # 2 processes instead of 15: jobs are for scorers and the gateway, which are not used here
        env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
        if self.mlflow_login:
            user, _, password = read_login(self.var, "mlflow").partition(":")
            env |= {"MLFLOW_AUTH_ADMIN_USERNAME": user, "MLFLOW_AUTH_ADMIN_PASSWORD": password}
            env |= {"SLIPWAY_MLFLOW_LOGIN": "true"}
        return self._module("mlflow", argv, "mlflow", "/health", env)

    def prefect(self) -> Process:
        """The Prefect server, with a login, and for its own page only."""
        port = str(self.ports["prefect"])
        argv = ["uvicorn", "--factory", "pipelines.prefect_app:create_app", "--host", "127.0.0.1", "--port", port]
        argv += ["--lifespan", "on", "--log-level", "warning"]
        env = {
            "PREFECT_SERVER_API_AUTH_STRING": read_login(self.var, "prefect"),
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
            "PREFECT__SERVER_FINAL": "1",  # as `prefect server start` sets it: the app is made once
        }
        return self._module("prefect", argv, "prefect", "/api/health", env)

    def runner(self, usecases: Sequence[str], *, alone: bool = False) -> Process:
        """The runner of the Prefect deployments `train/USECASE` and `monitor/USECASE`: of all, or `alone` of these."""
        ready = f"/api/deployments/name/train/{usecases[-1]}" if usecases else "/api/health"
        name, chosen = ("runner-" + "-".join(usecases), usecases) if alone else ("runner", ())
        runner = self._module(name, ["pipelines.deployments", *chosen], None, f"{self.url('prefect')}{ready}")
        return replace(runner, health_headers=authorization(self.env))

    @property
    def serving(self) -> Path:
        """The folder of what servers are to serve, and of what they serve."""
        return self.var / "serving"

    @property
    def additions_file(self) -> Path:
        """The file of the use cases that the service takes up while it runs."""
        return self.serving / "additions.txt"

    def service(self, usecases: Sequence[str]) -> Process:
        """The prediction service, which takes up further use cases when they are added."""
        additions.write(self.additions_file, ())
        process = self._slipway("service", ["serve", *usecases], "service", "/readyz")
        return replace(process, env={**process.env, "SLIPWAY_SERVE_FILE": str(self.additions_file)})

    def ship(self, port: int = 0) -> Process:
        """The shipper of the prediction log; its metrics are on the port, or where the settings say."""
        process = self._slipway("ship", ["ship"])
        return replace(process, env={**process.env, "SLIPWAY_SHIP_PORT": str(port)}) if port else process

    def watch(self) -> Process:
        """The reconciler with the status page."""
        return self._slipway("watch", ["watch"], "status", "/livez")

    def _slipway(self, name: str, argv: list[str], server: str | None = None, health: str | None = None) -> Process:
        return self._module(name, ["slipway.cli", *argv], server, health)

    def _module(
        self, name: str, argv: list[str], server: str | None, health: str | None, env: dict[str, str] | None = None
    ) -> Process:
        url = self.url(server) if server else None
        return Process(
            name,
            (sys.executable, "-u", "-m", *argv),
            self.var / "logs" / f"{name}.log",
            {**self.env, "SLIPWAY_LOG_FORMAT": self.log_format, **(env or {})},
            health_url=f"{url or ''}{health}" if health else None,
            url=url,
            port_setting=f"SLIPWAY_{server.upper()}_PORT" if server else "",
        )


def local_services(config: Settings | None = None, say: Callable[[str], None] = lambda line: None) -> LocalServices:
    """Choose the services' ports: those of the settings, or the next free ones, which are reported to `say`."""
    config = config or settings()
    ports: dict[str, int] = {}
    for name in PORTS:
        wanted = getattr(config, f"{name}_port")
        ports[name] = free_port(wanted, ports.values())
        if ports[name] != wanted:
            say(f"port {wanted} is taken: {name} takes {ports[name]}")
    return LocalServices(
        config.var.resolve(),
        config.usecases.resolve(),
        ports,
        mlflow_login=config.mlflow_login,
        spools_logs=config.spool_logs or bool(config.elasticsearch_url),
        log_format="text" if config.log_format == "auto" else config.log_format,
    )


def claim_services(stack: Stack, command: str, say: Callable[[str], None]) -> LocalServices:
    """Make the stack the only one of the state folder, and lead this process and all others to its services.

    Raises:
        ServiceError: another stack runs from the folder.
        PortTaken: no port is free near the one that is set.
    """
    var = settings().var.resolve()
    stack.claim(var, command)
    var.chmod(0o700)  # an earlier release left it open to other users of the machine
    chosen = local_services(say=say)
    stack.publish_environment(chosen.env)
    os.environ.update(chosen.env)
    settings.cache_clear()
    return chosen


@contextmanager
def services(*names: str, say: Callable[[str], None] = lambda line: None) -> Iterator[dict[str, str]]:
    """Provide servers for the length of a block: `with services("mlflow", "prefect") as urls`.

    A server that answers at the configured address is used. Any other is started on this machine, on the state
    folder's database, and ended afterwards; meanwhile the settings and the environment lead to it.

    Raises:
        ServiceError: a server does not start.
    """
    config = settings()
    health = {"mlflow": f"{config.registry_uri}/health", "prefect": f"{config.prefect_uri}/health"}
    missing = [name for name in names if not is_healthy(health[name])]
    urls = {"mlflow": config.registry_uri, "prefect": config.prefect_uri}
    if not missing:
        yield {name: urls[name] for name in names}
        return
    local = local_services(config)
    urls |= {name: local.url(name) + ("/api" if name == "prefect" else "") for name in missing}
    variables = {"mlflow": "MLFLOW_TRACKING_URI", "prefect": "PREFECT_API_URL"}
    changed = {variables[name]: urls[name] for name in missing}
    for name in missing:
        changed |= local.credentials(name)
    with _environment(changed), Stack(say) as stack:
        say(f"{' and '.join(missing)}: nothing answers at the configured address, starting here")
        stack.start(*(getattr(local, name)() for name in missing))
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


def page_links(services: LocalServices, served: Sequence[str]) -> list[str]:
    """List the web pages, one line for each."""
    asks = " (it asks for the login in {})"
    mlflow = asks.format(login_file(services.var, "mlflow")) if services.mlflow_login else ""
    pages = [("status, all links", services.url("status")), ("models and runs", services.url("mlflow") + mlflow)]
    pages += [("flows", services.url("prefect") + asks.format(login_file(services.var, "prefect")))]
    if served:
        pages += [("try the models", services.url("service")), ("the API", f"{services.url('service')}/docs")]
    return [f"  {title:18}{url}" for title, url in pages]
