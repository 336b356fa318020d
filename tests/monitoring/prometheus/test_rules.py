"""The rules of `monitoring/prometheus/rules`, by promtool on sample series, and what every rule has."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import chain, pairwise
from pathlib import Path

import pytest
import yaml

from monitoring.prometheus.kubernetes_rules import RULES, TARGET, prometheus_rule

ROOT = Path(__file__).resolve().parents[3]
RUNBOOKS = ROOT / "docs" / "runbooks"
PARTS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
FILES = sorted(RULES.glob("*.yml"))
SERIES = sorted(Path(__file__).parent.glob("*_test.yml"))
TESTS = [test for path in SERIES for test in yaml.load(path.read_text(), yaml.CSafeLoader)["tests"]]
GROUPS = [group for path in FILES for group in yaml.safe_load(path.read_text())["groups"]]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
RECORDS = [rule for group in GROUPS for rule in group["rules"] if "record" in rule]
OWNER = "* on (namespace, usecase) group_left (owner) namespace_usecase:slipway_usecase_info:owner"
NO_OWNER = {
    "SlipwayServerDown": "a server is of every use case that it serves",
    "SlipwayRestartLoop": "a process is of every use case that it serves",
    "SlipwayShipperDown": "a shipper is of every use case on its machine",
    "SlipwayDiskFull": "a machine is of everything on it",
    "SlipwayMemoryHigh": "a machine is of everything on it",
    "SlipwayOpenFilesHigh": "a process is of every use case that it serves",
    "SlipwayCredentialExpires": "a credential is of the target",
    "SlipwayWatchDown": "the watch is of every use case",
    "SlipwayWatchdog": "it is of Prometheus itself",
}
AT_ONCE = {
    "SlipwayPredictionLogLost": "what is lost stays lost",
    "SlipwayDocumentsRefused": "what is refused stays refused",
    "SlipwayVersionAltered": "it is found by a check that has already run twice",
    "SlipwayVersionDeleted": "it stays deleted",
    "SlipwayCanaryRolledBack": "it is an event",
    "SlipwaySwapFailed": "it is an event",
    "SlipwayDrift": "a verdict is on a whole window",
    "SlipwayPipelineFailed": "it is an event",
    "SlipwayRestartLoop": "three starts take their time",
    "SlipwayCredentialExpires": "the time left does not come back",
    "SlipwayWatchdog": "it always fires",
}
ALWAYS_FIRES = {"SlipwayWatchdog"}


def promtool(needs, *words) -> subprocess.CompletedProcess[str]:
    return subprocess.run([needs("promtool"), *map(str, words)], check=False, capture_output=True, text=True)


def cases(alert: str) -> list[list[list]]:
    """List what each test expects of an alert over time: lists of alerts, of which an empty one is clear."""
    found = [[case for case in test.get("alert_rule_test", []) if case["alertname"] == alert] for test in TESTS]
    return [[case["exp_alerts"] for case in cases] for cases in found if cases]


@pytest.mark.slow
def test_prometheus_accepts_the_rules(needs):
    checked = promtool(needs, "check", "rules", "--lint=all", "--lint-fatal", *FILES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow  # each starts promtool, which evaluates hours or days
@pytest.mark.parametrize("series", SERIES, ids=lambda path: path.stem)
def test_each_alert_fires_and_clears_on_sample_series(needs, series):
    tested = promtool(needs, "test", "rules", series)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("alert", sorted({rule["alert"] for rule in ALERTS} - ALWAYS_FIRES))
def test_the_sample_series_have_each_alert_begin_and_clear(alert):
    changes = [change for expected in cases(alert) for change in pairwise(map(bool, expected))]
    assert (False, True) in changes, f"{alert} never begins"
    assert (True, False) in changes, f"{alert} never clears"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_severity_of_an_alert_fires(rule):
    fired = {alert["exp_labels"]["severity"] for test in cases(rule["alert"]) for alert in chain(*test)}
    assert rule["labels"]["severity"] in fired


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "right", "wrong", "series"),
    [
        ("prediction_log.yml", "> 0", "> 1e9", "prediction_log"),
        ("prediction_log.yml", "for: 2m", "for: 50m", "prediction_log"),
        ("thresholds.yml", "vector(2)", "vector(200)", "prediction_log"),
        ("thresholds.yml", "vector(100)", "vector(101)", "quality"),
        ("quality.yml", 'bound!="max"', 'bound="min"', "quality"),
        ("thresholds.yml", "vector(10e9)", "vector(9.9e9)", "resources"),
        ("thresholds.yml", "vector(0.8)", "vector(0.79)", "resources"),
        ("registry.yml", "< 3600", "< 36000", "registry"),
    ],
)
def test_rules_that_are_changed_fail(needs, tmp_path, file, right, wrong, series):
    """Check that the sample series detect changes: each one makes an alert stay away or come too early."""
    shutil.copytree(RULES, tmp_path / "rules")
    text = (tmp_path / "rules" / file).read_text()
    assert right in text
    (tmp_path / "rules" / file).write_text(text.replace(right, wrong))
    test = (Path(__file__).parent / f"{series}_test.yml").read_text()
    (tmp_path / "test.yml").write_text(re.sub(r"\.\./.*/rules/", "rules/", test))
    assert promtool(needs, "test", "rules", tmp_path / "test.yml").returncode != 0


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_says_how_bad_it_is_whose_and_what_to_do(rule):
    name, annotations = rule["alert"], rule["annotations"]
    assert re.fullmatch(r"Slipway([A-Z][a-z]+)+", name)
    assert rule["labels"]["severity"] in (("none",) if name in ALWAYS_FIRES else ("critical", "warning"))
    assert (" ".join(rule["expr"].split()).count(OWNER) > 0) != (name in NO_OWNER)
    assert {"summary", "description", "runbook_url"} == annotations.keys()
    assert annotations["runbook_url"] == f"docs/runbooks/{name}.md"
    assert (RUNBOOKS / f"{name}.md").is_file()
    assert rule.get("for") or name in AT_ONCE


def test_an_alert_with_a_runbook_is_there_and_listed():
    names = {rule["alert"] for rule in ALERTS}
    assert {page.stem for page in RUNBOOKS.glob("Slipway*.md")} == names
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \|", (RUNBOOKS / "index.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((name, name) for name in names)


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("Slipway*.md")), ids=lambda page: page.stem)
def test_a_runbook_has_the_four_parts_in_order(page):
    title, *headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    assert title == page.stem
    assert headings == PARTS


def test_rules_read_only_what_another_rule_records():
    recorded = {rule["record"] for rule in RECORDS}
    read = {name for rule in (*ALERTS, *RECORDS) for name in re.findall(r"[a-z_]+:slipway_\w+:\w+", rule["expr"])}
    assert read <= recorded
    assert {name for name in recorded if name.endswith(":threshold")} <= read


def test_what_rules_record_is_named_by_level_metric_and_operations():
    for record in (rule["record"] for rule in RECORDS):
        assert re.fullmatch(r"[a-z_]+:slipway_[a-z_]+:[a-z0-9_]+", record), record


def test_no_rule_needs_a_label_that_only_kubernetes_has():
    for rule in (*ALERTS, *RECORDS):
        assert not re.search(r"\{[^}]*\b(pod|container|namespace)\s*[=!]", rule["expr"])


def test_the_manifest_for_kubernetes_is_up_to_date():
    assert TARGET.read_text() == prometheus_rule(), "run `python -m monitoring.prometheus.kubernetes_rules`"


def test_the_manifest_for_kubernetes_has_the_rules():
    assert yaml.safe_load(TARGET.read_text())["spec"]["groups"] == GROUPS
