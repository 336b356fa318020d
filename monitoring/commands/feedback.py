"""`slipway feedback`: labels from a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.options import Json, UseCaseName, print_json
from slipway.console import say, track


def command(
    name: UseCaseName,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CSV, Parquet or JSON lines: id or key; label or value; known_at if it is known."
        ),
    ],
    url: Annotated[str | None, typer.Option(help="Address of the service; by default that of the settings.")] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Append them to this machine's prediction log, without a server.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send labels of earlier predictions."""
    from monitoring.labels import label_summary, label_table, upload
    from slipway.errors import ServiceError
    from slipway.settings import settings

    if offline and url:
        raise typer.BadParameter("--offline sends nothing: leave --url out")
    rows = label_table.read_rows(file)
    if offline:
        table = label_table.parse(rows, upload.stored_schema(name))
        sent = upload.append(name, table.entries)
    else:
        address = url or settings().server_urls[0]
        table = label_table.parse(rows, upload.served_schema(name, address))
        sent = upload.send(name, table.entries, address, track)
    say(f"labels of {name}: {sent.labels} went to {sent.to}")
    try:
        found = label_summary.summarize(name, table.entries, log_is_here=offline or url is None)
    except (ServiceError, OSError) as error:
        say(f"the prediction log cannot be read, so it is not known which predictions the labels match: {error}")
        found = label_summary.summarize(name, table.entries, log_is_here=False)
    for sentence in [*table.sentences, *found.sentences]:
        say(sentence)
    if as_json:
        print_json(asdict(found) | sent.to_dict() | {"unlabelled": table.unlabelled})
