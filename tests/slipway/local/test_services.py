"""Servers for the length of a command: the real MLflow and Prefect."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.cli.environment import prepare
from slipway.clients.http import is_healthy, request
from slipway.clients.prefect import PrefectClient
from slipway.errors import SettingsError
from slipway.local import LocalServices, State, local_services, login_file, services, use_running_stack
from slipway.local.logins import read_login
from slipway.local.state import StackLock
from slipway.settings import Settings, settings
from slipway.system.ports import free_port


@pytest.fixture
def private(var) -> Iterator[None]:
    """This process writes as a command does."""
    mask = os.umask(0)
    prepare()
    yield
    os.umask(mask)


def open_to_others(folder: Path) -> dict[str, str]:
    """Files and folders that other users of the machine may enter or read, with their modes."""
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*")) if not path.is_symlink()}
    return {str(path): oct(mode) for path, mode in found.items() if mode & 0o077}


@pytest.mark.slow
def test_missing_servers_are_started_once_and_leave_with_the_command(monkeypatch, var, private):
    first = free_port(21000 + os.getpid() % 10000)
    monkeypatch.setenv("SLIPWAY_MLFLOW_PORT", str(first))
    monkeypatch.setenv("SLIPWAY_PREFECT_PORT", str(first + 1))
    monkeypatch.setenv("PREFECT_HOME", str(var / "prefect"))
    settings.cache_clear()
    before, output = settings().registry_uri, []
    with services("mlflow", "prefect", say=output.append) as urls:
        assert settings().registry_uri == urls["mlflow"] == os.environ["MLFLOW_TRACKING_URI"]
        assert settings().prefect_uri == urls["prefect"]
        assert is_healthy(f"{urls['mlflow']}/health")
        assert is_healthy(f"{urls['prefect']}/health")
        assert PrefectClient(urls["prefect"]).under_way("train", "digits") == []  # it has the login
        assert request("POST", f"{urls['prefect']}/flow_runs/filter", document={}).status == 401
        assert {path.name for path in var.rglob("*")} >= {"mlflow.db", "mlflow.log", "prefect.log", "prefect.login"}
        assert open_to_others(var) == {}
        lines = len(output)
        with services("mlflow", "prefect", say=output.append) as again:
            assert again == urls
        assert len(output) == lines
    assert settings().registry_uri == before
    assert not is_healthy(f"{urls['mlflow']}/health")
    assert not is_healthy(f"{urls['prefect']}/health")


def local(var: Path) -> LocalServices:
    return LocalServices(var, Path("usecases"), dict.fromkeys(("service", "grpc", "mlflow", "prefect", "status"), 4200))


def test_every_state_folder_has_a_login_of_its_own_which_only_its_owner_reads(var, tmp_path):
    login = read_login(var, "prefect")
    assert read_login(var, "prefect") == login != read_login(tmp_path / "other", "prefect")
    assert len(login.partition(":")[2]) >= 32
    assert stat.S_IMODE(login_file(var, "prefect").stat().st_mode) == 0o600
    assert local(var).env["PREFECT_API_AUTH_STRING"] == login
    assert local(var).prefect().env["PREFECT_SERVER_API_AUTH_STRING"] == login


@pytest.mark.parametrize("content", [b"", b"slipway:", b"slipway:short", b":" + b"x" * 40, b"x" * 40, b"\xff:\xff"])
def test_a_file_that_holds_no_login_starts_no_open_server(var, content):
    var.mkdir()
    login_file(var, "prefect").write_bytes(content)
    with pytest.raises(SettingsError, match="prefect.login"):
        local(var).prefect()


def test_prefects_origins_are_its_own_address_and_its_process_says_no_password(var):
    process = local(var).prefect()
    assert process.env["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200,http://localhost:4200"
    runner = local(var).runner(["digits"])
    assert runner.health_headers["Authorization"].startswith("Basic ")
    assert read_login(var, "prefect") not in " ".join(process.argv)
    assert runner.health_headers["Authorization"] not in repr(runner)


@pytest.mark.parametrize(("asked", "used"), [("auto", "text"), ("text", "text"), ("ecs", "ecs")])
def test_log_files_are_for_people_unless_the_setting_says_otherwise(var, asked, used):
    found = local_services(Settings(var=var, log_format=asked))
    assert {found.watch().env["SLIPWAY_LOG_FORMAT"], found.service(["digits"]).env["SLIPWAY_LOG_FORMAT"]} == {used}
    assert "SLIPWAY_LOG_FORMAT" not in found.env, "a command of another terminal has its own"


@pytest.mark.parametrize(("url", "spools"), [("", None), ("http://127.0.0.1:9", "true")])
def test_log_lines_go_to_the_spool_where_there_is_elasticsearch(var, url, spools):
    found = local_services(Settings(var=var, elasticsearch_url=url))
    assert found.watch().env.get("SLIPWAY_SPOOL_LOGS") == found.env.get("SLIPWAY_SPOOL_LOGS") == spools


@pytest.mark.parametrize(
    ("named", "given"), [(None, True), ("http://127.0.0.1:4200/api", True), ("https://a/api", False)]
)
def test_the_login_of_a_running_stack_goes_to_its_own_prefect_only(var, monkeypatch, named, given):
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name)
    if named:
        monkeypatch.setenv("PREFECT_API_URL", named)
    lock = StackLock(var)
    lock.write(State(os.getpid(), "up", local(var).env))
    assert stat.S_IMODE((var / "stack.json").stat().st_mode) == 0o600
    use_running_stack(var)
    lock.release()
    assert os.environ.get("PREFECT_API_AUTH_STRING") == (read_login(var, "prefect") if given else None)
