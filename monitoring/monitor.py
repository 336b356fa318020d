"""Monitoring once: from the prediction log to a verdict, its page, and its record in MLflow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monitoring.analysis import reference_bundle, verdict, windows
from monitoring.analysis.comparison import Comparison, compare_period
from monitoring.analysis.windows import Period
from monitoring.reports.evidently_report import score
from monitoring.reports.html_report import render
from monitoring.reports.mlflow_run import record
from monitoring.retraining.decisions import to_dict
from monitoring.retraining.triggers import request_by_verdict
from slipway import config as usecases
from slipway.config import UseCase
from slipway.errors import RegistryError
from slipway.prediction_log import Log
from slipway.settings import settings
from slipway.storage import object_store


def monitor(
    name: str,
    since: datetime | None = None,
    window_rows: int | None = None,
    bundle: Path | None = None,
    detailed: bool | None = None,
) -> dict[str, Any]:
    """Compare the last answers with the reference of the version that gave them, and leave the verdict: that dict.

    Where it is a reason to train again, the retraining policy is asked, and its decision is `retraining`.

    The window is the last `window_rows` answers, none older than `since`; where neither is given, the use case's
    `monitoring` says how many and how old. `bundle` is that version's bundle where no registry has it, as with
    `serve --bundle`; `detailed` adds Evidently's page, which takes ten seconds and 4 MB: where it is not given, only
    drift does.

    Raises:
        SlipwayError: there is no such use case, the bundle cannot be had, or the log's place fails.
    """
    usecase, now, log = usecases.load(name), datetime.now(UTC), Log(settings())
    oldest = since or now - timedelta(hours=usecase.monitoring.window_hours)
    rows = window_rows or (None if since else usecase.monitoring.window_rows)
    period = windows.last_period(log, name, oldest, now, rows)
    compared = None
    if period:
        folder = bundle or reference_bundle.fetch(settings(), name, period.version, period.digest)
        compared = compare_period(log, period, folder, usecase.monitoring.min_rows, oldest)
    found = _verdict(usecase, now, period, compared)
    if decision := request_by_verdict(found, usecase, settings(), now):
        found["retraining"] = to_dict(decision)
    return _leave(found, now, compared, detailed)


def _verdict(usecase: UseCase, now: datetime, period: Period | None, compared: Comparison | None) -> dict[str, Any]:
    watch = usecase.monitoring
    return {
        "usecase": usecase.name,
        "environment": settings().environment,
        "created": _iso(now),
        "version": period.version if period else None,
        "bundle_sha256": period.digest if period else None,
        "window": {
            "since": _iso(period.since) if period else None,
            "until": _iso(now),
            "rows": period.rows if period else 0,
            "sampled": compared.sampled if compared else 0,
        },
        "reference": {"rows": compared.reference_rows if compared else 0},
        **verdict.conclude(compared.findings if compared else [], period.rows if period else 0, watch.min_rows),
        "alarm_rate": compared.significance if compared else watch.significance,
        "quality": compared.quality if compared else None,
        "retraining": None,
        "synthetic": compared.schema.synthetic if compared else False,
        "notes": compared.notes if compared else [],
        "report": None,
        "evidently": None,
        "mlflow_run_id": None,
    }


def _leave(found: dict[str, Any], now: datetime, compared: Comparison | None, detailed: bool | None) -> dict[str, Any]:
    """Write the pages, the MLflow run and, last, the verdict that names them; without MLflow it says so."""
    at, folder = object_store(settings()), verdict.folder(settings(), found["usecase"])
    stem = now.strftime("%Y%m%dT%H%M%S%fZ")
    told = f"{stem}.json"
    wanted = found["verdict"] == verdict.DRIFT if detailed is None else detailed
    with TemporaryDirectory() as drafts:
        page, details = (Path(drafts) / f"{stem}{ending}" for ending in (".html", "-evidently.html"))
        pages, links = [page], {"this verdict as JSON": told}
        if wanted and compared and compared.findings:
            score(compared.reference, compared.window, compared.findings, compared.significance).save(details)
            pages, links = [page, details], {"Evidently's detailed report": details.name, **links}
        addresses = {each: f"{at.url}/{folder}/{each.name}" for each in pages}
        found |= {"report": addresses[page], "evidently": addresses.get(details)}
        page.write_text(render(found, *((compared.reference, compared.window) if compared else ({}, {})), links))
        for each in pages:
            at.put(f"{folder}/{each.name}", each.read_bytes())
        try:
            found["mlflow_run_id"] = record(found, pages, told)
        except RegistryError as error:
            found["notes"].append(f"Not recorded in MLflow: {error}.")
    verdict.write(settings(), found, told)
    return found


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
