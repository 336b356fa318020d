"""`slipway predict`: answers without a server, by the predictor that the server has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.options import Json, UseCaseName, print_json
from slipway.console import say
from slipway.errors import InputError, SlipwayError

if TYPE_CHECKING:
    from slipway.contracts.schema import Schema
    from slipway.inference import Predictor
    from slipway.settings import Settings

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="'{…}' | FILE...", help="JSON, - for standard input, a table, or images."),
]
Version = Annotated[str | None, typer.Option("--version", metavar="N", help="This version instead of the champion.")]
Bundle = Annotated[
    Path | None, typer.Option("--bundle", metavar="DIR", help="This bundle, whatever the registry says.")
]
_BATCH = 1000
_MOST_WARNINGS = 20


def command(
    name: UseCaseName, inputs: Inputs, version: Version = None, bundle: Bundle = None, as_json: Json = False
) -> None:
    """Answer rows, a file or images without a server.

    Rows come as JSON ('{"age": 42}', a list, a request's body) or in a .json, .jsonl, .csv or .parquet file. The
    champion answers: this machine's where a server follows it, else the registry's.
    """
    from bentos.commands import input_rows
    from bentos.follower import bundle_resolver
    from slipway.inference import Predictor
    from slipway.serving_state import desired
    from slipway.settings import settings

    if version and bundle:
        raise typer.BadParameter("--version and --bundle exclude each other.")
    found = settings()
    directory = bundle or (
        bundle_resolver.resolve_version(name, version, found)
        if version
        else bundle_resolver.resolve_champion(name, found)
    )
    number = _check(directory, name)
    stored = desired.stored_version(directory)
    predictor = Predictor(directory, found.device)
    try:
        answer = _answer(predictor, input_rows.read(inputs, predictor.schema), found)
    except InputError as error:
        raise SlipwayError(f"{error.place}: {error}" if error.place else str(error)) from None
    answer = {"model": {"name": name, "version": stored.version if stored else number}, **answer}
    _say_warnings(answer, predictor)
    if as_json:
        print_json(answer)
    else:
        _print(answer, predictor.schema)


def _check(directory: Path, name: str) -> str:
    """The bundle's digest, shortened, its bytes being what they should; failed gates are told and not in the way."""
    from slipway.contracts.bundle import gate_report, signing
    from slipway.contracts.bundle import manifest as bundle
    from slipway.errors import BundleError
    from slipway.system import files

    manifest = bundle.verify(directory, serving_only=True)
    signing.require(directory)
    if manifest.usecase != name:
        raise BundleError(f"the bundle in {directory} is of the use case {manifest.usecase!r}, not of {name!r}.")
    verdict = gate_report.read_gate_report(directory)
    if not verdict.passed:
        say(f"warning: its gates failed: {' '.join(verdict.reasons)}")
    return files.file_sha256(directory / bundle.MANIFEST)[:12]


def _answer(predictor: Predictor, unchecked: list[Any], settings: Settings) -> dict[str, Any]:
    """`{request_id, predictions, warnings}`, as the server answers."""
    import msgspec

    from slipway.ids import row_id, uuid7

    feeds = predictor.encode(_checked(predictor.schema, unchecked, settings))
    request = uuid7()
    predictions: list[dict[str, Any]] = []
    for start in range(0, len(unchecked), _BATCH):
        outputs = predictor.run({name: values[start : start + _BATCH] for name, values in feeds.items()})
        predictions += msgspec.to_builtins(predictor.decode(outputs))
    entries = [{"id": row_id(request, index), **found} for index, found in enumerate(predictions)]
    warnings = msgspec.to_builtins(predictor.encoder.warnings(feeds))
    return {"request_id": request, "predictions": entries, "warnings": warnings}


def _checked(schema: Schema, unchecked: list[Any], settings: Settings) -> list[dict[str, Any]]:
    """The rows as the server takes them: checked, images decoded, private values masked."""
    from slipway.contracts.schema import mask
    from slipway.inference import images_decoded
    from slipway.inference.instance_parser import InstanceParser

    rows = images_decoded(schema, InstanceParser(schema).rows(unchecked), settings.max_pixels)
    if schema.masked:
        secret = settings.mask_secret()
        rows = [mask(row, schema, secret) for row in rows]
    return rows


def _say_warnings(answer: dict[str, Any], predictor: Predictor) -> None:
    model = answer["model"]
    synthetic = ", trained on synthetic data" if predictor.schema.synthetic else ""
    say(f"{model['name']} version {model['version']} on {predictor.device}{synthetic}")
    for one in answer["warnings"][:_MOST_WARNINGS]:
        say(f"warning: instances[{one['instance']}].{one['feature']}: {one['reason'].replace('_', ' ')}")
    if (more := len(answer["warnings"]) - _MOST_WARNINGS) > 0:
        say(f"warning: and {more} more; --json has them all")


def _print(answer: dict[str, Any], schema: Schema) -> None:
    """A line for each row: the label or value, then what it rests on."""
    for one in answer["predictions"]:
        if "value" in one:
            typer.echo(f"{one['value']:.6g} {schema.unit}".rstrip())
        elif schema.positive:
            typer.echo(f"{one['label']}\tP({schema.positive}) = {one['score']:.4f}, threshold {schema.threshold:.4f}")
        else:
            typer.echo(f"{one['label']}\tP = {one['score']:.4f}")
