"""Metrics in use: rules and panels use what is exported, with its labels, and what is exported is used somewhere."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from reference_pages import metrics as page  # noqa: E402

RULES = ("monitoring/prometheus/**/*.yml", "infra/kubernetes/components/monitoring/*.yaml")
PANELS = ("grafana/dashboards/*.json",)
OF_TARGETS = {"environment", "instance", "job", "namespace", "pod", "container", "le"}  # Prometheus adds them
# A recorded series has colons in its name, and is none of an exporter.
_USE = re.compile(r"(?<![:\w])(slipway_[a-z0-9_]+)(?![:\w])(?:\{([^}]*)\})?")
_LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*\\?["\']')
WITHOUT_PANEL: dict[str, str] = {}  # metric: the reason why no rule and no panel shows it


def exported() -> dict[str, set[str]]:
    """The labels of each series' name; a histogram has three series."""
    found: dict[str, set[str]] = {}
    for metric in (metric for metrics in page.exporters().values() for metric in metrics):
        name, kind = page.name_of(metric), getattr(metric, "type", None) or metric._type
        ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        for end in ends:
            found.setdefault(name + end, set()).update(metric._labelnames)
    return found


def uses(patterns: Iterable[str], root: Path = ROOT) -> Iterator[tuple[str, str, set[str]]]:
    """Each use of a metric: the file, the series' name, and the labels that its selector names."""
    for path in sorted(path for pattern in patterns for path in root.glob(pattern)):
        for name, selector in _USE.findall(path.read_text()):
            yield path.name, name, set(_LABEL.findall(selector))


def wrong_uses(root: Path = ROOT) -> list[str]:
    """What rules and panels use and nobody exports."""
    there = exported()
    wrong = []
    for file, name, labels in uses((*RULES, *PANELS), root):
        if name not in there:
            wrong.append(f"{file}: nobody exports {name}")
        elif unknown := labels - there[name] - OF_TARGETS:
            wrong.append(f"{file}: {name} has no label {', '.join(sorted(unknown))}")
    return wrong


def unused(root: Path = ROOT) -> set[str]:
    """Exported series that no rule and no panel uses; of a histogram, one series is enough."""
    family = re.compile(r"_(bucket|sum|count)$")
    used = {family.sub("", name) for _, name, _ in uses((*RULES, *PANELS), root)}
    return {family.sub("", name) for name in exported()} - used


def test_rules_and_panels_use_metrics_and_labels_that_there_are() -> None:
    assert wrong_uses() == []


def test_what_is_exported_is_shown_somewhere_or_has_a_reason() -> None:
    assert unused() == WITHOUT_PANEL.keys()
    assert all(WITHOUT_PANEL.values())


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("sum(rate(slipway_requests_total{code=~'5..', job=\"x\"}[5m]))", None),
        ("histogram_quantile(0.9, slipway_request_duration_seconds_bucket{le='1'})", None),
        ("usecase:slipway_anything_else:rate5m > 1", None),
        ("rate(slipway_requests[5m])", "nobody exports slipway_requests"),
        ("slipway_request_duration_seconds > 1", "nobody exports slipway_request_duration_seconds"),
        ("slipway_requests_total{status='500'}", "slipway_requests_total has no label status"),
    ],
)
def test_a_wrong_name_or_label_is_found(tmp_path: Path, expression: str, complaint: str | None) -> None:
    path = tmp_path / "monitoring" / "prometheus" / "rules" / "one.yml"
    path.parent.mkdir(parents=True)
    path.write_text(f"expr: {expression}\n")
    assert wrong_uses(tmp_path) == ([f"one.yml: {complaint}"] if complaint else [])


def test_every_series_of_a_metric_counts_as_its_use(tmp_path: Path) -> None:
    path = tmp_path / "grafana" / "dashboards" / "one.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"expr": "slipway_model_seconds_bucket{usecase=~\\"$usecase\\"} + slipway_quality"}')
    assert wrong_uses(tmp_path) == []
    assert {"slipway_model_seconds", "slipway_quality"} & unused(tmp_path) == set()
    assert "slipway_swaps_total" in unused(tmp_path)
