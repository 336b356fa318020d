"""Rules with shorter durations: the same rules, which promtool accepts."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from scenarios.observability.shortened_rules import (
    pending_seconds,
    shorten_waits,
    shortened,
    shortened_expression,
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
    write_thresholds(RULES, tmp_path, {"slipway_labels": 7})
    rules = yaml.safe_load((tmp_path / "thresholds.yml").read_text())["groups"][0]["rules"]
    original = yaml.safe_load((RULES / "thresholds.yml").read_text())["groups"][0]["rules"]
    changed = [rule["record"] for rule, before in zip(rules, original, strict=True) if rule != before]
    assert changed == ["global:slipway_labels:threshold"]


def test_an_alert_with_several_rules_fires_after_the_shortest_wait():
    found = pending_seconds(RULES)
    assert (found["SlipwayServerDown"], found["SlipwayDrift"], found["SlipwayLabelCoverageLow"]) == (1.0, 0.0, 60.0)
