"""Annotations of the Model dashboard: swaps, promotions, rollbacks and retrainings, from the same metrics."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery
from grafana_foundation_sdk.models import dashboard

from grafana.queries import SCOPE
from grafana.variables import PROMETHEUS

# Longer than the step, so that no event falls between two evaluations
_OVER, _STEP = "2m", "60s"
_CHAMPIONS = f'slipway_model_info{{{SCOPE}, role="champion"}}'
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
    """Return an annotation for each kind of event; each has a color, a switch, and says what happened."""
    return [
        _event("Swap", "blue", _rises(f"slipway_swaps_total{{{SCOPE}}}", "usecase, outcome"), "{{outcome}}"),
        _event(
            "Promotion", "green", _begins(_CHAMPIONS, "usecase, version", " == 1"), "version {{version}} is champion"
        ),
        _event(
            "Rollback", "red", _rises(f"slipway_rollout_rolled_back_total{{{SCOPE}}}", "usecase"), "canary taken back"
        ),
        _event("Retraining", "purple", _rises(_TRAININGS, "usecase"), "training started"),
    ]


def _begins(series: str, by: str, where: str = "") -> str:
    """Return the sums that are there now and were not a little earlier, of the values of which `where` is true."""
    return f"sum by ({by}) ({series}{where}) unless sum by ({by}) ({series} offset {_OVER}{where})"


def _rises(counter: str, by: str) -> str:
    """Return the counters that rise. `increase` does not see the first event of all, with which a counter appears."""
    return f"sum by ({by}) (increase({counter}[{_OVER}])) > 0 or ({_begins(counter, by)}) > 0"


def _event(name: str, color: str, expression: str, text: str) -> AnnotationQuery:
    found: Any = _Annotation(name, text)
    return found.datasource(PROMETHEUS).enable(True).icon_color(color).expr(expression)
