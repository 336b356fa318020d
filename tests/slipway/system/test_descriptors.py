"""File descriptors: the soft limit is raised, and what must be opened is opened when none is left."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.prediction_log import Writer
from slipway.system import descriptors
from slipway.system.descriptors import ReservedDescriptor


@pytest.fixture(autouse=True)
def held() -> Iterator[list[int]]:
    """The descriptors that `fill` opens; limit and descriptors are as before after the test."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    yield opened
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def fill(held: list[int]) -> None:
    """Lower the soft limit, and open what is left of it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors.count_open() + 20, hard))
    with pytest.raises(OSError) as error:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    assert error.value.errno == errno.EMFILE


def test_the_soft_limit_becomes_the_hard_one_up_to_a_bound() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    expected = min(hard, descriptors.MOST) if hard != resource.RLIM_INFINITY else descriptors.MOST
    assert descriptors.raise_limit() == (256, expected)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (expected, hard)
    assert descriptors.raise_limit() == (expected, expected)


def test_a_segment_of_the_log_is_opened_when_no_descriptor_is_left(tmp_path: Path, held: list[int]) -> None:
    """With the descriptor in reserve; the next one when there are some again."""
    writer = Writer(tmp_path, "loans", "prediction", segment_bytes=4)
    fill(held)
    assert writer.write(b"one\n")
    for _ in range(3):
        os.close(held.pop())
    assert writer.write(b"two\n")
    assert writer.write(b"three\n")
    assert writer.lost == 0
    writer.close()
    lines = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("prediction-*")))
    assert sorted(lines.split()) == [b"one", b"three", b"two"]
    assert not list(tmp_path.rglob("*.open"))


def test_segments_are_completed_although_no_descriptor_was_left_for_a_while(
    tmp_path: Path, held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that syncs them duplicates a descriptor, and must outlive an error in that."""
    monkeypatch.setattr("slipway.prediction_log.writer.SYNC_SECONDS", 0.01)
    writer = Writer(tmp_path, "loans", "prediction")
    fill(held)
    assert writer.write(b"one\n")
    writer._syncer.join(0.1)
    assert writer._syncer.is_alive()
    os.close(held.pop())
    writer.close()
    assert [path.read_bytes() for path in tmp_path.rglob("prediction-*.jsonl")] == [b"one\n"]


def test_an_error_that_is_not_the_lack_of_descriptors_stays_as_it_is(tmp_path: Path) -> None:
    reserve = ReservedDescriptor()
    with pytest.raises(FileNotFoundError):
        reserve.opening(lambda: os.open(tmp_path / "nowhere" / "x", os.O_RDONLY))
    os.close(reserve.opening(lambda: os.open(os.devnull, os.O_RDONLY)))
    reserve.close()
    reserve.close()
