"""Command `slipway traffic`: send realistic requests, with drift of a chosen kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Json, UseCaseName, print_json
from slipway.console import track

if TYPE_CHECKING:
    from scenarios.traffic.generator import Report


Rows = Annotated[int | None, typer.Option(min=1, metavar="N", help="How many rows; all that are left where left out.")]
Rate = Annotated[float, typer.Option(min=0.01, metavar="R", help="Rows a second.")]
Drift = Annotated[
    str | None,
    typer.Option(
        metavar="KIND", help="shift, scale, missing, new-category, prior, noise or brightness; none if left out."
    ),
]
DriftFeature = Annotated[
    str | None, typer.Option(metavar="F", help="The feature that drifts; the first that KIND fits if left out.")
]
Strength = Annotated[float, typer.Option(min=0.01, max=3, help="How strong: 1 shifts by one standard deviation.")]
Labels = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of the rows whose label follows.")]
LabelDelay = Annotated[float, typer.Option(min=0, metavar="S", help="Seconds until a label follows.")]
Url = Annotated[str | None, typer.Option(help="The service's address; that of the settings where left out.")]
Seed = Annotated[int, typer.Option(min=0, help="Order of the rows, and chance in what drifts.")]
Restart = Annotated[bool, typer.Option("--restart", help="Begin again with the first row of the order.")]
File = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Send the rows of a CSV or Parquet file instead, in its order."),
]
Decode = Annotated[
    bool, typer.Option("--decode", help="Decode the file by the use case's decode.py first, as training does.")
]


def command(
    name: UseCaseName,
    rows: Rows = None,
    rate: Rate = 50,
    drift: Drift = None,
    feature: DriftFeature = None,
    strength: Strength = 1,
    labels: Labels = 0,
    label_delay: LabelDelay = 0,
    url: Url = None,
    seed: Seed = 7,
    restart: Restart = False,
    file: File = None,
    decode: Decode = False,
    as_json: Json = False,
) -> None:
    """Send realistic requests, with drift of a chosen kind.

    The rows are of the champion's holdout, none twice; another run goes on where the last one ended.
    Ctrl-C ends it with the report of what was sent.
    """
    from scenarios.traffic.generator import TrafficPlan, send

    if decode and file is None:
        raise typer.BadParameter("--decode is for the rows of a file: give one by --from.")
    plan = TrafficPlan(rows, rate, drift, feature, strength, labels, label_delay, seed, restart, file, decode)
    report = send(name, plan, url, track)
    if as_json:
        print_json(report.to_dict())
    else:
        typer.echo(_summary(report))
    if report.failures or report.labels["failed"]:
        raise typer.Exit(1)


def _summary(report: Report) -> str:
    versions = ", ".join(f"version {version}: {count}" for version, count in sorted(report.versions.items()))
    times = report.latency_ms
    lines = [
        f"{report.sent} rows of {report.usecase} in {report.seconds:.1f} s, {report.failures} failed.",
        f"answered by {versions or 'nobody'}",
    ]
    lines += [f"  {count} × {reason}" for reason, count in report.reasons.items()]
    if times:
        lines.append(f"latency: p50 {times['p50']:.1f} ms, p99 {times['p99']:.1f} ms")
    if report.drift:
        lines.append(f"drift: {report.drift}" + (f" of {report.feature}" if report.feature else ""))
    if any(report.labels.values()):
        lines.append(f"labels: {report.labels['sent']} sent, {report.labels['failed']} failed")
    if report.holdout_rows:
        lines.append(f"holdout: {report.holdout_left} of {report.holdout_rows} rows are left for the next run")
    return "\n".join(lines)
