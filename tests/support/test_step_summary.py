"""Failed tests are named on the page of a workflow's run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.step_summary import MOST, pytest_terminal_summary


def failed(name: str, message: str) -> SimpleNamespace:
    return SimpleNamespace(nodeid=name, longrepr=SimpleNamespace(reprcrash=SimpleNamespace(message=message)))


def report(**stats: list[SimpleNamespace]) -> None:
    pytest_terminal_summary(SimpleNamespace(stats=stats))


@pytest.fixture
def page(tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def test_each_failed_test_is_named_with_the_first_line_of_its_reason(page):
    error = SimpleNamespace(nodeid="c", longrepr="fixture 'x' not found\nmore")
    report(failed=[failed("a", "assert 1 == 2\n where"), failed("b", "`code`")], error=[error], passed=[object()])
    lines = ["- `a`: `assert 1 == 2`", "- `b`: `'code'`", "- `c`: `fixture 'x' not found`"]
    assert page.read_text() == "\n".join(["#### Failed tests", "", *lines, "", ""])


def test_many_failed_tests_are_counted(page):
    report(failed=[failed(str(number), "no") for number in range(MOST + 7)])
    assert page.read_text().splitlines()[-2] == "- and 7 more"


def test_nothing_is_written_if_nothing_failed_or_there_is_no_page(page, monkeypatch):
    report(passed=[object()])
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    report(failed=[failed("a", "no")])
    assert not page.exists()
