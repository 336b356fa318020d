"""Thresholds of panels, where no objective of a use case is the bound: those of the rules, and some of panels alone."""

from __future__ import annotations

import math
import re
from pathlib import Path

from grafana.panels import Steps, above, below
from slipway.settings import Settings

RULES = Path(__file__).resolve().parents[1] / "monitoring" / "prometheus" / "rules" / "thresholds.yml"
_RECORD = re.compile(r"record: global:slipway_(\w+):threshold\n\s+expr: vector\((.+)\)")


def of_rules(text: str) -> dict[str, float]:
    """Return the thresholds by name; a value is a number, or a product of some."""
    return {name: math.prod(map(float, value.split("*"))) for name, value in _RECORD.findall(text)}


_FOUND = of_rules(RULES.read_text())
_SEGMENT: float = Settings.model_fields["segment_seconds"].default
BUDGET_LEFT: Steps = below(0.25, 0)
FAILED: Steps = above(0.001, 0.01)
ANY: Steps = above(1)  # one is too many
DISK_FREE: Steps = below(_FOUND["disk_free_ratio"], _FOUND["disk_free_critical_ratio"])
OPEN_FILES: Steps = above(_FOUND["open_files_ratio"])
RESTARTS: Steps = above(_FOUND["process_starts"])
CREDENTIAL_EXPIRES: Steps = below(_FOUND["credential_seconds"], _FOUND["credential_critical_seconds"])
WATCH_PASS: Steps = above(_FOUND["watch_pass_seconds"])
LABEL_COVERAGE: Steps = below(_FOUND["label_coverage_ratio"])
LOG_SEGMENTS = _FOUND["prediction_log_segments"]
LOG_LAG: Steps = above(LOG_SEGMENTS * _SEGMENT)
SEARCH_LAG: Steps = above(_FOUND["search_lag_seconds"])
