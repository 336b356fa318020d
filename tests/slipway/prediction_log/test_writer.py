from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from slipway.prediction_log import Writer, adopt_orphans, segments
from tests.support.waiting import until

NAME = "made_up"


def text(spool: Path) -> bytes:
    return b"".join(segment.path.read_bytes() for segment in segments(spool, NAME))


def all_complete(spool: Path) -> bool:
    return all(segment.complete for segment in segments(spool, NAME))


def test_a_line_can_be_read_as_soon_as_write_returns(tmp_path):
    writer = Writer(tmp_path, NAME, "prediction")
    assert writer.write(b"one\n")
    assert text(tmp_path) == b"one\n"
    writer.close()


def test_a_line_without_its_newline_gets_one(tmp_path):
    writer = Writer(tmp_path, NAME, "prediction")
    assert writer.write(b"one") and writer.write(b"two\n")
    writer.close()
    assert text(tmp_path) == b"one\ntwo\n"


def test_a_writer_that_wrote_nothing_leaves_no_segment(tmp_path):
    writer = Writer(tmp_path, NAME, "prediction")
    writer.rotate_if_due()
    writer.close()
    assert segments(tmp_path, NAME) == []


def test_a_closed_writer_has_completed_its_segment_and_takes_no_line(tmp_path):
    writer = Writer(tmp_path, NAME, "prediction")
    writer.write(b"one\n")
    writer.close()
    writer.close()
    assert [segment.complete for segment in segments(tmp_path, NAME)] == [True]
    assert not writer.write(b"two\nthree\n")
    assert writer.lost == 2


def test_segments_rotate_by_size(tmp_path):
    writer = Writer(tmp_path, NAME, "prediction", segment_bytes=100)
    for number in range(30):
        assert writer.write(b"%09d\n" % number)
    writer.close()
    assert [segment.path.stat().st_size for segment in segments(tmp_path, NAME)] == [100, 100, 100]
    assert text(tmp_path).split() == [b"%09d" % number for number in range(30)]


def test_segments_rotate_by_age_without_traffic(tmp_path):
    writer = Writer(tmp_path, NAME, "prediction", segment_seconds=0.05)
    writer.write(b"one\n")
    time.sleep(0.06)
    writer.rotate_if_due()
    until(lambda: all_complete(tmp_path))
    writer.close()
    assert text(tmp_path) == b"one\n"


def test_streams_have_segments_of_their_own(tmp_path):
    for stream in ("prediction", "feedback"):
        writer = Writer(tmp_path, NAME, stream)
        writer.write(stream.encode())
        writer.close()
    assert [segment.stream for segment in segments(tmp_path, NAME, "feedback")] == ["feedback"]
    assert len(segments(tmp_path, NAME)) == 2


def test_an_open_segment_is_nobodys_orphan_while_its_worker_lives(tmp_path):
    writer = Writer(tmp_path, NAME, "prediction")
    writer.write(b"one\n")
    adopt_orphans(tmp_path, NAME)
    assert [segment.complete for segment in segments(tmp_path, NAME)] == [False]
    assert writer.write(b"two\n")
    writer.close()
    assert text(tmp_path) == b"one\ntwo\n"


def test_a_dead_workers_segment_is_adopted_and_an_empty_one_removed(tmp_path):
    code = f"""
import os, sys
from pathlib import Path
from slipway.prediction_log import Writer
from slipway.prediction_log.segments import create
writer = Writer(Path({str(tmp_path)!r}), {NAME!r}, "prediction")
writer.write(b"one\\n")
create(Path({str(tmp_path)!r}) / {NAME!r}, "feedback")
os._exit(9)"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert [segment.complete for segment in segments(tmp_path, NAME)] == [False, False]
    adopt_orphans(tmp_path, NAME)
    assert [segment.path.read_bytes() for segment in segments(tmp_path, NAME)] == [b"one\n"]
    assert all_complete(tmp_path)


def test_a_segment_that_was_adopted_before_it_was_locked_is_not_written_to(tmp_path, monkeypatch):
    lock, locked = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not locked:
            locked.append(descriptor)
            adopt_orphans(tmp_path, NAME)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    writer = Writer(tmp_path, NAME, "prediction")
    assert writer.write(b"one\n")
    writer.close()
    assert locked and text(tmp_path) == b"one\n"


def test_a_write_that_the_disk_takes_in_part_is_taken_back(tmp_path, monkeypatch):
    writer = Writer(tmp_path, NAME, "prediction")
    assert writer.write(b"one\n")
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:3]))
    assert not writer.write(b"two\nthree\n")
    monkeypatch.setattr(os, "write", whole)
    assert writer.write(b"four\n")
    writer.close()
    assert text(tmp_path) == b"one\nfour\n"
    assert writer.lost == 2


def test_a_cut_line_that_cannot_be_taken_back_ends_its_segment(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("read-only now")

    writer = Writer(tmp_path, NAME, "prediction")
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:3]))
    monkeypatch.setattr(os, "ftruncate", refuse)
    assert not writer.write(b"two\n")
    monkeypatch.undo()
    assert writer.write(b"four\n")
    writer.close()
    assert sorted(segment.path.read_bytes() for segment in segments(tmp_path, NAME)) == [b"four\n", b"two"]


def test_a_full_disk_is_answered_and_counted_and_the_log_goes_on_when_there_is_room(tmp_path):
    """The file size limit stands in for a full disk: the kernel takes what fits, then refuses."""
    code = f"""
import resource
from pathlib import Path
from slipway.prediction_log import Writer
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
writer = Writer(Path({str(tmp_path)!r}), {NAME!r}, "prediction")
line = b"x" * 299 + b"\\n"
assert writer.write(line * 3)
assert not writer.write(line)
assert not writer.write(line * 4)
assert writer.write(line)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert writer.write(line * 4)
writer.close()
assert writer.lost == 5, writer.lost
"""
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert text(tmp_path) == (b"x" * 299 + b"\n") * 8


def test_a_folder_that_cannot_be_made_is_an_answer(tmp_path):
    (tmp_path / NAME).write_text("a file where the folder should be")
    writer = Writer(tmp_path, NAME, "prediction")
    assert not writer.write(b"one\n")
    (tmp_path / NAME).unlink()
    assert writer.write(b"two\n")
    writer.close()
    assert text(tmp_path) == b"two\n"


def test_a_spool_that_is_removed_under_a_writer_is_noticed_and_counted_and_a_new_segment_begins(tmp_path):
    writer = Writer(tmp_path, NAME, "prediction")
    assert writer.write(b"one\ntwo\n")
    shutil.rmtree(tmp_path / NAME)
    assert writer.write(b"three\n")
    assert writer.rotate_if_due() == writer.lost == 3
    assert writer.rotate_if_due() == 0
    assert writer.write(b"four\n")
    writer.close()
    assert text(tmp_path) == b"four\n"


def test_a_removed_segment_that_is_full_or_closed_is_counted_too(tmp_path):
    full = Writer(tmp_path, NAME, "prediction", segment_bytes=4)
    assert full.write(b"one\n")
    shutil.rmtree(tmp_path / NAME)
    assert full.write(b"two\n")
    full.close()
    assert (full.lost, text(tmp_path)) == (1, b"two\n")
    closed = Writer(tmp_path, NAME, "feedback")
    assert closed.write(b"three\n")
    shutil.rmtree(tmp_path)
    closed.close()
    assert closed.lost == 1


def test_a_segment_that_is_moved_with_its_folder_is_written_on(tmp_path):
    writer = Writer(tmp_path, NAME, "prediction")
    assert writer.write(b"one\n")
    (tmp_path / NAME).rename(tmp_path / "moved")
    assert writer.rotate_if_due() == writer.lost == 0
    assert writer.write(b"two\n")
    assert b"".join(path.read_bytes() for path in (tmp_path / "moved").iterdir()) == b"one\ntwo\n"
    writer.close()


def test_an_error_does_not_end_the_thread_that_syncs(tmp_path, monkeypatch):
    monkeypatch.setattr("slipway.prediction_log.writer.SYNC_SECONDS", 0.01)
    writer = Writer(tmp_path, NAME, "prediction")
    failures = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", lambda _: failures.append(1) or (_ for _ in ()).throw(OSError(24, "too many files")))
        writer.write(b"one\n")
        until(lambda: failures)
    writer.write(b"two\n")
    writer.close()
    assert all_complete(tmp_path) and text(tmp_path) == b"one\ntwo\n"


def test_the_server_needs_no_big_library_to_log():
    code = """
import sys
import slipway.prediction_log
heavy = {"duckdb", "pyarrow", "pandas", "numpy"} & set(sys.modules)
assert not heavy, heavy"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
