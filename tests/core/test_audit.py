"""Lines of the audit are added one by one, read in their order, and a changed one is noticed."""

import pytest

from slipway import audit
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


def test_a_line_that_was_changed_to_something_else_is_named(log):
    line = audit.append("loans", "promoted", who="ann@laptop")
    [path] = log.rglob(f"{line.id}.json")
    path.write_text("{}")
    with pytest.raises(DataError, match=line.id):
        audit.lines("loans")
