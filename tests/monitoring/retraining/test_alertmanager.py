"""A real Alertmanager, with the receiver that docs/how-to/retrain-from-alertmanager.md shows, reaches the policy."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from prometheus_client.parser import text_string_to_metric_families

from monitoring.retraining.decisions import Decision, Decisions
from slipway.settings import settings
from tests.support import watch_app
from tests.support.prediction_log import watched_loans as loans
from tests.support.servers import free_port

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "retrain-from-alertmanager.md"
SECRET = "a secret of alertmanager's"
WAIT_SECONDS = 120


class Watch:
    """The watch process' application on a port, which refuses connections until it starts."""

    def __init__(self, listening: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(watch_app.build_empty(), log_level="warning", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(30)


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    loans.write_usecase(tmp_path / "usecases", monkeypatch)
    monkeypatch.setenv("SLIPWAY_ALERT_SECRET", SECRET)
    settings.cache_clear()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        found = Watch(listening)
        yield found
        found.stop()


@pytest.fixture
def alertmanager(needs, watch: Watch, tmp_path: Path) -> Iterator[str]:
    """Alertmanager by the page's configuration: its URL."""
    program, url, log = needs("prometheus-alertmanager"), f"127.0.0.1:{free_port()}", tmp_path / "alertmanager.log"
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(documented(watch.url, tmp_path)))
    (tmp_path / "secret").write_text(SECRET + "\n")
    options = [f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/alertmanager"]
    addresses = [f"--web.listen-address={url}", "--cluster.listen-address="]
    with log.open("wb") as output:
        process = subprocess.Popen([program, *options, *addresses], stdout=output, stderr=output)
    try:
        until(lambda: answers(f"http://{url}/-/ready"), log)
        yield f"http://{url}"
    finally:
        process.kill()
        process.wait()


def documented(watch: str, folder: Path) -> dict[str, Any]:
    """The page's configuration, with this test's addresses and no time to gather alerts in."""
    block = next(text for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "receivers:" in text)
    found = yaml.safe_load(block)
    found["route"]["group_wait"] = found["route"]["routes"][0]["group_wait"] = "100ms"
    [hook] = next(receiver for receiver in found["receivers"] if receiver["name"] == "slipway")["webhook_configs"]
    hook["url"] = hook["url"].replace("http://watch:8080", watch)
    hook["http_config"]["authorization"]["credentials_file"] = str(folder / "secret")
    return found


def answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5):
        return True
    return False


def until(true: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def fire(alertmanager: str, *labels: dict[str, str]) -> None:
    body = json.dumps([{"labels": one} for one in labels]).encode()
    request = urllib.request.Request(f"{alertmanager}/api/v2/alerts", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).close()


def failed_attempts(alertmanager: str) -> float:
    with urllib.request.urlopen(f"{alertmanager}/metrics", timeout=5) as response:
        families = text_string_to_metric_families(response.read().decode())
    samples = [
        sample for family in families for sample in family.samples if sample.labels.get("integration") == "webhook"
    ]
    return sum(s.value for s in samples if s.name == "alertmanager_notification_requests_failed_total")


def test_a_firing_alert_becomes_a_decision_also_where_the_watch_was_away_and_an_unrelated_one_does_not(
    alertmanager: str, watch: Watch, tmp_path: Path
) -> None:
    down = {"alertname": "SlipwayNoModelReady", "usecase": "loans", "severity": "critical"}
    fire(alertmanager, down, {"alertname": "SlipwayDrift", "usecase": "loans", "retraining": "drift"})
    until(lambda: failed_attempts(alertmanager), tmp_path / "alertmanager.log")
    watch.start()
    decisions = Decisions(settings(), "loans")
    until(decisions.latest, tmp_path / "alertmanager.log")
    [decision] = decisions.recent()
    assert isinstance(decision, Decision)
    assert (decision.asked_for, decision.asked_by) == ("drift", "alertmanager")
    assert (decision.rule, decision.evidence["alert"]) == ("registry", "SlipwayDrift")
