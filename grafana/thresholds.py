"""Thresholds of panels, where no objective of a use case is the bound: those from which the alerts fire."""

from __future__ import annotations

from grafana.panels import Steps, above, below

_DAY = 86400
BUDGET_LEFT: Steps = below(0.25, 0)
FAILED: Steps = above(0.001, 0.01)
ANY: Steps = above(1)  # one is too many
DISK_FREE: Steps = below(0.1, 0.03)
OPEN_FILES: Steps = above(0.8)
RESTARTS: Steps = above(3)
CREDENTIAL_EXPIRES: Steps = below(14 * _DAY, 2 * _DAY)
WATCH_PASS: Steps = above(900)
LOG_LAG: Steps = above(600, 1200)
