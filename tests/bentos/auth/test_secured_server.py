"""Authentication in the real server: every worker, revocation within a second, tokens, and the page with a key."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway import api_keys
from tests.bentos.auth.credentials import ROW
from tests.bentos.auth.issuers import Issuer
from tests.bentos.server.processes import ROOT, Server
from tests.support import bundles
from tests.support.browser import Browser

PREDICT = ".actions button"


def predict(server: Server, secret: str | None, host: str = "127.0.0.1") -> tuple[int, http.client.HTTPResponse, bytes]:
    """Send one prediction on a new connection, so that either worker may accept it."""
    connection = http.client.HTTPConnection(host, server.port, timeout=10)
    headers = {"content-type": "application/json", "x-forwarded-for": "203.0.113.7"}
    headers |= {"authorization": f"Bearer {secret}"} if secret else {}
    connection.request("POST", "/v1/models/loans/predict", json.dumps({"instances": [ROW]}), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer, body


def test_a_revoked_key_ends_within_a_second_in_every_worker(serve, var: Path, tmp_path: Path) -> None:
    bundles.promote(var, tmp_path / "loans")
    path = var / "keys" / "keys.json"
    api_keys.create(path, "first", ["predict"])
    server = serve("loans", workers=2, SLIPWAY_HOST="0.0.0.0")
    secret = api_keys.create(path, "second", ["predict"])[1]
    time.sleep(1)
    assert {predict(server, secret)[0] for _ in range(30)} == {200}, "made without a restart"
    assert predict(server, secret, "127.0.0.2")[0] == 200, "with credentials, any address may be served"
    api_keys.revoke(path, "second")
    time.sleep(1)
    assert {predict(server, secret)[0] for _ in range(30)} == {401}
    written = server.log.read_text()
    lines = [json.loads(line) for line in written.splitlines() if '"slipway.audit"' in line]
    assert len(lines) == 30
    assert {line["source"]["ip"] for line in lines} == {"127.0.0.1"}, "X-Forwarded-For is no proxy's that is trusted"
    assert lines[0]["url"]["path"] == "/v1/models/loans/predict"
    assert secret not in written and secret.removeprefix(api_keys.PREFIX) not in written


def test_a_worker_that_is_killed_after_all_traces_of_keys_were_removed_comes_back_closed(
    serve, var: Path, tmp_path: Path
) -> None:
    bundles.promote(var, tmp_path / "loans")
    api_keys.create(var / "keys" / "keys.json", "ci", ["predict"])
    server = serve("loans")
    (first,) = server.workers()
    shutil.rmtree(var / "keys")
    (var / "credentials.required").unlink()
    os.kill(first, signal.SIGKILL)
    server.wait_for(lambda: [state.pid for state in server.states()] not in ([], [first]), 60)
    assert predict(server, None)[0] == 401


def test_limits_and_tokens_work_over_the_wire(serve, var: Path, tmp_path: Path) -> None:
    bundles.promote(var, tmp_path / "loans")
    with Issuer() as issuer:
        server = serve("loans", SLIPWAY_RATE="3/hour", **issuer.settings)
        answers = [predict(server, issuer.token()) for _ in range(4)]
        assert [status for status, _, _ in answers] == [200, 200, 200, 429]
        assert answers[0][1].headers["RateLimit-Remaining"] == "2"
        assert answers[3][1].headers["Retry-After"]
        assert json.loads(answers[3][2])["status"] == 429
        assert predict(server, None)[0] == 401
        assert server.get("/metrics")[0] == 401 and server.get("/readyz")[0] == 200


def test_a_container_serves_with_credentials_and_not_without(serve, var: Path, tmp_path: Path) -> None:
    bundles.promote(var, tmp_path / "loans")
    refused = serve("loans", ready=False, SLIPWAY_CONTAINER="true", SLIPWAY_HOST="0.0.0.0")
    assert refused.process.wait(60) == 78
    assert "slipway keys create" in refused.log.read_text()
    api_keys.create(var / "keys" / "keys.json", "ci", ["predict"])
    server = serve("loans", SLIPWAY_CONTAINER="true", SLIPWAY_HOST="0.0.0.0")
    assert predict(server, None)[0] == 401


@pytest.fixture
def chromium(needs, tmp_path: Path):
    browser = Browser(needs("chromium"), tmp_path / "profile")
    yield browser
    browser.close()


def test_the_page_prompts_for_a_key_and_keeps_it_for_its_tab(
    chromium: Browser, serve, var: Path, tmp_path: Path
) -> None:
    bundles.promote(var, tmp_path / "loans")
    secret = api_keys.create(var / "keys" / "keys.json", "visitor", ["predict", "feedback"])[1]
    server = serve("loans")
    chromium.open(f"http://127.0.0.1:{server.port}/")
    chromium.until("document.querySelector('form.key')")
    assert chromium.run("document.getElementById('key').type") == "password"
    enter(chromium, "slk_wrong")
    chromium.until("document.querySelector('.refused')?.innerText.includes('key is unknown')")
    enter(chromium, secret)
    chromium.until(f"document.querySelector('{PREDICT}')")
    chromium.click(PREDICT)
    chromium.until("document.querySelector('.verdict')")
    assert chromium.run("sessionStorage.getItem('slipway.key')") == secret
    assert chromium.run("localStorage.length + document.cookie.length") == 0
    api_keys.revoke(var / "keys" / "keys.json", "visitor")
    time.sleep(1)
    chromium.click(PREDICT)
    chromium.until("document.querySelector('.outcome form.key')")


def enter(browser: Browser, secret: str) -> None:
    browser.run(f"document.getElementById('key').value = {json.dumps(secret)}")
    browser.run("document.querySelector('form.key').requestSubmit()")


def test_commands_send_the_key_of_their_setting(serve, var: Path, tmp_path: Path, monkeypatch) -> None:
    bundles.promote(var, tmp_path / "loans")
    secret = api_keys.create(var / "keys" / "keys.json", "labels", ["feedback", "read"])[1]
    server = serve("loans")
    table = tmp_path / "labels.csv"
    table.write_text("key,label\na,bad\n")
    to = ["--url", f"http://127.0.0.1:{server.port}"]
    command = [sys.executable, "-m", "slipway.cli", "feedback", "loans", str(table), *to]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 1 and "401" in refused.stderr
    monkeypatch.setenv("SLIPWAY_API_KEY", secret)
    sent = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert sent.returncode == 0, sent.stderr
