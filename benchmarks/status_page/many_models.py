"""Time and size of the status page with 50 models: `make bench` writes them into docs/how-to/use-the-status-page.md.

Each model has an hour of traffic, budgets, a verdict on 20 features with quality, a decision, both runs, a warning and
an alert, and one in five has a canary with six tests. A request goes through the whole application, without a socket.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.pages import write
from monitoring.rollout import RolloutView
from monitoring.rollout.decision import EvidenceResult
from monitoring.status.app import application
from monitoring.status.dashboard import Dashboard, UseCaseStatus
from monitoring.telemetry.alerts import Alert, FiringAlerts
from monitoring.telemetry.collector import UseCaseTelemetry
from monitoring.telemetry.history import MINUTES, Budgets, LastHour
from monitoring.telemetry.last_runs import Run
from slipway.contracts.objectives import Objectives
from slipway.settings import Settings
from slipway.timestamps import now_iso

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-the-status-page.md"
MODELS = 50
MOST_SECONDS, MOST_BYTES = 0.2, 300_000
_TESTS = ("errors", "model time", "score", "loss", "loss where age is < 25", "share of the label yes")


def model(number: int) -> UseCaseStatus:
    """Make a model; every fifth one, from the first on, has all that the page can show."""
    name, now = f"credit_risk_{number}", now_iso()
    return UseCaseStatus(
        name=name,
        versions=["7", "8"],
        alias="champion",
        aliased="8",
        workers=4,
        tag="serving: 4 of 4 workers",
        source="registry",
        synthetic=False,
        overridden=[],
        trouble=["The newest verdict is of 2026-01-31 12:00 UTC, and one was due later (`schedule.monitor`)."],
        verdict=_verdict(name, now),
        report=f"/verdicts/{name}/20260131T120000000000Z.html",
        retraining=_decision(now),
        links={
            "try it": f"http://10.0.0.1:3000/#{name}",
            "canary and champion": f"/shadow/{name}",
            "versions in MLflow": f"http://10.0.0.2:5000/#/models/{name}",
            "retraining decisions": f"/retraining/{name}",
        },
        rollout=(_rollout(now) if number % 5 == 0 else RolloutView()).to_dict(),
        telemetry=_telemetry(number, now),
    )


def _verdict(name: str, now: str) -> dict[str, Any]:
    effect = {"measure": "wasserstein", "value": 0.8, "minimum": 0.1}
    tests = [{"name": f"feature_{i}", "method": "ks", "drifted": i < 3, "effect": effect} for i in range(20)]
    score = {"value": 0.91, "low": 0.89, "high": 0.93}
    return {
        "usecase": name,
        "created": now,
        "version": "8",
        "verdict": "drift",
        "sentence": "Drift in feature_0, feature_1, feature_2: no longer as in the data that it was evaluated on.",
        "features": tests,
        "predictions": [],
        "quality": {
            "coverage": 0.25,
            "metrics": {"accuracy": score, "roc_auc": score, "log_loss": score},
            "sentence": "2,500 of 10,000 predictions have a label. Worse than on the reference: accuracy.",
        },
        "notes": ["The report of Evidently could not be written."],
    }


def _decision(now: str) -> dict[str, Any]:
    return {
        "outcome": "refused",
        "reason": "The last training started 3 h ago; `retraining.cooldown_hours` is 24.",
        "asked_for": "drift",
        "asked_by": "slipway monitor",
        "times": 17,
        "last": now,
        "url": None,
    }


def _rollout(now: str) -> RolloutView:
    tests = [EvidenceResult(test, 0.12, 0.1, 400, 3_000, -0.01, 0.05, 0.02, "open") for test in _TESTS]
    return RolloutView(
        0, "", "8", "7", 25.0, 2, [5, 25, 50, 100], now, now, tests, "waits for 600 of 1,000 predictions."
    )


def _telemetry(number: int, now: str) -> UseCaseTelemetry:
    """Traffic with a day's ups and downs, no two minutes alike."""
    waves = [1 + math.sin(minute / 7 + number) ** 2 + minute % 3 / 10 for minute in range(MINUTES)]
    hour = LastHour([100 * wave for wave in waves], [wave / 1000 for wave in waves], [wave / 100 for wave in waves])
    runs = [Run("train", "refused", now, 421.5, {"passed": 8, "failed": 1}), Run("monitor", "succeeded", now, 4.2, {})]
    return UseCaseTelemetry(hour, Budgets(0.71, 0.18, 86_400.0), Objectives(), runs)


def board(models: int) -> Dashboard:
    found = [model(number) for number in range(models)]
    alerts = [
        Alert("SlipwayDrift", "warning", one.name, "The inputs drift: feature_0, feature_1.", now_iso(), "")
        for one in found
    ]
    return Dashboard("production", now_iso(), [], found, [], FiringAlerts(alerts, len(alerts)))


async def requested(shown: Dashboard, times: int) -> tuple[float, int]:
    """Request the page, and return the median of the seconds, and its bytes."""
    with TemporaryDirectory() as folder:
        app = application(Settings(var=Path(folder)), lambda: shown, lambda: True)
        seconds = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            for _ in range(times + 1):  # the first one compiles
                started = time.perf_counter()
                answer = await client.get("/")
                seconds.append(time.perf_counter() - started)
    return median(seconds[1:]), len(answer.content)


def table(models: int, seconds: float, size: int) -> list[str]:
    """Format the lines of the page."""
    return [
        "| status page | measured | at most |",
        "| --- | ---: | ---: |",
        f"| time of a request, {models} models | {1000 * seconds:.0f} ms | {1000 * MOST_SECONDS:.0f} ms |",
        f"| size, {models} models | {size / 1000:.0f} kB | {MOST_BYTES / 1000:.0f} kB |",
    ]


def main() -> None:
    """Run the benchmark and write its table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=MODELS, help=f"models on the page (default: {MODELS})")
    parser.add_argument("--times", type=int, default=30, help="requests, whose median counts (default: 30)")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the table into")
    options = parser.parse_args()
    lines = table(options.models, *asyncio.run(requested(board(options.models), options.times)))
    write(lines, options.page)
    sys.stdout.write("\n".join(lines) + f"\nwritten to {options.page}\n")


if __name__ == "__main__":
    main()
