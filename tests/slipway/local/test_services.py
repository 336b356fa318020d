"""Servers for the length of a command: the real MLflow and Prefect."""

from __future__ import annotations

import os

import pytest

from slipway.clients.http import is_healthy
from slipway.local import services
from slipway.settings import settings
from slipway.system.ports import free_port


@pytest.mark.slow
def test_missing_servers_are_started_once_and_leave_with_the_command(monkeypatch, tmp_path):
    first = free_port(21000 + os.getpid() % 10000)
    monkeypatch.setenv("SLIPWAY_MLFLOW_PORT", str(first))
    monkeypatch.setenv("SLIPWAY_PREFECT_PORT", str(first + 1))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    settings.cache_clear()
    before, output = settings().registry_uri, []
    with services("mlflow", "prefect", say=output.append) as urls:
        assert settings().registry_uri == urls["mlflow"] == os.environ["MLFLOW_TRACKING_URI"]
        assert settings().prefect_uri == urls["prefect"]
        assert is_healthy(f"{urls['mlflow']}/health")
        assert is_healthy(f"{urls['prefect']}/health")
        lines = len(output)
        with services("mlflow", "prefect", say=output.append) as again:
            assert again == urls
        assert len(output) == lines
    assert settings().registry_uri == before
    assert not is_healthy(f"{urls['mlflow']}/health")
    assert not is_healthy(f"{urls['prefect']}/health")
