"""Publication of a written verdict: its pages and its MLflow run. What fails is a finding in it, and never its end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monitoring.analysis import verdict
from monitoring.analysis.comparison import Comparison
from monitoring.reports.evidently_report import score
from monitoring.reports.html_report import render
from monitoring.reports.mlflow_run import record
from slipway.errors import SlipwayError
from slipway.settings import settings
from slipway.storage import object_store

PAGE, EVIDENTLY, MLFLOW = "page", "evidently", "mlflow"
REPORTS = (PAGE, EVIDENTLY, MLFLOW)
_log = logging.getLogger("slipway.monitor")


def wanted(found: dict[str, Any], compared: Comparison | None, detailed: bool | None) -> list[str]:
    """The reports that a verdict should have: its `missing_reports` until they are made.

    A process that dies while it makes one leaves a verdict that says what is missing.
    """
    details = found["verdict"] == verdict.DRIFT if detailed is None else detailed
    return [PAGE, *([EVIDENTLY] if details and compared and compared.results else []), MLFLOW]


def publish(found: dict[str, Any], stem: str, compared: Comparison | None) -> None:
    """Make the missing reports and add their addresses to the verdict."""
    with TemporaryDirectory() as drafts:
        draft, links = Path(drafts) / stem, {"this verdict as JSON": f"{stem}.json"}
        pages = []
        if compared and EVIDENTLY in found["missing_reports"]:
            with _made(found, EVIDENTLY, "No detailed page by Evidently"):
                details = _evidently(found, draft, compared)
                pages, links = [details], {"Evidently's detailed report": details.name, **links}
        with _made(found, PAGE, "No report page"):
            pages.insert(0, _page(found, draft, compared, links))
        with _made(found, MLFLOW, "Not recorded in MLflow"):
            others = [report for report in found["missing_reports"] if report != MLFLOW]
            found["mlflow_run_id"] = record({**found, "missing_reports": others}, pages, f"{stem}.json")


def _evidently(found: dict[str, Any], draft: Path, compared: Comparison) -> Path:
    page = draft.with_name(f"{draft.name}-evidently.html")
    score(compared.reference, compared.window, compared.results, compared.significance).save(page)
    found["evidently"] = _store(found, page)
    return page


def _page(found: dict[str, Any], draft: Path, compared: Comparison | None, links: dict[str, str]) -> Path:
    page = draft.with_name(f"{draft.name}.html")
    tables = (compared.reference, compared.window) if compared else ({}, {})
    page.write_text(render(found, *tables, links), encoding="utf-8")
    found["report"] = _store(found, page)
    return page


def _store(found: dict[str, Any], page: Path) -> str:
    """Store a page next to the verdict and return its address."""
    store, name = object_store(settings()), f"{verdict.folder(settings(), found['usecase'])}/{page.name}"
    store.put(name, page.read_bytes())
    return f"{store.url}/{name}"


@contextmanager
def _made(found: dict[str, Any], report: str, consequence: str) -> Iterator[None]:
    """Note an error in the verdict, and leave the report among the missing ones; else it is made."""
    try:
        yield
    except (SlipwayError, OSError) as error:
        found["notes"].append(f"{consequence}: {error}.")
    except Exception as error:  # whatever a template, Evidently or MLflow's client raises
        _log.exception("%s: %s", found["usecase"], consequence)
        found["notes"].append(f"{consequence}: {type(error).__name__}: {error}.")
    else:
        found["missing_reports"].remove(report)
