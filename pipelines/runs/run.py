"""Runs that survive being killed: each step is a directory that appears whole, under a key of all that went into it.

`var/runs/KEY/STEP/` is written as `.STEP.tmp` and renamed. The same command finds its unfinished run and goes on with
what that one recorded when it began; a finished run is found finished.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.artifacts import RunPaths, read_json, write_json
from pipelines.labels import labelled_predictions
from pipelines.runs import fingerprint
from pipelines.runs.baseline import Baseline, is_registered, observe_baseline
from slipway.config import UseCase
from slipway.console import say
from slipway.errors import RunLocked
from slipway.settings import settings


@dataclass(frozen=True)
class RunRecord:
    """`run.json`: what a run is of, and what it found when it began.

    Of the prediction log counts what came before `cutoff`, whenever the run is gone on with; `labels` is what was
    labelled by then. Both are None for a run that is not registered.
    """

    usecase: str
    key: str
    base: dict[str, Any]
    attempt: int
    created: str
    cutoff: str | None
    labels: str | None
    standing: Baseline
    overrides: dict[str, str]
    git: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        content = read_json(path)
        return cls(**{**content, "standing": Baseline(**content["standing"])})


class Run:
    """One training: `step` runs what is not done yet."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.paths = RunPaths.under(settings().runs / record.key)
        self.registers: bool = record.base["register"]
        self.finished_before = self.finished

    @property
    def finished(self) -> bool:
        return (self.paths.register if self.registers else self.paths.bundle).exists()

    def step(self, name: str, function: Callable[..., None], *args: Any, **kwargs: Any) -> Path:
        """`function(*args, **kwargs, out=…)`'s directory; where it is complete already, the function is not called.

        What a failed step wrote stays beside it as `STEP.failed`, for people.
        """
        done, draft = self.paths.root / name, self.paths.root / f".{name}.tmp"
        if done.exists():
            say(f"{name}: done before")
            return done
        started = time.monotonic()
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            function(*args, **kwargs, out=draft)
        except Exception:
            self._keep_failed(draft, self.paths.root / f"{name}.failed")
            raise
        _sync(draft)
        draft.rename(done)
        say(f"{name}: {time.monotonic() - started:.1f} s")
        return done

    def _keep_failed(self, draft: Path, failed: Path) -> None:
        shutil.rmtree(failed, ignore_errors=True)
        draft.rename(failed)
        if any(failed.iterdir()):
            say(f"{failed} holds what the step left")


@contextmanager
def open_run(usecase: UseCase, overrides: dict[str, str], *, register: bool, fresh: bool) -> Iterator[Run]:
    """The run of that command: the one to go on with, a finished one, or a new one. No other can be begun meanwhile.

    Raises:
        RunLocked: another training of the use case is under way.
        RegistryError: the registry does not answer, and the run is to be registered.
        ServiceError: the prediction log does not answer, and the run is to be registered.
    """
    settings().runs.mkdir(parents=True, exist_ok=True)
    with training_lock(usecase.name):
        run = Run(_record(usecase, overrides, register=register, fresh=fresh))
        run.paths.root.mkdir(exist_ok=True)
        draft = run.paths.root / ".run.json.tmp"
        write_json(draft, asdict(run.record))
        draft.rename(run.paths.root / "run.json")
        yield run


def _record(usecase: UseCase, overrides: dict[str, str], *, register: bool, fresh: bool) -> RunRecord:
    base = fingerprint.fingerprint(usecase, register)
    before = [record for record in _records(usecase.name) if record.base == base]
    newest = max(before, key=lambda record: (record.attempt, record.created), default=None)
    if newest and not fresh and not Run(newest).finished:
        return newest
    created = datetime.now(UTC).isoformat(timespec="microseconds")
    cutoff = created if register else None
    standing = observe_baseline(usecase.name) if register else Baseline()
    labels = labelled_predictions.labels_digest(usecase, cutoff) if cutoff else None
    if newest and not fresh and newest.labels == labels and _stands(newest, standing):
        return newest
    attempt = newest.attempt + fresh if newest else 1
    key = fingerprint.digest_of({"base": base, "standing": asdict(standing), "cutoff": cutoff, "attempt": attempt})
    return RunRecord(
        usecase.name, key, base, attempt, created, cutoff, labels, standing, overrides, fingerprint.git_state()
    )


def _records(name: str) -> Iterator[RunRecord]:
    for path in settings().runs.glob("*/run.json"):
        try:
            record = RunRecord.load(path)
        except (TypeError, KeyError, ValueError):
            continue  # another release's: its code differs, so none of its runs is ours to go on with
        if record.usecase == name:
            yield record


def _stands(record: RunRecord, now: Baseline) -> bool:
    """Whether a finished run would find today what it found then; its own promotion and holdout are no news.

    Where the registry has lost its version, registering is not done, and its other steps are.
    """
    run = Run(record)
    if not run.registers:
        return True
    result, sides = read_json(run.paths.register / "result.json"), read_json(run.paths.split / "split.json")
    if now.digest not in (record.standing.digest, result["digest"]):
        return False
    if now.holdout_sha256 not in (record.standing.holdout_sha256, sides["holdout_sha256"]):
        return False
    if not is_registered(record.usecase, record.key):
        shutil.rmtree(run.paths.register)
    return True


def _sync(directory: Path) -> None:
    """Bring the files to the disk before the directory's name says that they are there."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


@contextmanager
def training_lock(name: str) -> Iterator[None]:
    """Hold the use case's lock for the length of the block.

    Raises:
        RunLocked: another process holds it; the message names it.
    """
    path = settings().runs / f"{name}.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunLocked(
                f"a training of {name} is under way ({lock.read().strip() or 'just begun'}). "
                "Wait for it, or end that process: the same command then goes on where it stopped."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {datetime.now(UTC).isoformat(timespec='seconds')}")
        lock.flush()
        yield
