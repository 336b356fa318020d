"""Rules with shorter durations: the same rules, which promtool accepts."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from scenarios.harness.shortened_rules import (
    pending_seconds,
    shorten_waits,
    shortened,
    shortened_expression,
    waits_of_receivers,
    write_rules,
    write_thresholds,
)
from slipway.local.monitoring_servers import RULES


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("5m", "5000ms"),
        ("30s", "1000ms"),
        ("0s", "0ms"),
        ("1h", "60000ms"),
        ("rate(a:rate5m[5m])", "rate(a:rate5m[5000ms])"),
        ("max_over_time(x[1h:1m] offset 15m)", "max_over_time(x[60000ms:1000ms] offset 15000ms)"),
        ('x{code=~"5..", le="0.5"} > 14.4', 'x{code=~"5..", le="0.5"} > 14.4'),
        ("quantile30d * 1e3", "quantile30d * 1e3"),
    ],
)
def test_durations_are_divided_and_names_and_numbers_stay(text, shorter):
    assert shortened(text) == shorter


def test_an_hour_in_seconds_is_divided_as_well():
    assert shortened_expression("x:rate1h * 3600 >= 36000") == "x:rate1h * 60 >= 36000"


def test_waits_of_alertmanager_are_divided_below_the_first_route_too():
    route = {"receiver": "a", "group_wait": "30s", "routes": [{"receiver": "b", "repeat_interval": "12h"}]}
    short = shorten_waits(route)
    assert short["group_wait"] == "500ms"
    assert short["routes"] == [{"receiver": "b", "repeat_interval": "720000ms", "routes": []}]


@pytest.mark.slow
def test_the_shortened_rules_are_rules_and_all_of_them(tmp_path, needs):
    write_rules(RULES, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in RULES.iterdir()}
    checked = subprocess.run(
        [needs("promtool"), "check", "rules", *sorted(tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_only_the_named_thresholds_are_changed(tmp_path):
    write_thresholds(RULES, tmp_path, {"slipway_labels": 7}, 1_800_000_000.4)
    rules = yaml.safe_load((tmp_path / "thresholds.yml").read_text())["groups"][0]["rules"]
    original = yaml.safe_load((RULES / "thresholds.yml").read_text())["groups"][0]["rules"]
    [(rule, before)] = [both for both in zip(rules, original, strict=True) if both[0] != both[1]]
    assert rule["record"] == "global:slipway_labels:threshold"
    assert rule["expr"] == f"vector(7) and on () (vector(time()) >= 1800000001) or {before['expr']}"


@pytest.mark.parametrize(
    ("labels", "seconds"),
    [
        ({"alertname": "SlipwayServerDown", "severity": "critical"}, 1.0),
        ({"alertname": "SlipwayServerDown", "severity": "warning", "instance": "127.0.0.1:3000"}, 5.0),
        ({"alertname": "SlipwayErrorBudgetBurn", "severity": "critical", "window": "1h", "owner": "a team"}, 2.0),
        ({"alertname": "SlipwayErrorBudgetBurn", "severity": "warning", "window": "3d", "owner": "a team"}, 15.0),
        ({"alertname": "SlipwayDrift", "severity": "warning", "usecase": "loans", "retraining": "drift"}, 0.0),
        ({"alertname": "SlipwayLabelCoverageLow", "severity": "warning", "retraining": "labels"}, 60.0),
    ],
)
def test_how_long_an_alert_is_pending_is_of_the_rule_whose_labels_it_has(labels, seconds):
    assert pending_seconds(RULES, labels) == seconds


def test_every_receiver_has_the_wait_of_its_route():
    route = yaml.safe_load((RULES.parent / "alertmanager.yml").read_text())["route"]
    waits = {"tickets": 0.5, "watchdog": 0.0, "retraining": 0.5, "pages": 0.167}
    assert waits_of_receivers(shorten_waits(route), "group_wait") == waits
    intervals = {"tickets": 5.0, "watchdog": 1.0, "retraining": 5.0, "pages": 5.0}
    assert waits_of_receivers(shorten_waits(route), "group_interval") == intervals
