"""The demo finds a secret in whatever a process of it wrote, and says where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scenarios.demo import secrecy
from slipway.clients.http import Response
from slipway.local import LocalServices
from slipway.settings import settings

SECRET = "planted-secret-0123456789"
SINCE = datetime.now(UTC) - timedelta(minutes=1)


@pytest.fixture
def services(var: Path, monkeypatch: pytest.MonkeyPatch) -> LocalServices:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setattr(secrecy.http, "request", lambda *args, **more: Response(200, b"a page"))
    settings().mask_secret()  # makes its file
    (var / "logs").mkdir()
    (var / "logs" / "watch.log").write_text("all is well")
    (var / "mlflow.login").write_text(f"admin:{SECRET}")
    return LocalServices(var, Path("usecases"), {"status": 1, "service": 2})


def test_outputs_without_a_secret_hold(services: LocalServices) -> None:
    check = secrecy.check_secrets(services, SINCE)
    assert check.held
    assert check.observed.startswith("7 files and pages show none of ")


@pytest.mark.parametrize("secret", [SECRET, "mask"])
def test_a_file_that_shows_a_secret_is_named_and_the_secret_is_not(services: LocalServices, secret: str) -> None:
    shown = settings().mask_secret().decode() if secret == "mask" else secret
    (services.var / "logs" / "watch.log").write_bytes(b"\xff" + shown.encode())
    check = secrecy.check_secrets(services, SINCE)
    assert not check.held
    assert check.observed == f"shown by {services.var / 'logs' / 'watch.log'}"


def test_a_page_that_shows_a_secret_is_named(services: LocalServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrecy.http, "request", lambda *args, **more: Response(200, SECRET.encode()))
    assert "http://127.0.0.1:1/api/status" in secrecy.check_secrets(services, SINCE).observed


def test_what_an_earlier_demo_wrote_is_not_read_again(services: LocalServices) -> None:
    assert secrecy.check_secrets(services, datetime.now(UTC) + timedelta(minutes=1)).observed.startswith("6 files")
