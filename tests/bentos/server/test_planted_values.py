"""Secrets and private values are planted in requests, settings and environment of a real server; no output has one."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

from slipway import api_keys
from slipway.ecs_logging.spool_handler import FOLDER
from tests.bentos.server.processes import Server
from tests.support import bundles

PRIVATE = {"email": "planted-email@example.org", "nation": "Planted-Utopia", "income": 1357.25}
SECRETS = {
    "SLIPWAY_MASK_KEY": "planted-mask-key-0123456789",
    "SLIPWAY_ALERT_SECRET": "planted-alert-0123456789",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-0123456789",
    "PREFECT_API_AUTH_STRING": "slipway:planted-prefect-0123456789",
}
WRONG_KEY = f"{api_keys.PREFIX}planted-wrong-key-0123456789"
PATH = "/v1/models/private_loans/predict"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_no_output_of_a_server_has_a_planted_value(serve, var: Path, tmp_path: Path) -> None:
    bundles.promote(var, tmp_path / "bundle", bundles.PRIVATE, fault="error")
    key = api_keys.create(var / "keys" / "keys.json", "ci", ["predict", "feedback", "read"])[1]
    server = serve("private_loans", SLIPWAY_SPOOL_LOGS="true", SLIPWAY_SEGMENT_SECONDS="0.2", **SECRETS)
    row = {**bundles.ROWS["loans"][0], **PRIVATE}
    statuses = [
        _post(server, key, {"instances": [row], "keys": ["mine"]}),
        _post(server, key, {"instances": [{**row, "age": "thirty"}]}),
        _post(server, key, {"instances": [{**row, "email": [PRIVATE["email"]]}]}),
        _post(server, WRONG_KEY, {"instances": [row]}),
        _post(server, key, {"instances": [row]}, f"{PATH}?email={PRIVATE['email']}&token={WRONG_KEY}"),
        *(_post(server, key, {"instances": [{**each, **PRIVATE}]}) for each in bundles.ROWS["loans"]),
    ]
    assert {200, 401, 422} <= set(statuses)
    server.process.terminate()
    server.process.wait(30)
    values = [str(value) for value in PRIVATE.values()]
    planted = [*values, *SECRETS.values(), WRONG_KEY, key, "planted-prefect-0123456789"]
    outputs = dict(_outputs(server, var))
    assert any(f"/{FOLDER}/" in name for name in outputs), "log lines are in the spool, too"
    found = [(name, value) for name, text in outputs.items() for value in planted if value in text]
    assert found == []
    refusals = [json.loads(line) for line in server.log.read_text().splitlines() if '"slipway.audit"' in line]
    assert {line["trace"]["id"] for line in refusals} == {TRACE}


def _post(server: Server, key: str, content: object, path: str = PATH) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"authorization": f"Bearer {key}", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    try:
        connection.request("POST", path, json.dumps(content), {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def _outputs(server: Server, var: Path) -> Iterator[tuple[str, str]]:
    """Everything that the server wrote: its log, and each file of the state folder."""
    yield "log", server.log.read_text(errors="replace")
    for path in var.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes().decode(errors="replace")
