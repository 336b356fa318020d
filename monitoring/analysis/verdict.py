"""Verdict: the conclusion from the drift results, and its file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from monitoring.analysis.drift import DriftResult
from slipway.errors import DataError
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.timestamps import parse

NONE, DRIFT, TOO_LITTLE_DATA = "none", "drift", "too_little_data"
LATEST = "latest.json"


class _Effect(msgspec.Struct):
    value: float


class _Test(msgspec.Struct):
    name: str
    method: str
    drifted: bool
    effect: _Effect


class _Score(msgspec.Struct):
    value: float
    low: float | None = None
    high: float | None = None


class _Quality(msgspec.Struct):
    coverage: float
    sentence: str
    metrics: dict[str, _Score]
    labelled: int = 0
    label_delay_seconds: float | None = None


class _LeftOut(msgspec.Struct):
    files: int = 0


class _Verdict(msgspec.Struct):
    """The part of a verdict that others read."""

    usecase: str
    created: str
    verdict: str
    sentence: str
    features: list[_Test]
    predictions: list[_Test]
    quality: _Quality | None
    synthetic: bool
    report: str | None = None
    notes: list[str] = []
    missing_reports: list[str] = []
    left_out: _LeftOut = msgspec.field(default_factory=_LeftOut)


def conclude(results: Sequence[DriftResult], rows: int, least: int) -> dict[str, Any]:
    """Conclude the verdict: its kind and sentence, the columns that `drifted`, and an entry per test."""
    drifted = list(dict.fromkeys(result.name for result in results if result.drifted))
    kind = TOO_LITTLE_DATA if rows < least else DRIFT if drifted else NONE
    return {
        "verdict": kind,
        "sentence": _sentence(kind, drifted, rows, least),
        "drifted": drifted,
        "features": [_entry(result) for result in results if result.of == "feature"],
        "predictions": [_entry(result) for result in results if result.of == "prediction"],
    }


def folder(settings: Settings, usecase: str) -> str:
    """Folder of a use case's verdicts and their pages under SLIPWAY_LOG_URL."""
    return f"verdicts/{settings.environment}/{usecase}"


def write(settings: Settings, verdict: dict[str, Any], name: str) -> None:
    """Write the verdict under `name` and as `latest.json`, each atomically."""
    content = json.dumps(verdict, indent=1, ensure_ascii=False, allow_nan=False).encode()
    for each in (name, LATEST):
        object_store(settings).put(f"{folder(settings, verdict['usecase'])}/{each}", content)


def latest(settings: Settings, usecase: str) -> dict[str, Any] | None:
    """Read the last verdict of a use case, or None.

    Raises:
        ServiceError, OSError: the log cannot be read.
        DataError: the file is no verdict.
    """
    name = f"{folder(settings, usecase)}/{LATEST}"
    try:
        content = object_store(settings).read(name)
    except FileNotFoundError:
        return None
    try:
        parse(msgspec.json.decode(content, type=_Verdict).created)
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no verdict: {error}. The next `slipway monitor {usecase}` replaces it.") from None


def _entry(result: DriftResult) -> dict[str, Any]:
    entry = asdict(result)
    effect = {"measure": entry.pop("measure"), "value": entry.pop("effect"), "minimum": entry.pop("minimum")}
    del entry["of"]
    return {**entry, "effect": effect}


def _sentence(kind: str, drifted: Sequence[str], rows: int, least: int) -> str:
    if kind == TOO_LITTLE_DATA:
        return f"Too little data: {rows:,} predictions, at least {least:,} are needed for a verdict."
    if kind == NONE:
        return "No drift: inputs and predictions look like the data that the model was evaluated on."
    return f"Drift in {_listed(drifted)}: no longer as in the data that the model was evaluated on."


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:4], f"{len(names) - 4} more"] if len(names) > 5 else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
