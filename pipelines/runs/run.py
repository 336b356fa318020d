"""Training runs that survive being killed: each step is a directory that appears complete or not at all.

`var/runs/KEY/STEP/` is written as `.STEP.tmp` and renamed. The same command finds its unfinished run and resumes it
with the cutoff and baseline that were recorded when it began; a finished run is not repeated.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from pipelines.artifacts import Artifact, GatedReport, Registration, RunPaths, SplitReport
from pipelines.labels import labelled_predictions
from pipelines.runs import fingerprint
from pipelines.runs.baseline import Baseline, is_registered, observe_baseline
from pipelines.runs.pruning import prune
from slipway.config import UseCase
from slipway.console import say
from slipway.errors import RunLocked
from slipway.settings import settings
from slipway.system import files, locks
from slipway.telemetry import pipeline_runs
from slipway.telemetry.pipeline_runs import RunResult


class RunRecord(Artifact, frozen=True, kw_only=True):
    """`run.json`: use case, fingerprint and baseline of a run.

    Predictions and labels after `cutoff` are ignored, whenever the run is resumed; `labels` is a digest of the labels
    until then. Both are None for a run that is not registered.
    """

    FILE: ClassVar[str] = "run.json"

    usecase: str
    key: str
    base: dict[str, Any]
    attempt: int
    created: str
    cutoff: str | None
    labels: str | None
    baseline: Baseline = msgspec.field(name="standing")
    overrides: dict[str, str]
    git: dict[str, Any]


class Run:
    """One training run; `step` runs the steps that are not done yet."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.paths = RunPaths.under(settings().runs / record.key)
        self.registers: bool = record.base["register"]
        self.finished_before = self.finished

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return (self.paths.register if self.registers else self.paths.bundle).exists()

    def step(self, name: str, function: Callable[..., None], *args: Any, **kwargs: Any) -> Path:
        """Run `function(*args, **kwargs, out=…)` and return its directory; a step that is done is not run again.

        The files of a failed step stay in `STEP.failed`, for people.
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
            say(f"{failed} holds the files of the failed step")


@contextmanager
def open_run(usecase: UseCase, overrides: dict[str, str], *, register: bool, fresh: bool) -> Iterator[Run]:
    """Yield the run of this command: an unfinished one, a finished one, or a new one. It is locked for the block.

    Raises:
        RunLocked: another training of the use case is running.
        RegistryError: the registry does not respond, and the run is to be registered.
        ServiceError: the prediction log does not respond, and the run is to be registered.
    """
    settings().runs.mkdir(parents=True, exist_ok=True)
    with training_lock(usecase.name), _recorded(usecase.name, register) as result:
        run = Run(_find_or_create(usecase, overrides, register=register, fresh=fresh))
        with files.replacing(run.paths.root / RunRecord.FILE) as draft:
            run.record.write_file(draft)
        yield run
        _describe(run, result)
        prune(map(Run, _records(usecase.name)), RunRecord.FILE)


def _recorded(name: str, register: bool) -> AbstractContextManager[RunResult]:
    """Record the result for `/metrics`; that of a run which is not registered is nobody's but its starter's."""
    return pipeline_runs.recorded(settings(), name, pipeline_runs.TRAIN) if register else nullcontext(RunResult())


def _describe(run: Run, result: RunResult) -> None:
    """Fill in the result of a run; none for one that was finished before, or is not."""
    if run.finished_before or not (run.registers and run.finished):
        result.outcome = None
        return
    report = GatedReport.read(run.paths.gate)
    result.outcome = pipeline_runs.SUCCEEDED if report.passed else pipeline_runs.REFUSED
    result.gates = Counter(gate.verdict for gate in report.gates)
    result.rows = SplitReport.read(run.paths.split).counts


def _find_or_create(usecase: UseCase, overrides: dict[str, str], *, register: bool, fresh: bool) -> RunRecord:
    """Return the record of the newest run with this fingerprint if it can be resumed or is current, else a new one."""
    base = fingerprint.fingerprint(usecase, register)
    earlier = [record for record in _records(usecase.name) if record.base == base]
    newest = max(earlier, key=lambda record: (record.attempt, record.created), default=None)
    if newest and not fresh and not Run(newest).finished:
        return newest
    created = datetime.now(UTC).isoformat(timespec="microseconds")
    cutoff = created if register else None
    baseline = observe_baseline(usecase.name) if register else Baseline()
    labels = labelled_predictions.labels_digest(usecase, cutoff) if cutoff else None
    if newest and not fresh and newest.labels == labels and _is_current(newest, baseline):
        return newest
    attempt = newest.attempt + fresh if newest else 1
    return RunRecord(
        usecase=usecase.name,
        key=fingerprint.digest_of({"base": base, "standing": asdict(baseline), "cutoff": cutoff, "attempt": attempt}),
        base=base,
        attempt=attempt,
        created=created,
        cutoff=cutoff,
        labels=labels,
        baseline=baseline,
        overrides=overrides,
        git=fingerprint.git_state(),
    )


def _records(name: str) -> Iterator[RunRecord]:
    for path in settings().runs.glob("*/run.json"):
        try:
            record = RunRecord.read(path.parent)
        except (msgspec.ValidationError, ValueError):
            continue  # of another release: its code differs, so the run cannot be resumed
        if record.usecase == name:
            yield record


def _is_current(record: RunRecord, now: Baseline) -> bool:
    """Whether a finished run would have the same baseline today; its own promotion and holdout do not count as changes.

    If the registry has lost the run's version, the step register is made undone.
    """
    run = Run(record)
    if not run.registers:
        return True
    if now.digest not in (record.baseline.digest, Registration.read(run.paths.register).digest):
        return False
    if now.holdout_sha256 not in (record.baseline.holdout_sha256, SplitReport.read(run.paths.split).holdout_sha256):
        return False
    if not is_registered(record.usecase, record.key):
        shutil.rmtree(run.paths.register)
    return True


def _sync(directory: Path) -> None:
    """Flush the files to disk before the directory gets its final name."""
    for path in directory.rglob("*"):
        if path.is_file():
            files.sync(path)


@contextmanager
def training_lock(name: str) -> Iterator[None]:
    """Hold the use case's lock for the length of the block.

    Raises:
        RunLocked: another process holds it; the message names that process.
    """
    path = settings().runs / f"{name}.lock"
    try:
        lock = locks.acquire(path)
    except BlockingIOError:
        raise RunLocked(
            f"a training of {name} is running ({path.read_text().strip() or 'just started'}). "
            "Wait for it, or end that process: the same command then resumes its run."
        ) from None
    with lock:
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {datetime.now(UTC).isoformat(timespec='seconds')}")
        lock.flush()
        yield
