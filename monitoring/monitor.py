"""One monitoring run: from the prediction log to a verdict, a retraining request, the report and the MLflow run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
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
from monitoring.retraining.triggers import request_retraining_if_needed
from slipway import config as usecases
from slipway import timestamps
from slipway.config import UseCase
from slipway.errors import SlipwayError
from slipway.prediction_log import Log
from slipway.settings import settings
from slipway.storage import object_store
from slipway.timestamps import iso

_log = logging.getLogger("slipway.monitor")


def monitor(
    name: str,
    since: datetime | None = None,
    window_rows: int | None = None,
    bundle: Path | None = None,
    detailed: bool | None = None,
) -> dict[str, Any]:
    """Compare the latest predictions with the reference of the version that made them, and return the written verdict.

    The verdict is written before a training is requested, so that no training starts without a
    readable reason; it is written again with the policy's decision (`retraining`) and the addresses of the reports.

    The window is the last `window_rows` predictions, none older than `since`; where neither is given, the use case's
    `monitoring` section decides. `bundle` is the version's bundle where no registry has it, as with `serve --bundle`.
    `detailed` adds Evidently's page, which takes ten seconds and 4 MB; where it is not given, only drift does.

    Raises:
        SlipwayError: there is no such use case, the bundle cannot be fetched, or the log cannot be read or written.
    """
    usecase, now, log = usecases.load(name), datetime.now(UTC), Log(settings())
    oldest = since or now - timedelta(hours=usecase.monitoring.window_hours)
    rows = window_rows or (None if since else usecase.monitoring.window_rows)
    period = windows.last_period(log, name, oldest, now, rows)
    compared = None
    if period:
        folder = bundle or reference_bundle.fetch(settings(), name, period.version, period.digest)
        compared = compare_period(log, usecase, period, folder, oldest)
    found, stem = _verdict(usecase, now, period, compared), timestamps.for_name(now)
    verdict.write(settings(), found, f"{stem}.json")
    if decision := request_retraining_if_needed(found, usecase, settings(), now):
        found["retraining"] = to_dict(decision)
        verdict.write(settings(), found, f"{stem}.json")
    _add_reports(found, stem, compared, detailed)
    verdict.write(settings(), found, f"{stem}.json")
    return found


def _verdict(usecase: UseCase, now: datetime, period: Period | None, compared: Comparison | None) -> dict[str, Any]:
    watch = usecase.monitoring
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
        "notes": compared.notes if compared else [],
        "report": None,
        "evidently": None,
        "mlflow_run_id": None,
    }


def _add_reports(found: dict[str, Any], stem: str, compared: Comparison | None, detailed: bool | None) -> None:
    """Make the pages and the MLflow run, and add their addresses to the verdict."""
    with TemporaryDirectory() as drafts:
        pages = _add_pages(found, Path(drafts) / stem, compared, detailed)
        with _failure_noted(found, "Not recorded in MLflow"):
            found["mlflow_run_id"] = record(found, pages, f"{stem}.json")


def _add_pages(found: dict[str, Any], draft: Path, compared: Comparison | None, detailed: bool | None) -> list[Path]:
    """Make Evidently's page where it is wanted, and the report that links it; return those that were made."""
    pages, links = [], {"this verdict as JSON": f"{draft.name}.json"}
    wanted = found["verdict"] == verdict.DRIFT if detailed is None else detailed
    if wanted and compared and compared.results:
        with _failure_noted(found, "No detailed page by Evidently"):
            details = draft.with_name(f"{draft.name}-evidently.html")
            score(compared.reference, compared.window, compared.results, compared.significance).save(details)
            found["evidently"] = _store(found, details)
            pages, links = [details], {"Evidently's detailed report": details.name, **links}
    with _failure_noted(found, "No report page"):
        report = draft.with_name(f"{draft.name}.html")
        report.write_text(render(found, *((compared.reference, compared.window) if compared else ({}, {})), links))
        found["report"] = _store(found, report)
        pages.insert(0, report)
    return pages


def _store(found: dict[str, Any], page: Path) -> str:
    """Store a page next to the verdict and return its address."""
    store, name = object_store(settings()), f"{verdict.folder(settings(), found['usecase'])}/{page.name}"
    store.put(name, page.read_bytes())
    return f"{store.url}/{name}"


@contextmanager
def _failure_noted(found: dict[str, Any], consequence: str) -> Iterator[None]:
    """Turn an error into a note of the verdict: it is written by now, and no report may take it back."""
    try:
        yield
    except (SlipwayError, OSError) as error:
        found["notes"].append(f"{consequence}: {error}.")
    except Exception as error:  # whatever a template, Evidently or MLflow's client raises
        _log.exception("%s: %s", found["usecase"], consequence)
        found["notes"].append(f"{consequence}: {type(error).__name__}: {error}.")
