"""`slipway forget`: removes a subject's predictions, labels and images, and names what it cannot reach."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Json, UseCaseName, print_json
from slipway.console import say

if TYPE_CHECKING:
    from monitoring.erasure.erasure import Erasure
    from monitoring.erasure.subject import Subject
    from slipway.settings import Settings

_NAMED = 5


def command(
    name: UseCaseName,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Key that callers gave with the predictions; `-`: read from standard input."),
    ] = None,
    row_key: Annotated[
        str | None, typer.Option(metavar="ROW_KEY", help="Pseudonym of the row, `slipway.row_key` of its events.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Finish an erasure that was interrupted, whose key is not at hand.")
    ] = False,
    why: Annotated[str, typer.Option(metavar="TEXT", help="Reason for the audit, without personal data.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be removed; remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a subject's events from log, spool, Elasticsearch, captured images and reports, for good.

    What it cannot reach is named: versions whose training data has the subject, runs of this machine, unreadable files.
    After a kill, the same command goes on. The audit gets one line, without the key. Exits with 1 if files of the log
    could not be read.
    """
    from monitoring.erasure.erasure import forget
    from slipway.settings import settings

    subject = _subject(name, key, row_key, resume, settings())
    done = forget(subject, settings(), why=why, dry_run=dry_run, say=say)
    if as_json:
        print_json(done.to_dict())
    else:
        typer.echo("\n".join(_lines(done)))
    if done.unreadable:
        raise typer.Exit(1)


def _subject(name: str, key: str | None, row_key: str | None, resume: bool, config: Settings) -> Subject:
    from monitoring.erasure import journal
    from monitoring.erasure.subject import Subject

    if sum((key is not None, row_key is not None, resume)) != 1:
        raise typer.BadParameter("give one of --key, --row-key and --resume")
    _require_known(name, config)
    if resume:
        return journal.resume(config, name)
    if key == "-":
        key = sys.stdin.readline().rstrip("\r\n")
    value = row_key if key is None else key
    if not value:
        raise typer.BadParameter("the key is empty")
    return Subject(name, "row_key" if key is None else "key", value)


def _require_known(name: str, config: Settings) -> None:
    """Raise UseCaseError for a name that neither the log nor this machine knows: a mistyped one would find nothing."""
    from monitoring.erasure import journal
    from slipway import config as usecases
    from slipway.ecs_logging.spool_handler import FOLDER
    from slipway.errors import UseCaseError, suggestion
    from slipway.prediction_log import layout
    from slipway.storage import object_store

    store = object_store(config)
    known = {*usecases.names(), *layout.usecases(store, config), *journal.usecases(config)}
    if config.spool.is_dir():
        known |= {path.name for path in config.spool.iterdir() if path.is_dir() and path.name != FOLDER}
    if name not in known:
        raise UseCaseError(
            f"{config.environment} has no log of a use case {name!r}.{suggestion(name, sorted(known))} "
            f"There are: {', '.join(sorted(known)) or 'none'}."
        )


def _lines(done: Erasure) -> list[str]:
    counts = {
        "predictions": done.predictions,
        "labels": done.labels,
        "lines that are no events": done.bad_lines,
        "captured images": done.images,
        "documents in Elasticsearch": done.documents,
        "report pages": len(done.reports),
    }
    found = [f"  {number:>7,}  {what}" for what, number in counts.items() if number]
    verb = "would be removed" if done.dry_run else "removed"
    head = f"{done.usecase} in {done.environment}, subject {done.subject}: {verb if found else 'nothing was found'}"
    return [head, *(found or ["  No event has this key: is it written as in the events?"]), *_unreached(done)]


def _unreached(done: Erasure) -> list[str]:
    """Name what is left, with what to do about it."""
    versions = [
        f"  version {each.version}{_in_use(each.aliases)}: {table} {state}"
        for each in done.versions
        for table, state in each.tables.items()
    ]
    lines = ["", "Not reached", *versions, *(f"  {run}: has rows of the subject" for run in done.runs)]
    lines += [f"  {file}: {why}" for file, why in [*done.unreadable.items()][:_NAMED]]
    if versions:
        lines.append("Remove the subject from the source, train anew, and delete these versions with their runs.")
    if done.runs:
        lines.append("Remove these folders: they are caches of finished trainings.")
    if done.unreadable:
        lines.append(f"{len(done.unreadable)} files cannot be read: restore or remove them, and run this again.")
    return lines if len(lines) > 2 else []


def _in_use(aliases: Sequence[str]) -> str:
    return f" ({', '.join(aliases)})" if aliases else ""
