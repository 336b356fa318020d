"""Lines of the audit are added one by one, read in their order, and marked until their copy exists."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway import audit, audit_store
from slipway.errors import DataError
from slipway.settings import settings


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
    assert audit_store.usecases(settings()) == []


def test_a_line_is_marked_until_its_copy_exists(log):
    lines = [audit.append("loans", "promoted", who="ann@laptop") for _ in range(2)]
    assert audit_store.pending(settings(), "loans") == [line.id for line in lines]
    audit_store.settle(settings(), "loans", lines[0].id)
    assert audit_store.pending(settings(), "loans") == [lines[1].id]
    assert audit_store.usecases(settings()) == ["loans"]


def test_the_mark_is_there_before_the_line(log, monkeypatch):
    """A writer that is killed in between leaves a mark without a line, never a line without a mark."""
    order = []
    store = type("Store", (), {"put": lambda self, name, content: order.append(name)})()
    monkeypatch.setattr(audit_store, "object_store", lambda config: store)
    line = audit.append("loans", "promoted", who="ann@laptop")
    assert [name.rpartition("/")[2] for name in order] == [line.id, f"{line.id}.json"]


def test_a_line_that_was_changed_to_something_else_is_named(log):
    line = audit.append("loans", "promoted", who="ann@laptop")
    [path] = log.rglob(f"{line.id}.json")
    path.write_text("{}")
    with pytest.raises(DataError, match=line.id):
        audit.lines("loans")


def test_many_writers_at_once_keep_every_line_and_every_mark(log):
    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(lambda _: audit.append("loans", "promoted", who="ann@laptop").id, range(18)))
    assert sorted(audit_store.pending(settings(), "loans")) == sorted(written)
    assert sorted(line.id for line in audit.lines("loans")) == sorted(written)


def test_lines_in_a_bucket_are_marked_the_same_way(s3):
    line = audit.append("bucket_loans", "promoted", who="ann@laptop")
    assert [found.id for found in audit.lines("bucket_loans")] == [line.id]
    assert audit_store.pending(settings(), "bucket_loans") == [line.id]


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
