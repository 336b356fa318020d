"""Files of dead workers: there are as many after many deaths as after one, and no count is lost or doubled."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, values
from prometheus_client.parser import text_string_to_metric_families

from bentos.telemetry import dead_workers
from bentos.telemetry.metrics import Metrics
from bentos.telemetry.metrics_file import MetricsFile
from bentos.telemetry.reserved_file import ReservedFile
from bentos.telemetry.shared_files import SharedFiles, forget_dead_workers, prepare

DEAD = 1 << 22  # and what follows: above every process id
STEPS = [(os, "posix_fallocate"), (os, "truncate"), (Path, "replace"), (Path, "unlink")]


class Killed(BaseException):
    """The process ends here."""


def count(monkeypatch: pytest.MonkeyPatch, pid: int, *seconds: float) -> None:
    """Count requests as the worker with this process id."""
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda: pid))
    metrics = Metrics(CollectorRegistry())
    for each in seconds:
        metrics.request("loans", "predict", 200, each)
        metrics.of(metrics.predictions, "loans", "1", "champion", "good").inc()
    metrics.of(metrics.in_flight, "loans").set(1)
    metrics.flush()
    ReservedFile.opened.clear()


def counts(files: SharedFiles) -> dict[tuple[str, str], float]:
    """What a scrape has, but for gauges."""
    families = text_string_to_metric_families(files.text().decode())
    samples = [sample for family in families if family.type != "gauge" for sample in family.samples]
    return {(sample.name, str(sample.labels)): sample.value for sample in samples}


def check(folder: Path, files: SharedFiles, before: dict[tuple[str, str], float]) -> None:
    """Check that scrapes have these counts; seconds may be more, by a rounding."""
    for found in (counts(files), counts(SharedFiles(folder))):
        assert found.keys() == before.keys()
        for (name, labels), value in before.items():
            most = value * (1 + 1e-13) if name.endswith("_sum") else value
            assert value <= found[name, labels] <= most


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith("gauge")}


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, at: int, end: Callable[[], object]) -> None:
    """Call `end` in place of the call of a function with this number."""
    calls, real = iter(range(1000)), getattr(owner, name)

    def interrupted(*args: object, **kwargs: object) -> object:
        return end() if next(calls) == at else real(*args, **kwargs)

    monkeypatch.setattr(owner, name, interrupted)


def kill() -> None:
    raise Killed


def refuse() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_many_deaths_leave_one_file_per_kind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = SharedFiles(folder)
    count(monkeypatch, os.getpid(), 0.25)
    for number in range(20):
        count(monkeypatch, DEAD + number, 0.25, 0.5)
        before = counts(files)
        forget_dead_workers()
        check(folder, files, before)
    own = {f"{kind}_{os.getpid()}.db" for kind in ("counter", "histogram")}
    assert names(folder) == own | {"counter_dead.db", "histogram_dead.db"}
    assert sum(value for (name, _), value in before.items() if name == "slipway_predictions_total") == 41


@pytest.mark.parametrize("end", [kill, refuse])
@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("step", STEPS, ids=[name for _, name in STEPS])
def test_an_end_at_any_step_neither_loses_nor_doubles(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[object, str], at: int, end: Callable[[], object]
) -> None:
    count(monkeypatch, DEAD, 0.25)
    forget_dead_workers()
    for pid in (DEAD + 1, DEAD + 2):
        count(monkeypatch, pid, 0.5)
    count(monkeypatch, os.getpid(), 0.25)
    files = SharedFiles(folder)
    before = counts(files)
    with monkeypatch.context() as ended:
        interrupt(ended, *step, at, end)
        with contextlib.suppress(Killed):
            forget_dead_workers()
    check(folder, files, before)
    forget_dead_workers()
    check(folder, files, before)
    assert not [name for name in names(folder) if str(DEAD)[:-1] in name or not name.endswith(".db")]


@pytest.mark.parametrize("at", range(8))
def test_a_scrape_meanwhile_sees_each_count_once(folder: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    for pid in (DEAD, DEAD + 1):
        count(monkeypatch, pid, 0.25)
    forget_dead_workers()
    for pid in (DEAD + 2, DEAD + 3):
        count(monkeypatch, pid, 0.5)
    files, read, calls = SharedFiles(folder), MetricsFile.read, iter(range(1000))
    before = counts(files)

    def read_late(file: MetricsFile) -> bool:
        if next(calls) == at:
            forget_dead_workers()
        return read(file)

    monkeypatch.setattr(MetricsFile, "read", read_late)
    check(folder, files, before)
    assert f"counter_{DEAD + 2}.db" not in names(folder)


def test_a_process_with_the_id_of_one_that_was_taken_in_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count(monkeypatch, DEAD, 0.25)
    (folder / f"counter_{DEAD}.db").rename(folder / f"counter_{os.getpid()}.db")
    before = counts(SharedFiles(folder))
    with monkeypatch.context() as earlier:
        earlier.setattr(dead_workers, "_is_dead", lambda path: path.stem != "counter_dead")
        interrupt(earlier, Path, "unlink", 2, kill)  # after that of the draft, before and after it is written
        with pytest.raises(Killed):
            forget_dead_workers()
    assert dead_workers.taken_in(folder / "counter_dead.db")
    prepare()
    count(monkeypatch, os.getpid(), 0.25)
    after = counts(SharedFiles(folder))
    predicted = [key for key in before if key[0] == "slipway_predictions_total"]
    assert [after[key] - before[key] for key in predicted] == [1]


@pytest.mark.parametrize("damaged", [f"counter_{DEAD}.db", "counter_dead.db"])
def test_a_damaged_file_stays_aside(folder: Path, monkeypatch: pytest.MonkeyPatch, damaged: str) -> None:
    count(monkeypatch, DEAD + 1, 0.25)
    count(monkeypatch, DEAD + 2, 0.25)
    (folder / damaged).write_bytes(b"\x7f" * 4096)
    files = SharedFiles(folder)
    before = counts(files)
    forget_dead_workers()
    check(folder, files, before)
    assert (folder / damaged).read_bytes() == b"\x7f" * 4096


def test_rounding_takes_no_sum_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, files = random.Random(7), SharedFiles(folder)
    seconds = [(0.1, 0.2, 0.3), *([chance.random() for _ in range(4)] for _ in range(8))]
    for number, of_workers in enumerate(seconds):  # 0.1 + 0.2 + 0.3 is more than 0.6
        for worker, each in enumerate(of_workers):
            count(monkeypatch, DEAD + 10 * number + worker, each)
        before = counts(files)
        forget_dead_workers()
        check(folder, files, before)


def test_a_version_is_left_out_of_the_sum_of_the_dead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count(monkeypatch, DEAD, 0.25)
    forget_dead_workers()
    dead_workers.forget(folder, usecase="loans", version="1")
    found = counts(SharedFiles(folder))
    assert found and not [key for key in found if "version" in key[1]]
