"""Serving context: what the predictions of one use case need besides their model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bentos.prediction.image_capture import ImageCapture
from bentos.telemetry.metrics import Metrics
from slipway.settings import Settings


class ServingContext(msgspec.Struct, frozen=True):
    """Settings, metrics, prediction log, masking secret and image capture of one use case.

    `log` writes JSON lines to the prediction log, and returns whether they are kept.
    """

    usecase: str
    settings: Settings
    metrics: Metrics
    log: Callable[[Sequence[bytes]], bool]
    secret: bytes
    capture: ImageCapture
