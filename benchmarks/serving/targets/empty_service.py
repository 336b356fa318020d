"""Empty BentoML service with the settings of ours, as the lower bound of a start."""

from __future__ import annotations

import bentoml


@bentoml.service(
    workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}}, monitoring={"enabled": False}
)
class Empty:
    """Service without an API: ready when BentoML is."""
