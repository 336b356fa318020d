"""Annotations of the Model dashboard: swaps, promotions, rollbacks and retrainings, from the same metrics."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery
from grafana_foundation_sdk.models import dashboard

from grafana.queries import SCOPE
from grafana.variables import PROMETHEUS

# Longer than the step, so that no event falls between two evaluations
_OVER, _STEP = "2m", "60s"
_CHAMPIONS = f'max by (usecase, version) (slipway_model_info{{{SCOPE}, role="champion"}})'
_CHAMPIONS_BEFORE = f'max by (usecase, version) (slipway_model_info{{{SCOPE}, role="champion"}} offset {_OVER})'
_TRAININGS = f'slipway_retraining_decisions_total{{{SCOPE}, decision="started"}}'


class _PrometheusAnnotation(dashboard.AnnotationQuery):
    """An annotation with what the Prometheus data source reads besides: the texts, and the distance of evaluations."""

    title_format: str
    text_format: str

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "titleFormat": self.title_format, "textFormat": self.text_format, "step": _STEP}


class _Annotation(AnnotationQuery):
    def __init__(self, name: str, text: str) -> None:
        self._internal = _PrometheusAnnotation(name=name)
        self._internal.title_format, self._internal.text_format = name, text


def events() -> list[AnnotationQuery]:
    """Return an annotation for each kind of event; each has a colour, a switch, and says what happened."""
    return [
        _event(
            "Swap",
            "blue",
            f"sum by (usecase, outcome) (increase(slipway_swaps_total{{{SCOPE}}}[{_OVER}])) > 0",
            "{{outcome}}",
        ),
        _event("Promotion", "green", f"{_CHAMPIONS} unless {_CHAMPIONS_BEFORE}", "version {{version}} is champion"),
        _event(
            "Rollback",
            "red",
            f"increase(slipway_rollout_rolled_back_total{{{SCOPE}}}[{_OVER}]) > 0",
            "canary taken back",
        ),
        _event("Retraining", "purple", f"sum by (usecase) (increase({_TRAININGS}[{_OVER}])) > 0", "training started"),
    ]


def _event(name: str, color: str, expression: str, text: str) -> AnnotationQuery:
    found: Any = _Annotation(name, text)
    return found.datasource(PROMETHEUS).enable(True).icon_color(color).expr(expression)
