"""What each stage of the demo must have left behind, where a person would look: registry, server, log, pages."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from scenarios.harness.checks import Check
from slipway.clients.http import is_healthy
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.registry_names import CHALLENGER
from slipway.local import Home
from slipway.settings import settings

if TYPE_CHECKING:
    from slipway.prediction_log import Log

SETTLE_SECONDS = 40.0


def challenger(registry: Registry, name: str) -> tuple[ModelVersion, Check]:
    """The newest version, and whether its gates let it become the challenger."""
    newest, alias = registry.versions(name)[0], registry.model(name).aliases.get(CHALLENGER)
    gate = newest.tags.get("slipway.gate", "no verdict")
    held = gate.startswith("passed") and alias == newest.version
    return newest, Check(name, f"version {newest.version} registered", held, f"gates {gate}, challenger is {alias}")


def served(here: Home, name: str, version: str) -> Check:
    """Whether the service says that every worker serves the version, as soon as all of them have started."""
    wanted = [version] * (settings().workers or len(os.sched_getaffinity(0)))

    def workers() -> tuple[bool, str]:
        asked = urllib.request.Request(f"{here.url('service')}/v1/models/{name}", headers=settings().authorization)
        with urllib.request.urlopen(asked, timeout=10) as answer:
            said = json.load(answer)
        versions = [worker["version"] for worker in said["workers"]]
        data = "synthetic data" if said.get("synthetic") else "real data"
        seen = f"version {said['version']} in {versions.count(version)} of {len(wanted)} workers, trained on {data}"
        return versions == wanted, seen

    return Check(name, "served", *_soon(workers))


def verdict(name: str, found: Mapping[str, Any], expected: str, feature: str | None) -> Check:
    """Whether the verdict is the expected one and names what was changed, and nothing else."""
    named = [entry["name"] for entry in found["features"] if entry["drifted"]]
    right = all(entry.startswith(feature or "") for entry in named)
    held = found["verdict"] == expected and (expected == "none" or feature is None or (bool(named) and right))
    rows = found["window"]["rows"]
    seen = f"{found['verdict']} over {rows} answers" + (f", in {', '.join(named)}" if named else "")
    return Check(name, f"verdict is {expected}", held, seen)


def swapped(name: str, versions: Mapping[str, int], first: str, second: str) -> Check:
    """Whether both versions answered, and no other."""
    seen = ", ".join(f"version {version}: {count} answers" for version, count in sorted(versions.items()))
    return Check(name, "swapped under traffic", set(versions) == {first, second}, seen or "no answers")


def left_behind(here: Home, name: str, since: datetime, sent: int) -> Iterator[Check]:
    """The prediction log: every answer once, and part of it in Parquet already."""
    from slipway.prediction_log import Log

    log = Log(settings())
    events = log.predictions(name, since=since)
    [(rows, distinct)] = events.aggregate('count(*), count(DISTINCT "slipway.row_id")').fetchall()
    yield Check(name, "prediction log", rows == distinct == sent, f"{rows} answers logged, {sent} sent")
    yield Check(name, "shipped", *_soon(lambda: _files(log, name)))


def reconciled(name: str, version: str) -> Check:
    """Whether the version's tag in the registry says that it serves."""
    registry, key = Registry(), f"slipway.serving.{settings().environment}"

    def tag() -> tuple[bool, str]:
        said = registry.version(name, version).tags.get(key, "no tag yet")
        return said.startswith("serving"), f"version {version}, {key}: {said.partition(' since')[0]}"

    return Check(name, "reconciled", *_soon(tag))


def pages(here: Home) -> Check:
    """Whether every page for people answers."""
    urls = [here.url("service") + "/", here.url("service") + "/docs", here.url("status"), here.url("mlflow")]
    silent = [url for url in [*urls, here.url("prefect")] if not is_healthy(url, seconds=10)]
    return Check("all", "pages", not silent, f"silent: {', '.join(silent)}" if silent else f"{len(urls) + 1} answer")


def card(here: Home, name: str, version: str) -> dict[str, str]:
    """The model card of a version, in its run's folder."""
    key = Registry().version(name, version).tags.get("slipway.run_key", "")
    path = here.var / "runs" / key / "bundle" / "bundle" / "card.md"
    return {f"{name}: model card": str(path)} if path.is_file() else {}


def _files(log: Log, name: str) -> tuple[bool, str]:
    count = log.shipped(name)
    return count > 0, f"{count} Parquet files in {settings().log_root}"


def _soon(look: Any) -> tuple[bool, str]:
    """What `look` sees once it is well, or when the time for that is over."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not (seen := look())[0] and time.monotonic() < deadline:
        time.sleep(1.0)
    return seen
