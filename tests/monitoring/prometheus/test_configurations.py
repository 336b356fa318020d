"""The configurations of Prometheus and Alertmanager, by promtool, by amtool, and by an Alertmanager that inhibits."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from monitoring.prometheus import alertmanager
from monitoring.prometheus.alertmanager import PREFIX, Receivers, configuration
from monitoring.retraining.policy import REASONS
from monitoring.telemetry.alerts import firing
from tests.support.servers import free_port
from tests.support.waiting import until

FOLDER = Path(alertmanager.__file__).parent
PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "monitor-with-prometheus.md"
EVERYTHING = {
    "smtp": "mail.example.com:587",
    "smtp_user": "slipway",
    "smtp_password_file": "/etc/alertmanager/mail-password",
    "mail_from": "slipway@example.com",
    "mail_to": "on-call@example.com",
    "slack_url_file": "/etc/alertmanager/slack-url",
    "slack_channel": "#models",
    "webhook_url": "https://hooks.example.com/alerts",
    "webhook_token_file": "/etc/alertmanager/token",
    "watchdog_url": "https://watchdog.example.com/ping",
    "retraining_url": "http://watch:8080/alerts",
    "retraining_secret_file": "/etc/alertmanager/alert-secret",
}
BURN = {"alertname": "SlipwayLatencyBudgetBurn", "namespace": "a", "usecase": "credit_risk"}
DRIFT = {"alertname": "SlipwayDrift", "namespace": "a", "usecase": "credit_risk", "severity": "warning"}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in Receivers.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def write(path: Path, **receivers: str) -> Path:
    path.write_text(yaml.safe_dump(configuration(Receivers(**receivers))))
    return path


def amtool(needs, *words) -> subprocess.CompletedProcess[str]:
    needs("prometheus-alertmanager")
    return subprocess.run(["amtool", *map(str, words)], check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_prometheus_accepts_its_configuration(needs, tmp_path):
    shutil.copytree(FOLDER, tmp_path / "prometheus", ignore=shutil.ignore_patterns("secrets", "__pycache__"))
    (tmp_path / "prometheus" / "secrets").mkdir()
    (tmp_path / "prometheus" / "secrets" / "api-key").touch()
    checked = subprocess.run(
        [needs("promtool"), "check", "config", "--lint=all", tmp_path / "prometheus" / "prometheus.yml"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(list((FOLDER / 'rules').glob('*.yml')))} rule files found" in checked.stdout


def test_the_jobs_of_prometheus_are_those_that_rules_name():
    jobs = {job["job_name"] for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]}
    rules = "".join(path.read_text() for path in (FOLDER / "rules").glob("*.yml"))
    named = {name for value in re.findall(r'\bjob[!=]=?~?"([^"]+)"', rules) for name in value.split("|")}
    assert named and named <= jobs


def test_targets_on_kubernetes_have_the_jobs_that_rules_name():
    path = FOLDER.parents[1] / "infra" / "kubernetes" / "components" / "monitoring" / "monitors.yaml"
    jobs = set()
    for monitor in yaml.safe_load_all(path.read_text()):
        if label := monitor["spec"].get("jobLabel"):
            jobs.add(monitor["spec"]["selector"]["matchLabels"][label])
        else:
            [endpoint] = monitor["spec"]["podMetricsEndpoints"]
            jobs |= {rule["replacement"] for rule in endpoint["relabelings"] if rule["targetLabel"] == "job"}
    assert jobs == {"serving", "watch", "ship"}


ODD = {
    "smtp": "[::1]:25",
    "mail_from": "Slipway <slipway@example.com>",
    "mail_to": "ann@example.com, bob@example.com",
    "webhook_url": "http://[::1]:9000/alerts%20here?of=slipway#1",
    "slack_url_file": "./slack url",
}


@pytest.mark.slow
@pytest.mark.parametrize("receivers", [{}, EVERYTHING, ODD], ids=["nothing set", "everything set", "odd"])
def test_alertmanager_accepts_the_configuration(needs, tmp_path, receivers):
    checked = amtool(needs, "check-config", write(tmp_path / "alertmanager.yml", **receivers))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert amtool(needs, "check-config", FOLDER / "alertmanager.yml").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("receivers", "labels"),
    [
        ("watchdog", {"alertname": "SlipwayWatchdog", "severity": "none"}),
        ("pages", {"alertname": "SlipwayNoModelReady", "severity": "critical"}),
        ("tickets", {"alertname": "SlipwayPipelineFailed", "severity": "warning"}),
        ("retraining,tickets", {"alertname": "SlipwayDrift", "severity": "warning", "retraining": "drift"}),
        ("retraining,pages", {"alertname": "YourOwn", "severity": "critical", "retraining": "quality"}),
        ("tickets", {"alertname": "YourOwn", "severity": "warning", "retraining": "anything else"}),
        ("tickets", {"alertname": "YourOwn"}),
    ],
)
def test_alerts_are_routed_by_severity_and_to_the_retraining_policy(needs, receivers, labels):
    words = [f"{name}={value}" for name, value in labels.items()]
    config = f"--config.file={FOLDER / 'alertmanager.yml'}"
    routed = amtool(needs, "config", "routes", "test", config, f"--verify.receivers={receivers}", *words)
    assert routed.returncode == 0, routed.stdout + routed.stderr


def test_every_reason_of_the_retraining_policy_is_routed_to_it():
    routes = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())["route"]["routes"]
    (matcher,) = next(route["matchers"] for route in routes if route["receiver"] == "retraining")
    asked = set(re.fullmatch(r'retraining=~"(.*)"', matcher)[1].split("|"))
    assert asked <= set(REASONS)


def test_inhibitions_name_alerts_that_there_are():
    rules = [yaml.safe_load(path.read_text()) for path in (FOLDER / "rules").glob("*.yml")]
    alerts = {rule.get("alert") for file in rules for group in file["groups"] for rule in group["rules"]}
    named = re.findall(r"Slipway\w+", (FOLDER / "alertmanager.yml").read_text())
    assert {name for name in named if name != "Slipway"} <= alerts


def test_what_is_set_is_where_alerts_are_sent_to():
    made = {receiver["name"]: receiver for receiver in configuration(Receivers(**EVERYTHING))["receivers"]}
    for name in ("pages", "tickets"):
        assert made[name].keys() == {"name", "email_configs", "slack_configs", "webhook_configs"}
    (hook,) = made["retraining"]["webhook_configs"]
    assert hook["url"] == "http://watch:8080/alerts"
    assert hook["http_config"]["authorization"]["credentials_file"] == "/etc/alertmanager/alert-secret"
    assert made["watchdog"]["webhook_configs"] == [{"url": "https://watchdog.example.com/ping"}]


def test_nothing_set_sends_nothing():
    assert [receiver.keys() for receiver in configuration(Receivers())["receivers"]] == [{"name"}] * 4


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"SMTP": "mail"}, "ALERTMANAGER_SMTP is 'mail'. Mail server, `HOST:PORT`; empty: no e-mail."),
        ({"SMTP": "mail:25"}, "ALERTMANAGER_MAIL_FROM and ALERTMANAGER_MAIL_TO must be set, too"),
        (
            {"SMTP": "mail:25", "MAIL_FROM": "a@b", "MAIL_TO": "c@d", "SMTP_USER": "e"},
            "ALERTMANAGER_SMTP_PASSWORD_FILE must be set, too",
        ),
        ({"WEBHOOK_URL": "hooks"}, "ALERTMANAGER_WEBHOOK_URL is 'hooks'. URL of a webhook; empty: none."),
        ({"WEBHOOK_URL": "http://hooks/a b"}, "ALERTMANAGER_WEBHOOK_URL is 'http://hooks/a b'."),
        ({"WEBHOOK_URL": "http:///alerts"}, "ALERTMANAGER_WEBHOOK_URL is 'http:///alerts'."),
        ({"WATCHDOG_URL": "http://hooks:port"}, "ALERTMANAGER_WATCHDOG_URL is 'http://hooks:port'."),
        ({"WATCHDOG_URL": "http://hooks/100%"}, "ALERTMANAGER_WATCHDOG_URL is 'http://hooks/100%'."),
        ({"RETRAINING_URL": ""}, "ALERTMANAGER_RETRAINING_URL is ''. URL of `/alerts` of the watch."),
        ({"WEBHOOK_URL": "https://ann:hunter2@hooks"}, "ALERTMANAGER_WEBHOOK_URL is a URL with a login"),
        (
            {"SLACK_URL_FILE": "https://hooks.slack.com/hunter2"},
            "ALERTMANAGER_SLACK_URL_FILE is not the path of a file",
        ),
        ({"SMTP": "mail:smtp"}, "ALERTMANAGER_SMTP is 'mail:smtp'."),
        ({"SMTP": "mail:25", "MAIL_FROM": "slipway", "MAIL_TO": "c@d"}, "ALERTMANAGER_MAIL_FROM is 'slipway'. E-mail"),
    ],
)
def test_a_variable_that_is_wrong_is_told_and_nothing_is_printed(monkeypatch, capsys, variables, told):
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert alertmanager.main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and told in printed.err
    assert "hunter2" not in printed.err


def test_what_may_be_a_mistake_is_a_warning_without_values(monkeypatch, tmp_path, capsys):
    (tmp_path / "token").write_text("hunter2")
    values = {"WEBHOOK_TOKEN_FILE": str(tmp_path / "token"), "SMTP_PASSWORD_FILE": "hunter2", "SLACK_URL": "hunter2"}
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert alertmanager.main() == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: ALERTMANAGER_SLACK_URL is no variable of this command. Did you mean 'ALERTMANAGER_SLACK_URL_FILE'?",
        "warning: ALERTMANAGER_SMTP_PASSWORD_FILE names no file on this machine: Alertmanager's must have it.",
        "warning: nobody gets an alert: set one of ALERTMANAGER_SMTP, ALERTMANAGER_SLACK_URL_FILE, "
        "ALERTMANAGER_WEBHOOK_URL.",
    ]


@pytest.mark.parametrize(
    ("owner", "is_sent_to"),
    [
        ("ann@example.com", True),
        ("ann@example.com, bob@example.com", True),
        ("@ml-team", False),
        ("ann at@night", False),
        ("ann@example.com; bob@example.com", False),
        ("Ann <ann@example.com>", False),
        ("the data team", False),
        ("", False),
    ],
)
def test_an_e_mail_goes_to_the_owner_if_that_is_an_address_else_to_the_default(owner, is_sent_to):
    (email,) = next(iter(configuration(Receivers(**EVERYTHING))["receivers"]))["email_configs"]
    pattern = re.match(r"\{\{ if match `(.*?)` .CommonLabels.owner \}\}", email["to"])[1]
    assert (re.search(pattern, owner) is not None) == is_sent_to
    assert email["to"].endswith("{{ else }}on-call@example.com{{ end }}")


def test_variables_make_a_configuration(monkeypatch, capsys):
    monkeypatch.setenv(PREFIX + "WEBHOOK_URL", "http://hooks/alerts")
    assert alertmanager.main() == 0
    assert yaml.safe_load(capsys.readouterr().out) == configuration(Receivers(webhook_url="http://hooks/alerts"))


def test_the_page_lists_every_variable():
    rows = re.findall(r"^\| `ALERTMANAGER_(\w+)` \| (?:`(.*?)`)? *\| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    fields = Receivers.model_fields.items()
    assert rows == [(name.upper(), field.default, field.description) for name, field in fields]


@pytest.fixture
def running(needs, tmp_path) -> Iterator[str]:
    """A real Alertmanager with the configuration: its URL."""
    program, address = needs("prometheus-alertmanager"), f"127.0.0.1:{free_port()}"
    files = [f"--config.file={write(tmp_path / 'alertmanager.yml')}", f"--storage.path={tmp_path / 'data'}"]
    options = [*files, f"--web.listen-address={address}", "--cluster.listen-address="]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log)
    try:
        yield f"http://{address}/api/v2/alerts"
    finally:
        process.kill()
        process.wait()


def silence(url: str, names: set[str], *alerts: dict[str, str]) -> None:
    """Send the alerts, and wait until those with these names, and no others, are silenced by others."""
    body = json.dumps([{"labels": alert} for alert in alerts]).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    for _ in range(100):
        with suppress(OSError), urllib.request.urlopen(request, timeout=10):
            break
        time.sleep(0.1)
    until(lambda: _inhibited(url) == names)


def _inhibited(url: str) -> set[str]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return {alert["labels"]["alertname"] for alert in json.load(response) if alert["status"]["inhibitedBy"]}


@pytest.mark.slow
def test_what_follows_from_another_alert_is_silenced(running):
    apart = {"alertname": "SlipwayDrift", "namespace": "b", "usecase": "credit_risk", "severity": "warning"}
    page, ticket = {**BURN, "severity": "critical", "window": "1h"}, {**BURN, "severity": "warning", "window": "3d"}
    silence(running, set(), page, DRIFT, apart)
    silence(running, {"SlipwayLatencyBudgetBurn"}, ticket)
    watch = {"alertname": "SlipwayWatchDown", "namespace": "a", "severity": "critical"}
    silence(running, {"SlipwayLatencyBudgetBurn"}, watch)
    down = {"alertname": "SlipwayServerDown", "namespace": "a", "job": "serving", "severity": "critical"}
    full = {"alertname": "SlipwayDiskFull", "namespace": "a", "folder": "log", "severity": "critical"}
    silence(running, {"SlipwayLatencyBudgetBurn", "SlipwayDrift"}, down, full)
    on_the_status_page = firing(running.removesuffix("/api/v2/alerts"), "a").shown
    assert [alert.name for alert in on_the_status_page if alert.name in ("SlipwayDrift", "SlipwayServerDown")] == [
        "SlipwayServerDown"
    ]
    assert [alert.name for alert in firing(running.removesuffix("/api/v2/alerts"), "b").shown] == ["SlipwayDrift"]
    gone = {"alertname": "SlipwayNoModelReady", "namespace": "c", "severity": "critical"}
    rollouts = [{"alertname": "SlipwayRolloutStalled", "namespace": name, "usecase": "digits"} for name in "cb"]
    names = {"SlipwayLatencyBudgetBurn", "SlipwayDrift", "SlipwayRolloutStalled"}
    silence(running, names, gone, *rollouts)
    assert "SlipwayRolloutStalled" in [one.name for one in firing(running.removesuffix("/api/v2/alerts"), "b").shown]
    assert [one.name for one in firing(running.removesuffix("/api/v2/alerts"), "c").shown] == ["SlipwayNoModelReady"]
