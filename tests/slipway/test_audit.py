"""Lines of the audit are added one by one, read in their order, and what became of either copy is noticed."""

import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from slipway import audit, audit_replica
from slipway.clients import http
from slipway.clients.mlflow.registry import Registry
from slipway.errors import DataError
from slipway.settings import settings
from tests.conftest import NOWHERE
from tests.support.damages import DAMAGES
from tests.support.servers import unique_name


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIPWAY_LOG_URL", str(tmp_path / "log"))
    settings.cache_clear()
    yield tmp_path / "log"
    settings.cache_clear()


def test_lines_come_back_in_the_order_in_which_they_were_written(log):
    written = [audit.append("loans", action, who="ann@laptop") for action in ("promoted", "rolled_back", "promoted")]
    assert audit.lines("loans") == written


def test_a_line_holds_who_what_why_and_the_evidence(log):
    audit.append("loans", "promoted", who="ann@laptop", why="it is better", version="3", evidence={"auc": 0.8})
    [line] = audit.lines("loans")
    assert (line.who, line.action, line.why, line.version) == ("ann@laptop", "promoted", "it is better", "3")
    assert line.evidence == {"auc": 0.8}
    assert (line.environment, line.usecase) == (settings().environment, "loans")


def test_another_use_case_and_another_environment_have_their_own(log, monkeypatch):
    audit.append("loans", "promoted", who="ann@laptop")
    assert audit.lines("digits") == []
    monkeypatch.setenv("SLIPWAY_ENVIRONMENT", "staging")
    settings.cache_clear()
    assert audit.lines("loans") == []


@pytest.mark.parametrize("mark", ["../../secret", "audit/local/loans/seen.json", "/etc/hostname", "\udcff", ""])
def test_a_mark_copies_its_own_line_whatever_it_names(log, monkeypatch, mark):
    line = audit.append("loans", "promoted", who="ann@laptop")  # no registry answers here: it is pending
    [path] = log.rglob(f"pending/{line.id}")
    [written] = log.rglob(f"{line.id}.json")
    path.write_text(mark, errors="surrogateescape")
    copied = []
    monkeypatch.setattr(audit_replica, "_copy", lambda *args: copied.append(args[-1]))
    assert audit_replica.copy_pending(settings(), "loans") == 0
    assert copied == [written.read_bytes()]
    assert not path.exists()


@pytest.mark.parametrize("damage", ["a folder", "a pipe", "a file of gigabytes"])
def test_a_line_that_cannot_be_read_does_not_keep_the_others_from_being_copied(log, monkeypatch, damage):
    lines = [audit.append("loans", "promoted", who="ann@laptop") for _ in range(3)]
    [path] = log.rglob(f"{lines[1].id}.json")
    DAMAGES[damage](path)
    copied = []
    monkeypatch.setattr(audit_replica, "_copy", lambda *args: copied.append(args[-2]))
    assert audit_replica.copy_pending(settings(), "loans") == 0
    assert copied == [lines[2].id, lines[0].id]


def test_a_line_that_was_changed_to_something_else_is_named(log):
    line = audit.append("loans", "promoted", who="ann@laptop")
    [path] = log.rglob(f"{line.id}.json")
    path.write_text("{}")
    with pytest.raises(DataError, match=line.id):
        audit.lines("loans")


@pytest.fixture
def registry(log, mlflow_server, monkeypatch):
    """Run MLflow, and return a function that takes it down and up again."""

    def set_availability(is_up: bool) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server if is_up else NOWHERE)
        settings.cache_clear()

    set_availability(True)
    return set_availability


def compared(name):
    found = audit_replica.compare(settings(), name)
    return found.lines, found.pending, found.problems


def artifacts(name):
    """The folder of the run that holds the copies, and the registry."""
    registry = Registry(settings().registry_uri)
    [run] = registry.runs(registry.experiment(f"audit/{name}"))
    return registry, run.info


def test_a_line_lies_in_mlflow_too_byte_for_byte(registry, log):
    name = unique_name("loans")
    line = audit.append(name, "promoted", who="ann@laptop", version="3")
    server, run = artifacts(name)
    [path] = log.rglob(f"{line.id}.json")
    assert server.small_artifact(run.artifact_uri, f"local/{line.id}.json") == path.read_bytes()
    assert compared(name) == (1, 0, [])


def test_lines_not_copied_while_mlflow_was_down_are_copied_later(registry):
    name = unique_name("loans")
    audit.append(name, "promoted", who="ann@laptop")
    registry(False)
    for _ in range(2):
        audit.append(name, "rolled_back", who="ann@laptop")
    assert audit_replica.copy_pending(settings(), name) == 2
    registry(True)
    assert compared(name) == (3, 2, [])
    assert audit_replica.copy_pending(settings(), name) == 0
    assert compared(name) == (3, 0, [])


def test_a_writer_that_was_killed_after_its_mark_leaves_nothing_pending(registry, log):
    name = unique_name("loans")
    audit.append(name, "promoted", who="ann@laptop")
    (log / audit_replica.folder(settings(), name) / "pending" / "killed").write_text("audit/local/nothing.json")
    assert audit_replica.copy_pending(settings(), name) == 0
    assert compared(name) == (1, 0, [])


def test_changed_removed_and_pending_copies_are_distinguished(registry, log):
    name = unique_name("loans")
    changed, removed = (audit.append(name, "promoted", who="ann@laptop") for _ in range(2))
    registry(False)
    audit.append(name, "promoted", who="ann@laptop")
    registry(True)
    server, run = artifacts(name)
    server.put_artifact(run.artifact_uri, f"local/{changed.id}.json", b"{}")
    path = f"{urlsplit(run.artifact_uri).path.strip('/')}/local/{removed.id}.json"
    assert http.request("DELETE", f"{server.uri}/api/2.0/mlflow-artifacts/artifacts/{path}").ok
    lines, pending, problems = compared(name)
    assert (lines, pending) == (3, 1)
    assert [changed.id in problems[0], removed.id in problems[1], len(problems)] == [True, True, 2]
    assert "removed there" in problems[1]


def test_a_line_that_was_removed_from_the_log_is_found_in_mlflow(registry, log):
    name = unique_name("loans")
    kept, removed = (audit.append(name, "promoted", who="ann@laptop") for _ in range(2))
    [path] = log.rglob(f"{removed.id}.json")
    path.unlink()
    assert audit.lines(name) == [kept]
    assert compared(name)[2] == [f"the audit line {removed.id} is in MLflow only: it was removed from {log}."]


def test_many_writers_at_once_keep_every_line_twice(registry):
    name = unique_name("loans")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: audit.append(name, "promoted", who="ann@laptop"), range(18)))
    audit_replica.copy_pending(settings(), name)
    assert compared(name) == (18, 0, [])


def test_lines_in_a_bucket_are_marked_and_copied_the_same_way(s3, mlflow_server, monkeypatch):
    name = unique_name("loans")
    audit.append(name, "promoted", who="ann@laptop")
    assert audit_replica.stored(settings(), name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    assert audit_replica.copy_pending(settings(), name) == 0
    assert compared(name) == (1, 0, [])


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b'"\xff"', b'{"action": "\xff"}', b"[1]", b'{"evidence":' + b"[" * 100_000]
)
def test_a_line_that_is_none_is_one_error_that_names_it(content: bytes) -> None:
    with pytest.raises(DataError, match=r"audit/line\.json is no line of the audit any more"):
        audit.decode_line("audit/line.json", content)


def test_a_person_without_a_name_on_this_machine_is_the_number_of_the_user(monkeypatch):
    """As in a container that runs under a number of its own."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert audit.person().startswith(f"uid{os.getuid()}@")
