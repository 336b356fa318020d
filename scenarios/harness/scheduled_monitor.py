"""Monitors run as their schedule does: by their deployments, with no option, over whatever the window holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scenarios.harness.checks import Check
from slipway.clients.prefect import PrefectClient
from slipway.errors import ServiceError
from slipway.settings import settings


def start_monitors(names: Sequence[str]) -> dict[str, str]:
    """Start `monitor/NAME` of every use case and return the flow runs."""
    prefect = PrefectClient(settings().prefect_uri)
    return {name: prefect.start(f"monitor/{name}", {}) for name in names}


def read_verdicts(runs: Mapping[str, str], say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Wait for the end of flow runs and return their verdicts.

    Raises:
        ServiceError: a flow run failed, or left no verdict.
    """
    from monitoring.analysis import verdict

    verdicts = {}
    for name, run in PrefectClient(settings().prefect_uri).wait(runs, say).items():
        found = verdict.latest(settings(), name)
        if not run.completed or found is None:
            raise ServiceError(f"monitor/{name} ended {run.state}: {run.message} See the log of the runner.")
        verdicts[name] = found
    return verdicts


def check_all_versions_and_reports(name: str, verdict: Mapping[str, Any], expected: Sequence[str]) -> Check:
    """Check that the verdict's window has responses of the expected versions, and that it has all its reports."""
    versions = _versions(name, verdict)
    missing = verdict["missing_reports"]
    observed = f"{verdict['verdict']} over versions {' and '.join(versions)}; " + (
        f"missing: {', '.join(missing)} ({'; '.join(verdict['notes'])})" if missing else "every report is there"
    )
    return Check(name, "scheduled monitor", set(expected) <= set(versions) and not missing, observed)


def _versions(name: str, verdict: Mapping[str, Any]) -> list[str]:
    from slipway.prediction_log import Log

    window = verdict["window"]
    predictions = Log(settings()).predictions(name, window["since"], window["until"])
    found = predictions.select('"slipway.model_version" AS version').distinct().order("version")
    return [version for (version,) in found.fetchall()]
