"""Prometheus, Alertmanager and Grafana beside the local services: found, configured, and left out where they lack."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml

from slipway import api_keys
from slipway.commands import up
from slipway.errors import PortTaken, ServiceError
from slipway.local import LocalServices, Stack, monitoring_servers
from slipway.local.monitoring_servers import KEY, PROGRAMS, RULES, find_programs
from slipway.local.monitoring_servers import monitoring_servers as choose
from slipway.settings import settings
from slipway.system.processes import Process

PORTS = {"service": 3111, "mlflow": 5111, "prefect": 4211, "status": 8111}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs, the only one where they are looked for."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setattr(monitoring_servers.os, "get_exec_path", lambda: [str(folder)])
    monkeypatch.setattr(monitoring_servers, "_FOR_ROOT", ())
    return folder


@pytest.fixture
def local(var: Path) -> LocalServices:
    var.mkdir()
    return LocalServices(var, Path("usecases"), dict(PORTS))


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)


def servers(local: LocalServices, folder: Path, *names: str) -> monitoring_servers.MonitoringServers:
    install(folder, *names)
    return choose(local, PROGRAMS, lambda line: None)


def test_what_lacks_is_named_with_what_installs_it(programs):
    install(programs, "prometheus-alertmanager")
    said: list[str] = []
    assert find_programs(PROGRAMS, said.append) == {"alertmanager": str(programs / "prometheus-alertmanager")}
    assert said == [
        "prometheus is not installed, and left out. To install it: `apt install prometheus` on Debian and Ubuntu, or "
        "prometheus.io/download",
        "grafana is not installed, and left out. To install it: grafana.com/grafana/download",
        "elasticsearch is not installed, and left out. To install it: unpack the archive of version 8.19 "
        "(elastic.co/downloads/past-releases) and put its bin folder on PATH; it does not run as root",
    ]


def test_nothing_is_looked_for_that_is_not_wanted(local, programs):
    found = choose(local, [], pytest.fail)
    assert (found.programs, found.ports, found.ship_port, found.page_links()) == ({}, {}, 0, [])


def test_prometheus_scrapes_this_machines_ports(local, programs):
    found = servers(local, programs, "prometheus", "prometheus-alertmanager")
    configuration = found.prometheus_configuration()
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in configuration["scrape_configs"]}
    assert targets == {
        "serving": ["127.0.0.1:3111"],
        "watch": ["127.0.0.1:8111"],
        "ship": [f"127.0.0.1:{found.ship_port}"],
        "prometheus": [found.url("prometheus").removeprefix("http://")],
    }
    [alertmanagers] = configuration["alerting"]["alertmanagers"]
    assert alertmanagers["static_configs"][0]["targets"] == [found.url("alertmanager").removeprefix("http://")]
    assert local.ship(found.ship_port).env["SLIPWAY_SHIP_PORT"] == str(found.ship_port)


def test_without_an_alertmanager_no_alert_is_sent(local, programs):
    assert "alerting" not in servers(local, programs, "prometheus").prometheus_configuration()


def test_prometheus_accepts_its_configuration(local, programs, needs):
    process = servers(local, programs, "prometheus", "alertmanager").prometheus()
    config = local.var / "prometheus" / "prometheus.yml"
    assert process.argv[:3] == (
        str(programs / "prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={local.var / 'prometheus' / 'data'}",
    )
    checked = subprocess.run(
        [needs("promtool"), "check", "config", config], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(list(RULES.glob('*.yml')))} rule files found" in checked.stdout


@pytest.mark.parametrize("times", [1, 2])
def test_prometheus_has_a_key_of_its_own_where_the_service_asks_for_one(local, programs, times):
    api_keys.create(settings().key_file, "somebody", ["predict"])
    for _ in range(times):
        servers(local, programs, "prometheus").prometheus()
    path = local.var / "prometheus" / "api-key"
    [key] = [key for key in api_keys.read(settings().key_file) if key.name == KEY]
    assert (key.scopes, key.sha256) == (("read",), api_keys.digest(path.read_text()))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_keys_none_is_made(local, programs):
    servers(local, programs, "prometheus").prometheus()
    assert api_keys.read(settings().key_file) == []
    assert (local.var / "prometheus" / "api-key").read_text() == ""


def test_a_key_that_is_set_is_the_one_that_prometheus_sends(local, programs, monkeypatch):
    monkeypatch.setenv("SLIPWAY_API_KEY", "of a person, and long enough")
    settings.cache_clear()
    servers(local, programs, "prometheus").prometheus()
    assert (local.var / "prometheus" / "api-key").read_text() == "of a person, and long enough"


@pytest.mark.slow
def test_alertmanager_asks_this_machines_watch_for_trainings(local, programs, monkeypatch):
    monkeypatch.setenv("SLIPWAY_ALERT_SECRET", "a secret of sixteen or more")
    settings.cache_clear()
    process = servers(local, programs, "alertmanager").alertmanager()
    assert "--cluster.listen-address=" in process.argv
    found = yaml.safe_load((local.var / "alertmanager" / "alertmanager.yml").read_text())
    [hook] = next(one for one in found["receivers"] if one["name"] == "retraining")["webhook_configs"]
    assert hook["url"] == "http://127.0.0.1:8111/alerts"
    secret = Path(hook["http_config"]["authorization"]["credentials_file"])
    assert secret.read_text() == "a secret of sixteen or more"


@pytest.mark.slow
def test_a_wrong_variable_of_alertmanager_is_told(local, programs, monkeypatch):
    monkeypatch.setenv("ALERTMANAGER_SMTP", "mail")
    with pytest.raises(ServiceError, match="ALERTMANAGER_SMTP is 'mail'"):
        servers(local, programs, "alertmanager").alertmanager()


@pytest.mark.slow
@pytest.mark.parametrize(("program", "verbs"), [("grafana", ("server",)), ("grafana-server", ())])
def test_grafana_shows_the_dashboards_on_the_local_prometheus(local, programs, program, verbs):
    (programs.parent / "conf").mkdir()
    (programs.parent / "conf" / "defaults.ini").touch()
    found = servers(local, programs, "prometheus", program)
    process = found.grafana()
    assert process.argv == (str(programs / program), *verbs, f"--homepath={programs.parent}")
    assert process.env["PROMETHEUS_URL"] == found.url("prometheus")
    assert process.env["GF_SERVER_HTTP_PORT"] == str(found.ports["grafana"])
    assert Path(process.env["GF_PATHS_PROVISIONING"], "datasources", "slipway.yml").is_file()
    dashboards = sorted(Path(process.env["SLIPWAY_DASHBOARDS"]).iterdir())
    assert len(dashboards) == 5 and "http://127.0.0.1:5111" in dashboards[0].read_text()
    assert process.env["GF_SECURITY_ADMIN_PASSWORD"] in (local.var / "grafana.login").read_text()
    assert any("grafana.login" in line for line in found.page_links())


@pytest.mark.slow
def test_a_server_that_does_not_start_ends_no_other(local, programs):
    said: list[str] = []
    with Stack(said.append) as stack:
        servers(local, programs, "prometheus").start(stack, said.append)
    assert "prometheus ended with exit code 0 while starting" in said[-1]
    assert said[-1].endswith("it goes on without prometheus")


@pytest.mark.parametrize(
    ("error", "own", "read"),
    [
        (None, "", ("prometheus", "alertmanager")),
        (PortTaken("its port is in use"), "", ("alertmanager",)),
        (ServiceError("it ended"), "", ("alertmanager",)),
        (None, "https://prometheus.example.com", ("alertmanager",)),
    ],
)
def test_the_watch_reads_from_what_started_unless_others_are_set(local, programs, monkeypatch, error, own, read):
    monkeypatch.setenv("SLIPWAY_PROMETHEUS_URL", own)
    settings.cache_clear()
    found, said = servers(local, programs, "prometheus", "alertmanager", "grafana"), list[str]()
    for name in found.programs:
        monkeypatch.setattr(type(found), name, lambda self, name=name: Process(name, (name,), None))
    stack = Mock()
    stack.start.side_effect = [error, None, None]  # of Prometheus, and the two after it
    assert found.start(stack, said.append) == {f"SLIPWAY_{name.upper()}_URL": found.url(name) for name in read}
    assert said == ([f"{error}\nit goes on without prometheus"] if error else [])
    pages = [name for name in found.programs if any(found.url(name) in line for line in found.page_links())]
    assert pages == [name for name in found.programs if not (error and name == "prometheus")]


def test_no_page_is_listed_of_servers_of_which_none_started(local, programs, monkeypatch):
    found = servers(local, programs, "prometheus", "grafana")
    for name in found.programs:
        monkeypatch.setattr(type(found), name, Mock(side_effect=ServiceError("it ended")))
    assert found.start(Mock(), Mock()) == {} and found.page_links() == []


def test_a_detached_up_starts_the_same_servers(monkeypatch):
    started: list[list[str]] = []

    def start(argv: list[str], **_: object) -> None:
        started.append(argv)
        raise KeyboardInterrupt

    monkeypatch.setattr(up.subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        up.command(["digits"], [up.Server.prometheus, up.Server.grafana], detach=True)
    assert started[0][3:] == ["up", "--with", "prometheus", "--with", "grafana", "digits"]


def test_elasticsearch_is_for_this_machine_alone_with_its_data_in_the_state_folder(local, programs, tmp_path):
    archive = tmp_path / "elasticsearch-8.19.0"
    for folder in ("bin", "config"):
        (archive / folder).mkdir(parents=True)
    for name in ("jvm.options", "log4j2.properties"):
        (archive / "config" / name).write_text(f"# {name}")
    install(archive / "bin", "elasticsearch")
    (programs / "elasticsearch").symlink_to(archive / "bin" / "elasticsearch")
    found = choose(local, ["elasticsearch"], pytest.fail)
    process = found.elasticsearch()
    config = Path(process.env["ES_PATH_CONF"])
    assert sorted(path.name for path in config.iterdir()) == ["elasticsearch.yml", "jvm.options", "log4j2.properties"]
    written = yaml.safe_load((config / "elasticsearch.yml").read_text())
    assert f"http://{written['http.host']}:{written['http.port']}" == found.url("elasticsearch")
    assert Path(written["path.data"]).is_relative_to(local.var) and written["xpack.security.enabled"] is False


def test_an_elasticsearch_whose_configuration_cannot_be_read_is_reported_and_left_out(local, programs):
    found = servers(local, programs, "elasticsearch")
    said: list[str] = []
    assert found.start(Stack(said.append), said.append) == {}
    assert "jvm.options of Elasticsearch cannot be used (No such file or directory)" in said[0]
    assert "it goes on without elasticsearch" in said[0]


@pytest.mark.parametrize("own", ["", "https://search.example.com:9200"])
def test_events_and_log_lines_go_to_the_elasticsearch_that_started_unless_another_is_set(
    local, programs, monkeypatch, own
):
    monkeypatch.setenv("ELASTICSEARCH_URL", own)
    settings.cache_clear()
    found = servers(local, programs, "elasticsearch")
    monkeypatch.setattr(type(found), "elasticsearch", lambda self: Process("elasticsearch", ("elasticsearch",), None))
    expected = {} if own else {"ELASTICSEARCH_URL": found.url("elasticsearch"), "SLIPWAY_SPOOL_LOGS": "true"}
    assert found.start(Mock(), pytest.fail) == expected
