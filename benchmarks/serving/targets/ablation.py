"""Slipway's service with a part taken out, to measure what the part costs: BENCHMARK_WITHOUT is `log` or `metrics`.

Key and rate limit go by having no key file.
"""

from __future__ import annotations

import os

from bentos.api import application  # noqa: F401
from bentos.prediction import pipeline
from bentos.service import slipway  # noqa: F401  (`bentoml serve benchmarks.serving.targets.ablation:slipway`)
from bentos.telemetry.metrics import Metrics
from bentos.worker import ServedModel

without = os.environ["BENCHMARK_WITHOUT"]
if without == "log":
    pipeline.recorder.event_lines = lambda *_: []
    ServedModel.log = lambda *_: True
elif without == "metrics":
    pipeline.recorder.count = lambda *_: None
    Metrics.request = lambda *_: None
