"""The repository of the rehearsal: what a push tells, and what a runner checks out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scenarios.delivery.repository import NO_COMMIT, URL, Repository, git


@pytest.fixture
def repository(tmp_path):
    source = tmp_path / "source"
    git("init", "--quiet", "--initial-branch=work", str(source))
    (source / "page.md").write_text("one\n")
    git("-C", str(source), "add", "--all")
    git("-C", str(source), "commit", "--quiet", "--message", "The first commit")
    (source / "page.md").write_text("not committed\n")
    found = Repository(tmp_path / "rehearsal")
    found.create(source)
    return found


def write(text: str):
    return lambda checkout: (checkout / "page.md").write_text(text)


def read(folder: Path) -> str:
    return (folder / "page.md").read_text()


def test_the_first_push_has_no_commit_before_it_and_each_other_one_the_last(repository):
    first, second = repository.push("Two", write("two\n")), repository.push("Three", write("three\n"))
    assert first.before == NO_COMMIT and first.event["created"]
    assert second.before == first.after != second.after and not second.event["created"]
    assert second.event["head_commit"] == {"id": second.after, "message": "Three"}


def test_a_runner_has_the_pushed_commit_with_its_history_and_the_name_on_github(repository, tmp_path):
    push = repository.push("Two", write("two\n"))
    repository.push("Three", write("three\n"))
    folder = tmp_path / "checkout"
    repository.checkout(push, folder)
    assert read(folder) == "two\n"
    assert git("-C", str(folder), "log", "--format=%s").splitlines() == ["Two", "The first commit"]
    assert git("-C", str(folder), "remote", "get-url", "origin").strip() == URL
    assert git("-C", str(folder), "symbolic-ref", "HEAD").strip() == "refs/heads/main"


def test_a_push_is_taken_back_by_another_one(repository, tmp_path):
    repository.push("Two", write("two\n"))
    broken = repository.push("Broken", write("broken\n"))
    repository.checkout(repository.push("Mended", repository.revert(broken)), tmp_path / "checkout")
    assert read(tmp_path / "checkout") == "two\n"


def test_files_of_a_checkout_have_the_usual_modes_whatever_commands_set(repository, tmp_path):
    push = repository.push("Two", write("two\n"))
    before = os.umask(0o077)  # as `slipway` does
    try:
        repository.checkout(push, tmp_path / "checkout")
    finally:
        os.umask(before)
    assert (tmp_path / "checkout" / "page.md").stat().st_mode & 0o777 == 0o644
