"""`slipway elk`: sets up this environment's Elasticsearch and Kibana, and says how the streams are."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.options import Json, print_json
from slipway.console import say

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from monitoring.elk.capabilities import Capabilities
    from monitoring.elk.setup import Plan
    from monitoring.elk.status import StreamStatus
    from slipway.settings import Settings


class Action(StrEnum):
    setup, status = "setup", "status"


def command(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference, and change nothing.")] = False,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Make an API key for each role, in files in this folder; none by default."),
    ] = None,
    kibana: Annotated[
        str, typer.Option(metavar="URL", help="Import data views, searches and dashboards into this Kibana.")
    ] = "",
    space: Annotated[str, typer.Option(metavar="NAME", help="Kibana's space.")] = "default",
    as_json: Json = False,
) -> None:
    """Set up Elasticsearch: templates, lifecycles, ingest pipelines and roles of this environment's data streams.

    It can be run again at any time, and changes only what differs. `status` shows what each stream holds, what is late,
    unreadable or refused, and what to do. The address and the credentials are ELASTICSEARCH_URL, ELASTICSEARCH_API_KEY
    or ELASTICSEARCH_API_KEY_FILE, and ELASTICSEARCH_CA_CERTS. API keys are made by a user with a password, since a key
    cannot make other keys.
    """
    from slipway.clients.elasticsearch.connection import connect
    from slipway.settings import settings

    client = connect(settings())
    if action is Action.status:
        return _status(client, settings(), as_json)
    _setup(client, settings(), keys, space, dry_run=dry_run, as_json=as_json)
    if kibana:
        _import(settings(), kibana, space, dry_run=dry_run)
    return None


def _setup(
    client: Elasticsearch, config: Settings, keys: Path | None, space: str, *, dry_run: bool, as_json: bool
) -> None:
    from monitoring.elk.setup import apply, plan

    planned = plan(client, config, keys, space)
    _name_lacks(planned.server)
    if planned.server.lifecycle:
        kept = ", ".join(f"{dataset} {_days(days)}" for dataset, days in planned.days.items())
        say(f"Events are kept: {kept}.")
    if as_json:
        print_json(_as_document(planned))
    elif dry_run:
        _show(planned)
    if not dry_run:
        apply(client, config, planned, say)
    if keys and not planned.server.security:
        say("no API keys: a server without security has none")
    kept = len(planned.changes) - len(planned.pending)
    done = "would be changed" if dry_run else "changed"
    say(f"{config.environment}: {len(planned.pending)} resources {done}, {kept} unchanged")


def _name_lacks(server: Capabilities) -> None:
    say(f"Elasticsearch {server.version}, licence: {server.licence}")
    for lack in server.lacks:
        say(f"It lacks {lack.feature}: {lack.consequence}.")


def _days(number: int | None) -> str:
    return "for ever" if number is None else f"{number} day{_s(number)}"


def _show(planned: Plan) -> None:
    for change in planned.pending:
        typer.echo(str(change))
        for line in change.diff():
            typer.echo(line)
    for stream in planned.rolled_over:
        typer.echo(f"roll over {stream}")
    for key in planned.keys:
        typer.echo(str(key))


def _as_document(planned: Plan) -> dict[str, Any]:
    return {
        "server": asdict(planned.server),
        "lacks": [asdict(lack) for lack in planned.server.lacks],
        "retention_days": dict(planned.days),
        "changes": [
            {
                "action": change.action,
                "kind": change.resource.kind.name,
                "name": change.resource.name,
                "diff": change.diff(),
            }
            for change in planned.changes
        ],
        "rolled_over": planned.rolled_over,
        "keys": [{"action": key.action, "name": key.name, "file": str(key.file)} for key in planned.keys],
    }


def _import(config: Settings, kibana: str, space: str, *, dry_run: bool) -> None:
    from monitoring.elk.kibana_api import import_objects, plan_import
    from monitoring.elk.sources import saved_objects
    from slipway.clients.elasticsearch.connection import api_key

    run = plan_import if dry_run else import_objects
    verbs = ("would create", "would overwrite") if dry_run else ("created", "overwrote")
    named = "" if space == "default" else space
    found = run(kibana, saved_objects(), space=named, api_key=api_key(config))
    for verb, names in zip(verbs, (found.created, found.overwritten), strict=True):
        for name in names:
            say(f"{verb} {name} in the space {space} of Kibana")


def _status(client: Elasticsearch, config: Settings, as_json: bool) -> None:
    from monitoring.elk.status import status

    found = status(client, config)
    if as_json:
        streams = [asdict(stream) for stream in found.streams]
        return print_json({"server": asdict(found.server), "streams": streams, "problems": found.problems})
    _name_lacks(found.server)
    for problem in found.problems:
        say(problem)
    for stream in found.streams:
        typer.echo(_line(stream))
        for advice in stream.advice:
            typer.echo(f"  {advice}")
    return None


def _line(stream: StreamStatus) -> str:
    shipping = "" if stream.lag_seconds is None else f", {stream.lag_seconds:.0f} s behind"
    shipping += "" if stream.refused is None else f", {stream.refused} refused"
    if not stream.indices:
        return f"{stream.stream}: not there yet{shipping}"
    times = f", {stream.oldest} to {stream.newest}" if stream.oldest else ""
    size = f"{stream.documents} document{_s(stream.documents)}, {stream.bytes / 1e6:.1f} MB"
    indices = "1 index" if stream.indices == 1 else f"{stream.indices} indices"
    return f"{stream.stream}: {size} in {indices}{times}{shipping}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"
