"""Erasure: a subject leaves log, spool, images and reports, others stay, and a kill at any step costs neither."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitoring.analysis import verdict
from monitoring.erasure import journal, spool
from monitoring.erasure.erasure import ACTION, Erasure, forget
from monitoring.erasure.reports import REMOVED
from monitoring.erasure.subject import Subject
from monitoring.log_shipping import checkpoints
from slipway import audit
from slipway.errors import NotFound, ServiceError
from slipway.prediction_log import Compactor, Log, Writer, segments
from slipway.prediction_log.layout import STREAMS, partitions
from slipway.settings import Settings
from slipway.storage import object_store
from tests.conftest import NOWHERE
from tests.support.prediction_log.sample_events import START, USECASE, prediction
from tests.support.prediction_log.subjects import (
    BY_KEY,
    BY_ROW_KEY,
    KEY,
    OTHERS,
    ROW_KEY,
    left_of,
    ship,
    write_events,
)

HOUR = timedelta(hours=1)
NOW = START + timedelta(days=2)


class Killed(BaseException):
    """Stands in for a kill at one call: nothing that follows it runs."""


def rows(log: Log) -> list[str]:
    found = log.predictions(USECASE, answered=False).select('"slipway.row_id"').fetchall()
    return sorted(row for (row,) in found)


def labels(log: Log) -> Counter[tuple[str | None, str | None]]:
    return Counter(log.feedback(USECASE).select('"slipway.row_id", "slipway.key"').fetchall())


def combine(config: Settings, *, remove: bool) -> None:
    ship(config)
    for hours in range(2 if remove else 1):
        for stream in STREAMS:
            Compactor(config).compact(USECASE, stream, NOW + hours * HOUR)


STATES: dict[str, Callable[[Settings], None]] = {
    "in the spool": lambda config: None,
    "shipped": ship,
    "combined, beside the small files": partial(combine, remove=False),
    "combined": partial(combine, remove=True),
}


@pytest.fixture(params=STATES)
def filled(request: pytest.FixtureRequest, config: Settings, write: Callable[..., None]) -> Settings:
    """Provide the settings of a log with the subject, as far as it has come."""
    write_events(write)
    STATES[request.param](config)
    return config


@pytest.mark.parametrize("subject", [BY_KEY, BY_ROW_KEY], ids=["by key", "by row key"])
def test_a_subjects_events_leave_the_log_wherever_they_are(filled: Settings, log: Log, subject: Subject) -> None:
    assert rows(log) == ["a", "a", *OTHERS]
    done = forget(subject, filled)
    assert (done.predictions, done.labels, done.unreadable) == (1, 2, {})
    assert rows(log) == OTHERS
    assert rows(Log(filled)) == sorted(row for (row,) in log.sample(USECASE).select('"slipway.row_id"').fetchall())
    assert labels(log) == {("b", None): 1, (None, "customer-8"): 1}
    assert log.left_out == []
    assert left_of(filled, KEY, ROW_KEY) == []
    assert not forget(subject, filled).has_found


def test_what_is_left_is_combined_and_shipped_on(filled: Settings, log: Log) -> None:
    forget(BY_KEY, filled)
    combine(filled, remove=True)
    assert rows(log) == OTHERS
    assert len(list(Path(filled.log_root).rglob("compacted-*.parquet"))) == 1
    assert left_of(filled, KEY) == []


def test_a_reader_that_listed_the_files_before_goes_on(config: Settings, log: Log, write: Callable[..., None]) -> None:
    write_events(write)
    ship(config)
    listed = log.predictions(USECASE, answered=False)
    forget(BY_KEY, config)
    assert sorted(row for (row,) in listed.select('"slipway.row_id"').fetchall()) == OTHERS
    assert log.left_out == []


def test_a_reader_that_has_just_listed_the_files_lists_them_again(
    config: Settings, log: Log, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from slipway.prediction_log.reading import views

    write_events(write)
    ship(config)
    original, calls = views.between, []

    def between(*args: Any) -> list[str]:
        names = original(*args)
        calls.append(names)
        if len(calls) == 1:
            forget(BY_KEY, config)
        return names

    monkeypatch.setattr(views, "between", between)
    assert rows(log) == OTHERS
    assert log.left_out == []


@contextmanager
def killing(patch: pytest.MonkeyPatch, nth: int) -> Iterator[list[str]]:
    """Kill at the nth file that is replaced or removed; gives the files of those calls."""
    calls: list[str] = []

    def dying(call: str) -> Callable[..., Any]:
        original = getattr(Path, call)

        def die(path: Path, *args: Any, **kwargs: Any) -> Any:
            if call == "replace" or not path.name.endswith((".tmp", ".lock")):
                calls.append(path.name)
                if len(calls) > nth:
                    raise Killed
            return original(path, *args, **kwargs)

        return die

    with patch.context() as inner, suppress(Killed):
        for call in ("replace", "unlink"):
            inner.setattr(Path, call, dying(call))
        yield calls


def test_a_kill_at_any_step_costs_nobody_else_and_the_same_command_goes_on(
    filled: Settings, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt gets a step further than the one before."""
    done: Erasure | None = None
    for nth in count():
        with killing(monkeypatch, nth):
            done = forget(BY_KEY, filled)
        if done:
            break
        assert [row for row in rows(log) if row != "a"] == OTHERS
        assert sum(labels(log)[other] for other in (("b", None), (None, "customer-8"))) == 2
    assert nth > 3
    assert done.predictions == 1
    assert rows(log) == OTHERS
    assert left_of(filled, KEY, ROW_KEY) == []
    assert [line.action for line in audit.lines(USECASE, filled)] == [ACTION]


def test_the_audit_has_one_line_that_names_nobody(config: Settings, write: Callable[..., None]) -> None:
    write_events(write)
    done = forget(BY_KEY, config, why="request 4711")
    [line] = audit.lines(USECASE, config)
    assert (line.action, line.who, line.why) == (ACTION, audit.person(), "request 4711")
    assert line.evidence | {"erasure": ""} == {
        "erasure": "",
        "subject": done.subject,
        "by": "key",
        "predictions": 1,
        "labels": 2,
        "images": 0,
        "reports": 0,
        "versions": [],
    }
    assert KEY.encode() not in msgspec.json.encode(line)
    assert done.subject == BY_KEY.digest(config.mask_secret())
    assert BY_KEY.digest(b"another secret of 32 characters.") != done.subject


def test_a_dry_run_counts_and_changes_nothing(filled: Settings) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path(filled.log_root).rglob("*") if path.is_file()} | {
            path: path.read_bytes() for path in filled.spool.rglob("*.jsonl")
        }

    before = content()
    done = forget(BY_KEY, filled, dry_run=True)
    assert (done.dry_run, done.predictions, done.labels) == (True, 1, 2)
    assert content() == before
    assert journal.unfinished(filled, USECASE) is None


def test_an_unfinished_erasure_comes_before_another_one_and_is_finished_without_its_key(
    config: Settings, log: Log, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(write)
    ship(config)
    with killing(monkeypatch, 2):
        forget(BY_KEY, config, why="request 4711")
    with pytest.raises(ServiceError, match="--resume"):
        forget(Subject(USECASE, "key", "customer-8"), config)
    assert journal.resume(config, USECASE) == BY_KEY
    forget(journal.resume(config, USECASE), config)
    assert rows(log) == OTHERS
    assert [line.why for line in audit.lines(USECASE, config)] == ["request 4711"]
    with pytest.raises(NotFound, match="--key or --row-key"):
        journal.resume(config, USECASE)


def test_an_outage_of_elasticsearch_ends_the_erasure_and_it_goes_on_later(
    config: Settings, log: Log, write: Callable[..., None]
) -> None:
    write_events(write)
    with pytest.raises(ServiceError, match="cannot be reached"):
        forget(BY_KEY, config.model_copy(update={"elasticsearch_url": NOWHERE}))
    assert rows(log) == OTHERS
    assert audit.lines(USECASE, config) == []
    done = forget(journal.resume(config, USECASE), config)
    assert (done.predictions, done.labels) == (1, 2)
    [line] = audit.lines(USECASE, config)
    assert line.evidence["predictions"] == 1


def test_a_segment_that_a_server_writes_is_rewritten_when_it_is_complete(config: Settings, log: Log) -> None:
    writer = Writer(config.spool, USECASE, "prediction")
    assert writer.write(prediction("a", key=KEY) + prediction("b"))
    timer = threading.Timer(0.3, writer.close)
    timer.start()
    try:
        assert forget(BY_KEY, config).predictions == 1
    finally:
        timer.join()
    assert rows(log) == ["b"]


def test_a_rewritten_segment_is_compared_with_elasticsearch_before_it_is_sent(
    config: Settings, write: Callable[..., None]
) -> None:
    write(prediction("a", key=KEY), prediction("b"))
    write(prediction("a", 1, key=KEY))
    write(prediction("c"))
    before = segments(config.spool, USECASE)
    for segment in before:
        checkpoints.write(segment, segment.path.stat().st_size)
    forget(BY_KEY, config)
    new, other = sorted(segments(config.spool, USECASE), key=lambda segment: segment.path == before[2].path)
    assert (checkpoints.read(new), checkpoints.read(other)) == (0, other.path.stat().st_size)
    assert len([*config.spool.rglob("*.elasticsearch")]) == 2


def test_a_segment_that_no_server_completes_is_named(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_MORE_SECONDS", -2 * config.segment_seconds)
    writer = Writer(config.spool, USECASE, "prediction")
    assert writer.write(prediction("a", key=KEY))
    with pytest.raises(ServiceError, match=r"jsonl\.open has events of the subject"):
        forget(BY_KEY, config)
    writer.close()
    assert forget(BY_KEY, config).predictions == 1


@pytest.mark.parametrize("shipped", [False, True])
def test_an_image_goes_if_no_other_event_has_it(config: Settings, shipped: bool) -> None:
    own, shared = "a" * 64, "b" * 64
    with_image = b'"photo":{"sha256":"%b"}'
    both = b'"photo":{"sha256":"%b"},"back":{"sha256":"%b"}' % (own.encode(), shared.encode())
    mine = prediction("a", key=KEY).replace(b'"age":40', both)
    other = prediction("b").replace(b'"age":40', with_image % shared.encode())
    for usecase, line in ((USECASE, mine), ("another", other)):
        writer = Writer(config.spool, usecase, "prediction")
        assert writer.write(line)
        writer.close()
        folder = config.spool / usecase / "images"
        folder.mkdir()
        for digest in (own, shared):
            (folder / digest).write_bytes(b"PNG")
    if shipped:
        ship(config)
    assert forget(BY_KEY, config).images == 1
    assert {path.name for path in config.var.rglob("images/*")} == {shared}


@pytest.mark.parametrize("shipped", [False, True])
def test_lines_that_are_no_events_are_removed_if_they_mention_the_subject(
    config: Settings, write: Callable[..., None], shipped: bool
) -> None:
    cut = prediction("a", key=KEY)[:-40] + b"\n"
    write(cut, b"garbage\n", prediction("b"))
    if shipped:
        ship(config)
    assert forget(BY_KEY, config, dry_run=True).bad_lines == 1
    done = forget(BY_KEY, config)
    assert (done.predictions, done.bad_lines, done.has_found) == (0, 1, True)
    ship(config)
    [bad] = Path(config.log_root).rglob("*.bad")
    assert bad.read_bytes() == b"garbage\n"


def test_a_file_that_cannot_be_read_is_named(config: Settings, log: Log, write: Callable[..., None]) -> None:
    write_events(write)
    ship(config)
    name = f"{partitions(config, 'prediction', USECASE)}/{START:%Y-%m-%d}/prediction-broken.parquet"
    object_store(config).put(name, b"\x00\xff" * 3_000)
    assert list(forget(BY_KEY, config).unreadable) == [name]
    assert rows(log) == OTHERS


def test_columns_of_a_newer_release_stay(config: Settings, write: Callable[..., None]) -> None:
    import duckdb

    write_events(write)
    ship(config)
    for path in Path(config.log_root, "predictions").rglob("*.parquet"):
        query = f"SELECT *, 7 AS \"slipway.of_tomorrow\" FROM read_parquet('{path}')"
        duckdb.sql(f"COPY ({query}) TO '{path}.new' (FORMAT parquet)")
        Path(f"{path}.new").rename(path)
    forget(BY_KEY, config)
    files = [str(path) for path in Path(config.log_root, "predictions").rglob("*.parquet")]
    found = duckdb.sql(f'SELECT count(*), sum("slipway.of_tomorrow") FROM read_parquet({files})').fetchall()
    assert found == [(3, 21)]


def test_pages_of_verdicts_with_a_day_of_the_subject_are_replaced(config: Settings, write: Callable[..., None]) -> None:
    write_events(write)
    folder, store = verdict.folder(config, USECASE), object_store(config)
    for stem, day in (("with", "2026-03-01"), ("without", "2026-03-02")):
        window = {"since": f"{day}T00:00:00.000Z", "until": f"{day}T23:00:00.000Z"}
        store.put(f"{folder}/{stem}.json", json.dumps({"window": window}).encode())
        store.put(f"{folder}/{stem}.html", b"a page")
        store.put(f"{folder}/{stem}-evidently.html", b"a page")
    assert forget(BY_KEY, config).reports == ["with-evidently.html", "with.html"]
    pages = {name: store.read(f"{folder}/{name}") for name in store.names(folder) if name.endswith(".html")}
    assert pages == {
        "with.html": REMOVED,
        "with-evidently.html": REMOVED,
        "without.html": b"a page",
        "without-evidently.html": b"a page",
    }
