"""Erasure of a subject, from the log to the audit line. Each step can be repeated, and a kill costs none of them.

    forget(Subject("credit_risk", "key", "customer-7"), settings())

The log comes first, since Elasticsearch can be filled from it again; then what was made of its events; then the audit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from monitoring.erasure import captured_images
from monitoring.erasure.journal import Journal, open_journal
from monitoring.erasure.log_eraser import LogEraser
from monitoring.erasure.reports import erase_reports
from monitoring.erasure.search_documents import erase_documents, erase_refused
from monitoring.erasure.subject import Subject
from monitoring.erasure.training_data import TrainedOn, TrainingData
from monitoring.governance.history import readable_lines
from slipway import audit
from slipway.errors import ServiceError
from slipway.settings import Settings
from slipway.system import locks

ACTION = "log.erased"
_ERASURE = "erasure"


@dataclass(frozen=True)
class Erasure:
    """Result of an erasure: counts of what was removed, or would be in a dry run, and what could not be reached.

    `subject` is a digest. `versions` and `runs` have tables with the subject, `unreadable` files may have its events.
    """

    usecase: str
    environment: str
    subject: str
    dry_run: bool
    predictions: int
    labels: int
    bad_lines: int
    images: int
    documents: int
    reports: list[str]
    versions: list[TrainedOn]
    runs: list[str]
    unreadable: dict[str, str]

    @property
    def has_found(self) -> bool:
        """Whether anything of the subject was there."""
        return bool(self.predictions or self.labels or self.bad_lines or self.documents)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def forget(
    subject: Subject,
    config: Settings,
    *,
    why: str = "",
    dry_run: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Erasure:
    """Remove a subject's events and what was made of them, or go on with an erasure that was interrupted.

    Raises:
        ServiceError, RegistryError, OSError: a part cannot be reached now; the same command goes on later.
        DataError: a file of the log cannot be rewritten.
    """
    with _alone(config, subject):
        journal = open_journal(config, subject, why, dry_run=dry_run)
        journal.save()
        done = _erase(config, journal, dry_run=dry_run, say=say)
        if not dry_run:
            if done.has_found:
                _record(config, journal, done)
            journal.close()
        return done


def _erase(config: Settings, journal: Journal, *, dry_run: bool, say: Callable[[str], None]) -> Erasure:
    subject, traces = journal.record.subject, journal.record.traces
    say("the prediction log")
    log = LogEraser(config, journal, dry_run=dry_run)
    log.erase()
    say("Elasticsearch")
    documents = erase_documents(config, subject, traces, dry_run=dry_run)
    documents += erase_refused(config, subject, traces, dry_run=dry_run)
    say("captured images")
    images = captured_images.unused(config, traces.images, traces.rows)
    if not dry_run:
        captured_images.remove(config, images)
    say("reports")
    reports = erase_reports(config, subject.usecase, traces.days, dry_run=dry_run)
    say("tables of trainings")
    tables = TrainingData(config, subject, traces)
    return Erasure(
        subject.usecase,
        config.environment,
        subject.digest(config.mask_secret()),
        dry_run,
        len(traces.rows),
        len(traces.labels),
        log.bad_lines,
        len(images),
        documents,
        reports,
        tables.versions(),
        tables.runs(),
        log.unreadable,
    )


def _record(config: Settings, journal: Journal, done: Erasure) -> None:
    """Write the audit line, once for each erasure: one that was killed after it has the same id."""
    usecase, id = done.usecase, journal.record.id
    lines, _ = readable_lines(usecase, config)
    if any(line.action == ACTION and line.evidence.get(_ERASURE) == id for line in lines):
        return
    evidence = {
        _ERASURE: id,
        "subject": done.subject,
        "by": journal.record.subject.field,
        "predictions": done.predictions,
        "labels": done.labels,
        "images": done.images,
        "reports": len(done.reports),
        "versions": [each.version for each in done.versions if each.is_certain],
    }
    audit.append(usecase, ACTION, who=audit.person(), why=journal.record.why, evidence=evidence, config=config)


@contextmanager
def _alone(config: Settings, subject: Subject) -> Iterator[None]:
    """Keep two erasures on this machine apart; the journal does so on two machines."""
    try:
        with locks.try_exclusive(config.var / "erasure.lock"):
            yield
    except BlockingIOError:
        raise ServiceError(
            f"another erasure runs on this machine: wait for its end before you erase from {subject.usecase}."
        ) from None
