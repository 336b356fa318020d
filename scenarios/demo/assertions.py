"""Checks of what each stage of the demo leaves in the registry, the service, the prediction log and the pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from scenarios.harness.checks import Check
from scenarios.harness.release_checks import check_challenger, eventually
from slipway.clients.http import is_healthy
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.clients.mlflow.rest import authorization
from slipway.contracts.registry_names import GATE, REFUSED, RUN_KEY, serving_tag
from slipway.local import LocalServices
from slipway.settings import settings

if TYPE_CHECKING:
    from slipway.prediction_log import Log


def check_trained(registry: Registry, name: str, besides: str | None) -> tuple[ModelVersion, Check]:
    """Return the version that goes on, and its check: the newest, which its gates made the challenger.

    A version of a repeated run has to be better than the champion on the labels of the runs before, and may fail that
    for good reason. Then the newest version that passed goes on, other than `besides`; a first run has none.
    """
    newest, check = check_challenger(registry, name)
    if check.held or newest.tags.get(GATE) != "failed":
        return newest, check
    for earlier in registry.versions(name):
        if earlier.tags.get(GATE) == "passed" and REFUSED not in earlier.tags and earlier.version != besides:
            observed = f"gates failed, as a repeated run may; version {earlier.version} of an earlier run goes on"
            return earlier, Check(name, check.what, True, observed)
    return newest, check


def check_verdict(name: str, verdict: Mapping[str, Any], expected: str, feature: str | None) -> Check:
    """Check that the verdict is the expected one and names the feature that drifted, and no other."""
    named = [entry["name"] for entry in verdict["features"] if entry["drifted"]]
    right = all(entry.startswith(feature or "") for entry in named)
    held = verdict["verdict"] == expected and (expected == "none" or feature is None or (bool(named) and right))
    rows = verdict["window"]["rows"]
    observed = f"{verdict['verdict']} over {rows} predictions" + (f", in {', '.join(named)}" if named else "")
    return Check(name, f"verdict is {expected}", held, observed)


def check_swapped(name: str, versions: Mapping[str, int], first: str, second: str) -> Check:
    """Check that both versions answered requests, and no other."""
    observed = ", ".join(f"version {version}: {count} responses" for version, count in sorted(versions.items()))
    return Check(name, "swapped under traffic", set(versions) == {first, second}, observed or "no responses")


def check_log(name: str, since: datetime, sent: int) -> Iterator[Check]:
    """Check that the prediction log has every prediction once, and that part of it is shipped as Parquet."""
    from slipway.prediction_log import Log

    log = Log(settings())
    events = log.predictions(name, since=since)
    [(rows, distinct)] = events.aggregate('count(*), count(DISTINCT "slipway.row_id")').fetchall()
    yield Check(name, "prediction log", rows == distinct == sent, f"{rows} predictions logged, {sent} sent")
    yield Check(name, "shipped", *eventually(lambda: _shipped_files(log, name)))


def check_reconciled(name: str, version: str) -> Check:
    """Check that the version's tag in the registry says that it serves."""
    registry, key = Registry(), serving_tag(settings().environment)

    def tag() -> tuple[bool, str]:
        state = registry.version(name, version).tags.get(key, "no tag yet")
        return state.startswith("serving"), f"version {version}, {key}: {state.partition(' since')[0]}"

    return Check(name, "reconciled", *eventually(tag))


def check_pages(services: LocalServices) -> Check:
    """Check that every web page answers, MLflow's to who has its login."""
    service = services.url("service")
    urls = [f"{service}/", f"{service}/docs", services.url("status"), services.url("prefect")]
    silent = [url for url in urls if not is_healthy(url, seconds=10)]
    registry = services.url("mlflow")
    if not is_healthy(registry, seconds=10, headers=authorization()):
        silent.append(registry)
    return Check("all", "pages", not silent, f"silent: {', '.join(silent)}" if silent else f"{len(urls) + 1} answer")


def model_card(services: LocalServices, name: str, version: str) -> dict[str, str]:
    """Find the model card of a version in its run's folder."""
    key = Registry().version(name, version).tags.get(RUN_KEY, "")
    path = services.var / "runs" / key / "bundle" / "bundle" / "card.md"
    return {f"{name}: model card": str(path)} if path.is_file() else {}


def _shipped_files(log: Log, name: str) -> tuple[bool, str]:
    count = log.shipped(name)
    return count > 0, f"{count} Parquet files in {settings().log_root}"
