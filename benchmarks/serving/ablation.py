"""Slipway's service with a part taken out, to measure what the part costs: BENCHMARK_WITHOUT is `log` or `metrics`.

Key and rate limit go by having no key file.
"""

from __future__ import annotations

import os

from bentos import answer, hot_path  # noqa: F401
from bentos.metrics import Metrics
from bentos.service import slipway  # noqa: F401  (`bentoml serve benchmarks.ablated:slipway`)
from bentos.worker import Served

without = os.environ["BENCHMARK_WITHOUT"]
if without == "log":
    answer.record.lines = lambda *_: []
    Served.log = lambda *_: True
elif without == "metrics":
    answer.record.count = lambda *_: None
    Metrics.request = lambda *_: None
