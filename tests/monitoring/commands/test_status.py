"""What `slipway status` says of a version that is served although its gates failed."""

from __future__ import annotations

import json

import pytest

from monitoring.commands import status
from slipway.settings import settings
from tests.bentos.server.processes import Server
from tests.support import bundles

OVERRIDE = "ann: the pilot runs on ten customers who know"


@pytest.mark.slow
def test_an_override_is_shown_with_who_and_why(var, tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    bundles.promote(var, tmp_path / "loans", version="7", passed=False, override=OVERRIDE)
    with Server(var, ("loans",)) as server:
        monkeypatch.setenv("SLIPWAY_SERVERS", f"http://127.0.0.1:{server.port}")
        settings.cache_clear()
        status.command()
        assert f"its gates failed; served by an override: {OVERRIDE}" in capsys.readouterr().out
        status.command(as_json=True)
        assert json.loads(capsys.readouterr().out)["models"][0]["overridden"] == OVERRIDE
