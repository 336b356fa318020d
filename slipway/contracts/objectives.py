"""Service level objectives of a use case, as the bundle's serving settings carry them to the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Objectives(msgspec.Struct, frozen=True):
    """Which share of requests succeeds, and which quantile of them takes at most how long, over a window of days.

    The window is one of five: the recording rules have a range for each, since PromQL takes none from a metric.
    """

    availability: _Share = 0.999
    latency_ms: Annotated[float, msgspec.Meta(gt=0)] = 50.0
    latency_quantile: _Share = 0.99
    window_days: Literal[7, 14, 28, 30, 90] = 30

    @staticmethod
    def of(serving: Mapping[str, Any]) -> Objectives:
        """Read them from serving settings; defaults where these have none, and no latency above their deadline."""
        found = msgspec.convert(serving.get("objectives", {}), Objectives)
        return msgspec.structs.replace(found, latency_ms=min(found.latency_ms, serving.get("deadline_ms", 1000)))

    @property
    def latency_seconds(self) -> float:
        return self.latency_ms / 1000
