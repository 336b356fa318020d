"""Prometheus, Alertmanager, Grafana and Elasticsearch of this machine, configured for its services.

Slipway does not bring these servers: whichever is installed is used, with its state in the state folder. The rules and
the dashboards are those of the repository; the configurations are made at each start, since ports and keys differ.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from slipway import api_keys
from slipway.errors import PortTaken, ServiceError
from slipway.local.logins import login_file, read_login
from slipway.local.services import LocalServices
from slipway.local.stack import Stack
from slipway.settings import settings
from slipway.system.files import write_text
from slipway.system.ports import free_port
from slipway.system.processes import Process

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "monitoring" / "prometheus" / "rules"
KEY = "local-prometheus"
SHIP_PORT = 9101
READ_BY_WATCH = ("prometheus", "alertmanager")
_FOR_ROOT = ("/usr/local/sbin", "/usr/sbin")  # Grafana's packages install into it; PATH of users may lack it


class Program(NamedTuple):
    """Names under which a server is installed, what installs it, and the title of its pages."""

    names: tuple[str, ...]
    installation: str
    page: str


PROGRAMS = {
    "prometheus": Program(
        ("prometheus",), "`apt install prometheus` on Debian and Ubuntu, or prometheus.io/download", "metrics and rules"
    ),
    "alertmanager": Program(
        ("alertmanager", "prometheus-alertmanager"),
        "`apt install prometheus-alertmanager` on Debian and Ubuntu, or prometheus.io/download",
        "alerts",
    ),
    "grafana": Program(("grafana", "grafana-server"), "grafana.com/grafana/download", "dashboards"),
    "elasticsearch": Program(
        ("elasticsearch",),
        "unpack the archive of version 8.19 (elastic.co/downloads/past-releases) and put its bin folder on PATH; it "
        "does not run as root",
        "search (Elasticsearch)",
    ),
}


@dataclass(frozen=True)
class MonitoringServers:
    """The servers of `programs`, whose values are paths, beside the local services.

    `ports` has a port for each of them, and with Prometheus one for the metrics of the shipper. `failed` are those that
    `start` could not start.
    """

    local: LocalServices
    programs: Mapping[str, str]
    ports: Mapping[str, int]
    failed: set[str] = field(default_factory=set)

    @property
    def ship_port(self) -> int:
        """The port of the shipper's metrics; 0 where nothing scrapes them."""
        return self.ports.get("ship", 0)

    def url(self, server: str) -> str:
        """The address of a server."""
        return f"http://127.0.0.1:{self.ports[server]}"

    def start(self, stack: Stack, say: Callable[[str], None]) -> dict[str, str]:
        """Start the servers, and return the variables that lead the watch to them, unless the settings name others.

        One that does not start is reported, and the others go on without it.
        """
        config, variables = settings(), dict[str, str]()
        for server in self.programs:
            try:
                stack.start(getattr(self, server)())
            except (ServiceError, PortTaken) as error:
                stack.stop(server)
                self.failed.add(server)
                say(f"{error}\nit goes on without {server}")
                continue
            if server in READ_BY_WATCH and not getattr(config, f"{server}_url"):
                variables[f"SLIPWAY_{server.upper()}_URL"] = self.url(server)
            if server == "elasticsearch" and not config.elasticsearch_url:
                variables |= {"ELASTICSEARCH_URL": self.url(server), "SLIPWAY_SPOOL_LOGS": "true"}
        return variables

    def page_links(self) -> list[str]:
        """List the web pages, one line for each server that did not fail to start."""
        asks = {"grafana": f" (it asks for the login in {login_file(self.local.var, 'grafana')})"}
        shown = [name for name in self.programs if name not in self.failed]
        return [f"  {PROGRAMS[name].page:18}{self.url(name)}{asks.get(name, '')}" for name in shown]

    def prometheus(self) -> Process:
        """Prometheus, which scrapes the local services and evaluates the rules."""
        folder = self._folder("prometheus")
        config = _write(folder / "prometheus.yml", self.prometheus_configuration())
        options = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        return self._process("prometheus", [*options, self._listens("prometheus")], "/-/ready")

    def prometheus_configuration(self) -> dict[str, Any]:
        """The configuration of monitoring/prometheus, with the ports of this machine and the key of its service."""
        found: dict[str, Any] = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())
        local = self.local.ports
        ports = {"serving": local["service"], "watch": local["status"], **self.ports}
        for job in found["scrape_configs"]:
            job.pop("file_sd_configs", None)
            job["static_configs"] = _targets(ports[job["job_name"]])
            if "authorization" in job:
                job["authorization"] = {"credentials_file": str(self._key_file())}
        found["rule_files"] = [str(RULES / "*.yml")]
        del found["alerting"]
        if "alertmanager" in self.programs:
            alertmanagers = {"static_configs": _targets(self.ports["alertmanager"])}
            found["alerting"] = {"alertmanagers": [alertmanagers]}
        return found

    def alertmanager(self) -> Process:
        """Alertmanager, which sends to what `ALERTMANAGER_…` name, and to the watch."""
        folder = self._folder("alertmanager")
        config = _write(folder / "alertmanager.yml", self.alertmanager_configuration())
        options = [f"--config.file={config}", f"--storage.path={folder / 'data'}", "--cluster.listen-address="]
        return self._process("alertmanager", [*options, self._listens("alertmanager")], "/-/ready")

    def alertmanager_configuration(self) -> dict[str, Any]:
        """The configuration with the receivers that are set. Alerts may request a training where there is a secret."""
        variables = {"ALERTMANAGER_RETRAINING_URL": f"{self.local.url('status')}/alerts"}
        if secret := settings().alert_secret:
            path = self._folder("alertmanager") / "alert-secret"
            write_text(path, secret.get_secret_value(), durable=False, mode=0o600)
            variables["ALERTMANAGER_RETRAINING_SECRET_FILE"] = str(path)
        made = _output("monitoring.prometheus.alertmanager", env={**variables, **os.environ})
        configuration: dict[str, Any] = yaml.safe_load(made)
        return configuration

    def grafana(self) -> Process:
        """Grafana, with the dashboards and the local Prometheus as their data source."""
        folder, program = self._folder("grafana"), Path(self.programs["grafana"])
        links = [f"--{name}={self.local.url(of)}" for name, of in (("mlflow", "mlflow"), ("status", "status"))]
        _output("grafana", f"--out={folder / 'dashboards'}", *links)
        argv = [*(["server"] if program.name == "grafana" else []), *_home(program)]
        process = self._process("grafana", argv, "/api/health")
        prometheus = self.url("prometheus") if "prometheus" in self.programs else "http://127.0.0.1:9090"
        user, _, password = read_login(self.local.var, "grafana").partition(":")
        env = {
            "PROMETHEUS_URL": os.environ.get("PROMETHEUS_URL", prometheus),
            "SLIPWAY_DASHBOARDS": str(folder / "dashboards"),
            "GF_PATHS_PROVISIONING": str(ROOT / "grafana" / "provisioning"),
            "GF_PATHS_DATA": str(folder / "data"),
            "GF_PATHS_LOGS": str(folder / "data" / "log"),
            "GF_PATHS_PLUGINS": str(folder / "data" / "plugins"),
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": str(self.ports["grafana"]),
            "GF_SECURITY_ADMIN_USER": user,
            "GF_SECURITY_ADMIN_PASSWORD": password,
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        }
        return replace(process, env=env)

    def elasticsearch(self) -> Process:
        """Elasticsearch without credentials, for this machine alone, with 1 GB of heap."""
        folder, home = self._folder("elasticsearch"), Path(self.programs["elasticsearch"]).resolve().parents[1]
        config = folder / "config"
        config.mkdir(exist_ok=True)
        try:
            for name in ("jvm.options", "log4j2.properties"):
                shutil.copy(home / "config" / name, config)
        except OSError as error:
            raise ServiceError(
                f"{error.filename} of Elasticsearch cannot be used ({error.strerror}): use the archive, "
                f"{PROGRAMS['elasticsearch'].installation}."
            ) from None
        _write(config / "elasticsearch.yml", self.elasticsearch_configuration())
        env = {"ES_PATH_CONF": str(config), "ES_JAVA_OPTS": "-Xms1g -Xmx1g"}
        return replace(self._process("elasticsearch", [], "/_cluster/health"), env=env)

    def elasticsearch_configuration(self) -> dict[str, Any]:
        """The configuration of a single node with its data in the state folder."""
        folder = self._folder("elasticsearch")
        return {
            "cluster.name": "slipway",
            "discovery.type": "single-node",
            "http.host": "127.0.0.1",
            "http.port": self.ports["elasticsearch"],
            "path.data": str(folder / "data"),
            "path.logs": str(folder / "log"),
            "xpack.security.enabled": False,
            "xpack.ml.enabled": False,
            "ingest.geoip.downloader.enabled": False,
        }

    def _key_file(self) -> Path:
        """Write the key that `/metrics` of the service asks for: the one that is set, else one of Prometheus's own.

        Without keys the file is empty: the first key would make the service ask everybody for one.
        """
        config = settings()
        key = config.api_key.get_secret_value() if config.api_key else _own_key(config.key_file)
        path = self._folder("prometheus") / "api-key"
        write_text(path, key, durable=False, mode=0o600)
        return path

    def _listens(self, server: str) -> str:
        return f"--web.listen-address=127.0.0.1:{self.ports[server]}"

    def _folder(self, server: str) -> Path:
        folder = self.local.var / server
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _process(self, name: str, options: Sequence[str], health: str) -> Process:
        log, url = self.local.var / "logs" / f"{name}.log", self.url(name)
        setting = f"SLIPWAY_{name.upper()}_PORT"
        return Process(
            name, (self.programs[name], *options), log, health_url=url + health, url=url, port_setting=setting
        )


def monitoring_servers(local: LocalServices, wanted: Iterable[str], say: Callable[[str], None]) -> MonitoringServers:
    """Choose those of the wanted servers that are installed, and their ports.

    `say` gets what is not installed, with what installs it, and each port that is taken, with the one in its place.
    """
    programs = find_programs(wanted, say)
    config, ports = settings(), dict[str, int]()
    first = {server: int(getattr(config, f"{server}_port")) for server in programs}
    if "prometheus" in programs:
        first["ship"] = config.ship_port or SHIP_PORT
    for server, port in first.items():
        ports[server] = free_port(port, [*local.ports.values(), *ports.values()])
        if ports[server] != port:
            say(f"port {port} is taken: {server} takes {ports[server]}")
    return MonitoringServers(local, programs, ports)


def find_programs(wanted: Iterable[str], say: Callable[[str], None]) -> dict[str, str]:
    """Find the programs of servers; what lacks is reported to `say`, with what installs it."""
    find = partial(shutil.which, path=os.pathsep.join([*os.get_exec_path(), *_FOR_ROOT]))
    found: dict[str, str] = {}
    for server in dict.fromkeys(wanted):
        program = PROGRAMS[server]
        if path := next(filter(None, map(find, program.names)), None):
            found[server] = path
        else:
            say(f"{server} is not installed, and left out. To install it: {program.installation}")
    return found


def _own_key(keys: Path) -> str:
    """Make Prometheus's key anew, since only its digest is kept; "" where there are no keys."""
    names = [key.name for key in api_keys.read(keys)]
    if not names:
        return ""
    if KEY in names:
        api_keys.revoke(keys, KEY)
    return api_keys.create(keys, KEY, ["read"])[1]


def _home(program: Path) -> list[str]:
    """The option that names the folder with Grafana's own files, beside the program or where packages have it."""
    homes = (program.resolve().parents[1], Path("/usr/share/grafana"))
    home = next((folder for folder in homes if (folder / "conf" / "defaults.ini").is_file()), None)
    return [f"--homepath={home}"] if home else []


def _targets(port: int) -> list[dict[str, list[str]]]:
    return [{"targets": [f"127.0.0.1:{port}"]}]


def _write(path: Path, configuration: Mapping[str, Any]) -> Path:
    write_text(path, yaml.safe_dump(dict(configuration), sort_keys=False, width=1000), durable=False, mode=0o600)
    return path


def _output(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run a module of another package, which this one does not import, and return what it prints."""
    argv = [sys.executable, "-m", module, *arguments]
    ran = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ServiceError(f"`python -m {module}` failed: {ran.stderr.strip().removeprefix('error: ')}")
    return ran.stdout
