"""The alerts of the component `monitoring`, by promtool on the very rules of the manifest."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from bentos.telemetry.metrics import Metrics
from monitoring.log_shipping.exporter import ShipperCollector
from monitoring.log_shipping.shipper import Shipper
from monitoring.status.exporter import VerdictCollector
from slipway.settings import settings
from tests.infra.kubernetes.manifests import FOLDER, one

RUNBOOKS = FOLDER.parents[1] / "docs" / "runbooks"
PARTS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
SERIES = Path(__file__).with_name("rules_test.yaml")


@pytest.fixture
def rules(with_components, tmp_path) -> Path:
    """Write the rules as Prometheus reads them, next to their sample series."""
    path = tmp_path / "rules" / "rules.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(one(with_components("local", "monitoring"), "PrometheusRule", "slipway")["spec"]))
    shutil.copy(SERIES, path.parent)
    return path


def alerts(rules: Path) -> list[dict]:
    groups = yaml.safe_load(rules.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_prometheus_accepts_the_rules(needs, rules):
    checked = subprocess.run(
        [needs("promtool"), "check", "rules", "--lint=all", "--lint-fatal", rules],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_fires_and_clears_on_sample_series(needs, rules):
    tested = subprocess.run(
        [needs("promtool"), "test", "rules", SERIES.name], cwd=rules.parent, check=False, capture_output=True, text=True
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    cases = [case for test in yaml.safe_load(SERIES.read_text())["tests"] for case in test["alert_rule_test"]]
    for alert in alerts(rules):
        fires = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert["alert"]]
        assert True in fires, f"{alert['alert']} never fires"
        assert fires[-1] is False, f"{alert['alert']} never clears"


@pytest.mark.parametrize(("right", "wrong"), [("> 0", "> 1e9"), ("for: 5m", "for: 50m"), ("2 * name", "200 * name")])
def test_rules_that_are_changed_fail(needs, rules, right, wrong):
    """Check that the sample series detect changes: each one disables an alert."""
    text = rules.read_text()
    assert right in text
    rules.write_text(text.replace(right, wrong))
    tested = subprocess.run(
        [needs("promtool"), "test", "rules", SERIES.name], cwd=rules.parent, check=False, capture_output=True, text=True
    )
    assert tested.returncode != 0


def test_each_alert_has_a_runbook_of_its_name(rules):
    for alert in alerts(rules):
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description", "runbook_url"} == alert["annotations"].keys()
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    assert {page.stem for page in RUNBOOKS.glob("Slipway*.md")} == {alert["alert"] for alert in alerts(rules)}


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("Slipway*.md")), ids=lambda page: page.stem)
def test_a_runbook_has_the_four_parts_in_order(page):
    title, *headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    assert title == page.stem
    assert headings == PARTS


def test_rules_read_metrics_and_labels_that_there_are(rules):
    """Check names: a misspelt one is no error anywhere else, the alert would just never fire."""
    served = Metrics(CollectorRegistry())
    shipper = Shipper(settings(), [])
    watched = VerdictCollector(settings(), dict)
    collected = [*served.registry.collect(), *ShipperCollector(settings(), shipper).collect(), *watched.collect()]
    there = {metric.name for metric in collected}
    groups = yaml.safe_load(rules.read_text())["groups"]
    expressions = [rule["expr"] for group in groups for rule in group["rules"]]
    read = {name for text in expressions for name in re.findall(r"(?<![:\w])slipway_\w+", text)}
    assert len(read) >= 5
    assert {name.removesuffix("_total") for name in read} <= there
    assert served.model_info._labelnames == ("usecase", "version", "role", "source", "device")
    assert served.follower_finding._labelnames == ("usecase", "topic")


def test_what_rules_record_is_named_by_level_metric_and_operations(rules):
    groups = yaml.safe_load(rules.read_text())["groups"]
    for record in (rule["record"] for group in groups for rule in group["rules"] if "record" in rule):
        assert re.fullmatch(r"[a-z_]+:slipway_[a-z_]+:[a-z0-9_]+", record), record
