"""`slipway predict`: predicts without a server, with the same predictor."""

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
Bundle = Annotated[Path | None, typer.Option("--bundle", metavar="DIR", help="This bundle, without a registry.")]
Decode = Annotated[
    bool, typer.Option("--decode", help="Decode tables by the use case's decode.py first, as training does.")
]
_BATCH = 1000
_MOST_WARNINGS = 20


def command(
    name: UseCaseName,
    inputs: Inputs,
    version: Version = None,
    bundle: Bundle = None,
    decode: Decode = False,
    as_json: Json = False,
) -> None:
    """Predict rows, a file or images without a server.

    Rows are JSON ('{"age": 42}', a list, a request's body), a .json or .jsonl file, or a table: a file of the form that
    the model was trained on, a .csv file with a header, or .parquet. The champion predicts: the one on this machine if
    a server follows it here, else the registry's.
    """
    from bentos.commands import input_rows
    from slipway.config import decoder
    from slipway.inference import Predictor
    from slipway.serving_state import desired
    from slipway.settings import settings

    if version and bundle:
        raise typer.BadParameter("--version and --bundle exclude each other.")
    config = settings()
    directory = bundle or _resolve_bundle(name, version, config)
    number = _verify_bundle(directory, name)
    stored = desired.stored_version(directory)
    predictor = Predictor(directory, config.device)
    try:
        rows = input_rows.read(inputs, predictor.schema, decoder(name) if decode else None)
        result = _predict(predictor, rows, config)
    except InputError as error:
        raise SlipwayError(f"{error.place}: {error}" if error.place else str(error)) from None
    result = {"model": {"name": name, "version": stored.version if stored else number}, **result}
    _print_warnings(result, predictor)
    if as_json:
        print_json(result)
    else:
        _print_predictions(result, predictor.schema)


def _resolve_bundle(name: str, version: str | None, config: Settings) -> Path:
    from bentos.follower import bundle_resolver

    if version:
        return bundle_resolver.resolve_version(name, version, config)
    return bundle_resolver.resolve_champion(name, config)


def _verify_bundle(directory: Path, name: str) -> str:
    """Verify the bundle, and return the start of its digest. Failed gates are a warning only."""
    from slipway.contracts.bundle import gate_report, manifest, signing
    from slipway.errors import BundleError
    from slipway.system import files

    content = manifest.verify(directory, serving_only=True)
    signing.require(directory)
    if content.usecase != name:
        raise BundleError(f"the bundle in {directory} is of the use case {content.usecase!r}, not of {name!r}.")
    verdict = gate_report.read_gate_report(directory)
    if not verdict.passed:
        say(f"warning: its gates failed: {' '.join(verdict.reasons)}")
    return files.file_sha256(directory / manifest.MANIFEST)[:12]


def _predict(predictor: Predictor, unchecked: list[Any], settings: Settings) -> dict[str, Any]:
    """Return `{request_id, predictions, warnings}`, as in the server's response."""
    import msgspec

    from slipway.ids import row_id, uuid7

    feeds = predictor.encode(_parse(predictor.schema, unchecked, settings))
    request = uuid7()
    predictions: list[dict[str, Any]] = []
    for start in range(0, len(unchecked), _BATCH):
        outputs = predictor.run({name: values[start : start + _BATCH] for name, values in feeds.items()})
        predictions += msgspec.to_builtins(predictor.decode(outputs))
    entries = [{"id": row_id(request, index), **found} for index, found in enumerate(predictions)]
    warnings = msgspec.to_builtins(predictor.encoder.warnings(feeds))
    return {"request_id": request, "predictions": entries, "warnings": warnings}


def _parse(schema: Schema, unchecked: list[Any], settings: Settings) -> list[dict[str, Any]]:
    """Parse rows as the server does: checked, with images decoded and private values masked."""
    from slipway.contracts.schema import mask
    from slipway.inference import PixelLimits, images_decoded
    from slipway.inference.instance_parser import InstanceParser

    rows = images_decoded(schema, InstanceParser(schema).rows(unchecked), PixelLimits(settings.max_pixels))
    if schema.masked:
        secret = settings.mask_secret()
        rows = [mask(row, schema, secret) for row in rows]
    return rows


def _print_warnings(result: dict[str, Any], predictor: Predictor) -> None:
    model = result["model"]
    synthetic = ", trained on synthetic data" if predictor.schema.synthetic else ""
    say(f"{model['name']} version {model['version']} on {predictor.device}{synthetic}")
    for one in result["warnings"][:_MOST_WARNINGS]:
        say(f"warning: instances[{one['instance']}].{one['feature']}: {one['reason'].replace('_', ' ')}")
    if (more := len(result["warnings"]) - _MOST_WARNINGS) > 0:
        say(f"warning: and {more} more; --json has them all")


def _print_predictions(result: dict[str, Any], schema: Schema) -> None:
    """Print a line for each row: the label with its probability, or the value."""
    for one in result["predictions"]:
        if "value" in one:
            typer.echo(f"{one['value']:.6g} {schema.unit}".rstrip())
        elif schema.positive:
            typer.echo(f"{one['label']}\tP({schema.positive}) = {one['score']:.4f}, threshold {schema.threshold:.4f}")
        else:
            typer.echo(f"{one['label']}\tP = {one['score']:.4f}")
