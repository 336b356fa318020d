"""Audit log of refused requests: a line for each, and one for all that are too many."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

import pytest

from bentos.auth import audit_log
from bentos.worker import _set_up_logging
from tests.bentos.auth.credentials import bearer, predict
from tests.bentos.conftest import Client

MOST = audit_log.MOST_LINES


def messages(audit: list[str]) -> list[str]:
    return [json.loads(line)["message"] for line in audit]


def test_a_flood_of_refusals_is_summed(start_client: Callable[..., Client], key, audit: list[str], monkeypatch) -> None:
    key("ci", "predict")
    client = start_client()
    monkeypatch.setattr(audit_log, "WINDOW_SECONDS", 0.5)
    begun = time.monotonic()
    for _ in range(MOST + 400):
        assert predict(client).status == 401
    windows = 1 + (time.monotonic() - begun) // 0.5
    assert len(audit) <= windows * (MOST + 1), "in each window so many, and their sum"
    time.sleep(0.5)
    client.worker.authenticator.audit_log.flush()
    sums = [json.loads(line) for line in audit if "more requests" in line]
    assert len(audit) - len(sums) + sum(one["slipway"]["more"] for one in sums) == MOST + 400
    assert sums[-1]["message"].endswith("more requests were refused with 401 within 0.5 s.")
    assert sums[-1]["http"]["response"]["status_code"] == 401
    client.worker.authenticator.audit_log.flush()
    assert len([line for line in audit if "more requests" in line]) == len(sums), "each is told once"


def test_a_flood_of_strangers_hides_no_refusal_of_a_known_client(
    start_client: Callable[..., Client], key, audit: list[str]
) -> None:
    reader, other, client = key("reader", "read"), key("other", "read"), start_client()
    for _ in range(MOST + 10):
        predict(client)
        predict(client, **bearer(reader))
    assert len(audit) == 2 * MOST
    predict(client, **bearer(other))
    assert json.loads(audit[-1])["user"] == {"name": "other"}
    client.worker.authenticator.audit_log.flush(ended=False)
    assert sorted(messages(audit)[-2:]) == [
        "and 10 more requests were refused with 401 within 10 s.",
        "and 10 more requests were refused with 403 within 10 s.",
    ]
    assert json.loads(audit[-1]).get("user", {}) in ({}, {"name": "reader"})


def test_nothing_is_summed_where_each_refusal_has_its_line(
    start_client: Callable[..., Client], key, audit: list[str]
) -> None:
    key("ci", "predict")
    client = start_client()
    predict(client)
    client.worker.authenticator.close()
    assert len(audit) == 1


def test_refusals_for_a_foreign_host_and_over_the_rate_are_summed_too(
    start_client: Callable[..., Client], key, audit: list[str]
) -> None:
    client = start_client()
    for _ in range(MOST + 7):
        assert client.get("/livez", host="evil.example").status == 403
    client.worker.authenticator.close()
    assert messages(audit)[-1].startswith("and 7 more requests were refused with 403")
    secret = key("limited", "predict", rate="1/hour")
    client = start_client(promote=False)
    for _ in range(MOST + 8):
        predict(client, **bearer(secret))
    client.worker.authenticator.close()
    assert messages(audit)[-1].startswith("and 7 more requests were refused with 429")


@pytest.mark.parametrize(("message", "kept"), [("Invalid HTTP request received.", False), ("Shutting down", True)])
def test_invalid_http_writes_nothing_to_the_log(caplog: pytest.LogCaptureFixture, message: str, kept: bool) -> None:
    _set_up_logging()
    logger = logging.getLogger("uvicorn.error")
    with caplog.at_level("INFO", logger=logger.name):
        logger.addHandler(caplog.handler)
        logger.warning(message)
        logger.removeHandler(caplog.handler)
    assert (message in caplog.text) is kept
