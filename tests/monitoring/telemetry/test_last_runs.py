"""The last runs of pipelines, from what they recorded."""

from __future__ import annotations

import pytest

from monitoring.telemetry.last_runs import last_runs
from slipway.settings import settings
from slipway.telemetry import pipeline_runs
from slipway.telemetry.pipeline_runs import MONITOR, REFUSED, TRAIN, recorded


def test_the_newest_end_of_each_flow_is_shown() -> None:
    with recorded(settings(), "loans", TRAIN):
        pass
    with recorded(settings(), "loans", TRAIN) as result:
        result.outcome, result.gates = REFUSED, {"passed": 3, "failed": 1}
    with pytest.raises(ZeroDivisionError), recorded(settings(), "loans", MONITOR):
        _ = 1 / 0
    found = last_runs(settings(), ["loans", "cars"])
    assert [(run.flow, run.outcome, run.gates) for run in found["loans"]] == [
        (TRAIN, REFUSED, {"passed": 3, "failed": 1}),
        (MONITOR, "failed", {}),
    ]
    assert found["cars"] == []


def test_a_log_that_cannot_be_read_has_no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(*arguments: object) -> None:
        asked.append(arguments)
        raise PermissionError("no")

    monkeypatch.setattr(pipeline_runs, "read", fail)
    assert last_runs(settings(), ["loans", "cars"]) == {}
    assert len(asked) == 1
