"""One monitoring run: from the prediction log to a verdict, a retraining request, the report and the MLflow run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitoring.analysis import reference_bundle, verdict, windows
from monitoring.analysis.comparison import Comparison, compare_period
from monitoring.analysis.windows import Period
from monitoring.reports import publication
from monitoring.retraining.decisions import to_dict
from monitoring.retraining.triggers import request_retraining_if_needed
from slipway import config as usecases
from slipway import timestamps
from slipway.config import UseCase
from slipway.contracts.bundle import manifest
from slipway.errors import BundleError
from slipway.prediction_log import LeftOut, Log, describe
from slipway.settings import settings
from slipway.system.files import file_sha256
from slipway.telemetry import pipeline_runs
from slipway.timestamps import iso

_MOST_NAMED = 100
_log = logging.getLogger("slipway.monitor")


def monitor(
    name: str,
    since: datetime | None = None,
    window_rows: int | None = None,
    bundle: Path | None = None,
    detailed: bool | None = None,
) -> dict[str, Any]:
    """Compare the latest predictions with the reference of the version that made them, and return the written verdict.

    The verdict is written before a training is requested, so that no training starts without a readable reason, and
    before any report is made, so that no report can take it back. It is written again with the policy's decision
    (`retraining`), and with the addresses of the reports; `missing_reports` are those that failed.

    The window is the last `window_rows` predictions, none older than `since`; where neither is given, the use case's
    `monitoring` section decides. `bundle` is the version's bundle where no registry has it, as with `serve --bundle`.
    `detailed` adds Evidently's page, which takes ten seconds and 4 MB; where it is not given, only drift does.

    Raises:
        SlipwayError: there is no such use case, the bundle cannot be fetched, or the log cannot be read or written.
    """
    usecase = usecases.load(name)
    with pipeline_runs.recorded(settings(), name, pipeline_runs.MONITOR) as run:
        found = _compare(usecase, since, window_rows, bundle, detailed)
        run.rows = {"window": found["window"]["rows"]}
        return found


def _compare(
    usecase: UseCase, since: datetime | None, window_rows: int | None, bundle: Path | None, detailed: bool | None
) -> dict[str, Any]:
    name, now, log = usecase.name, datetime.now(UTC), Log(settings())
    oldest = since or now - timedelta(hours=usecase.monitoring.window_hours)
    rows = window_rows or (None if since else usecase.monitoring.window_rows)
    period = windows.last_period(log, name, oldest, now, rows)
    compared = None
    if period:
        folder = _given(bundle, period) or reference_bundle.fetch(settings(), name, period.version, period.digest)
        compared = compare_period(log, usecase, period, folder, oldest)
    found, stem = _verdict(usecase, now, period, compared, log.left_out), timestamps.for_name(now)
    found["missing_reports"] = publication.wanted(found, compared, detailed)
    verdict.write(settings(), found, f"{stem}.json")
    if decision := request_retraining_if_needed(found, usecase, settings(), now):
        found["retraining"] = to_dict(decision)
        verdict.write(settings(), found, f"{stem}.json")
    publication.publish(found, stem, compared)
    verdict.write(settings(), found, f"{stem}.json")
    _log_verdict(found)
    return found


def _log_verdict(found: dict[str, Any]) -> None:
    """Log the verdict as a line that Kibana's dashboard of the model finds by `event.action`."""
    about = {"usecase": found["usecase"], "model_version": found["version"]}
    action = {"kind": "event", "action": f"verdict.{found['verdict']}"}
    _log.info("%s: %s", found["usecase"], found["sentence"], extra={"event": action, "slipway": about})


def _given(bundle: Path | None, period: Period) -> Path | None:
    """The bundle that was given, which must be the one that made the latest predictions."""
    if bundle is None:
        return None
    found = bundle / manifest.MANIFEST
    digest = file_sha256(found) if found.is_file() else "without a manifest"
    if digest != period.digest:
        raise BundleError(
            f"{bundle} is the bundle {digest[:18]}; the latest predictions are of version {period.version}, the bundle "
            f"{period.digest[:18]}: give the folder of that one, or leave --bundle out if the registry has it."
        )
    return bundle


def _verdict(
    usecase: UseCase, now: datetime, period: Period | None, compared: Comparison | None, left_out: Sequence[LeftOut]
) -> dict[str, Any]:
    watch, notes = usecase.monitoring, compared.notes if compared else []
    return {
        "usecase": usecase.name,
        "environment": settings().environment,
        "created": iso(now),
        "version": period.version if period else None,
        "bundle_sha256": period.digest if period else None,
        "window": {
            "since": iso(period.since) if period else None,
            "until": iso(now),
            "rows": period.rows if period else 0,
            "sampled": compared.sampled if compared else 0,
        },
        "reference": {"rows": compared.reference_rows if compared else 0},
        **verdict.conclude(compared.results if compared else [], period.rows if period else 0, watch.min_rows),
        "alarm_rate": compared.significance if compared else watch.significance,
        "quality": compared.quality if compared else None,
        "retraining": None,
        "synthetic": compared.schema.synthetic if compared else False,
        "notes": [*notes, *filter(None, [describe(left_out)])],
        "left_out": {
            "files": len(left_out),
            "lines": sum(each.lines for each in left_out),
            "named": [asdict(each) for each in left_out[:_MOST_NAMED]],
        },
        "report": None,
        "evidently": None,
        "mlflow_run_id": None,
        "missing_reports": [],
    }
