"""Health checks that need no server: what a follower's status file tells, and what is exported of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bentos.follower.status import stuck_followers
from bentos.telemetry.health import HealthChecks
from bentos.telemetry.metrics import Metrics
from slipway.serving_state import follower_status
from slipway.serving_state.follower_status import FollowerStatus, HealthWarning
from slipway.settings import Settings

TOPICS = ("registry", "alias", "volume", "trouble", "hung")


def findings(settings: Settings) -> tuple[list[str], dict[str, float]]:
    """Run the checks once: the warnings of the use case, and its findings by topic."""
    metrics = Metrics(CollectorRegistry())
    checks = HealthChecks(settings, ["loans"], metrics)
    checks.run()
    [family] = metrics.follower_finding.collect()
    return checks.of("loans"), {sample.labels["topic"]: sample.value for sample in family.samples}


def polled(settings: Settings, seconds_ago: float, **topics: HealthWarning) -> None:
    follower_status.write_status(settings.serving, "loans", FollowerStatus(topics))
    at = time.time() - seconds_ago
    os.utime(follower_status.status_path(settings.serving, "loans"), (at, at))


@pytest.mark.parametrize(("seconds_ago", "hung"), [(0, 0), (30, 0), (-2, 0), (90, 1), (-30, 1), (-1e6, 1), (1e6, 1)])
def test_a_poll_long_ago_or_in_the_time_to_come_is_of_a_follower_that_hangs(tmp_path, seconds_ago, hung):
    settings = Settings(var=tmp_path)
    polled(settings, seconds_ago)
    warnings, found = findings(settings)
    assert (len(warnings), found["hung"]) == (hung, hung)


@pytest.mark.parametrize(("seconds_ago", "part"), [(-3600, "since the clock was set back"), (3600, "for 3600 s")])
def test_a_clock_that_was_set_back_is_named(tmp_path, seconds_ago, part):
    settings = Settings(var=tmp_path)
    polled(settings, seconds_ago)
    [warning], _ = findings(settings)
    [probed] = stuck_followers(["loans"], settings)
    assert part in warning and part in probed


def test_a_warning_of_the_follower_is_a_finding_of_its_topic(tmp_path):
    settings = Settings(var=tmp_path)
    polled(settings, 0, alias=HealthWarning("no version has it", "today"))
    warnings, found = findings(settings)
    assert warnings == ["no version has it (since today)"]
    assert found == dict.fromkeys(TOPICS, 0.0) | {"alias": 1.0}


@pytest.mark.parametrize(
    ("container", "uri", "exported"),
    [(True, "", False), (True, "http://mlflow:5000", True), (False, "", True)],
)
def test_findings_are_exported_where_a_registry_is_configured_before_any_poll(tmp_path, container, uri, exported):
    settings = Settings(var=tmp_path, container=container, mlflow_tracking_uri=uri)
    warnings, found = findings(settings)
    assert (warnings, found) == ([], dict.fromkeys(TOPICS, 0.0) if exported else {})


def test_a_server_of_one_bundle_has_no_registry_to_follow(tmp_path: Path):
    assert findings(Settings(var=tmp_path, bundle=tmp_path)) == ([], {})
