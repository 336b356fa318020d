"""A BentoML service without an API, with the settings of ours: what a start takes at least."""

from __future__ import annotations

import bentoml


@bentoml.service(
    workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}}, monitoring={"enabled": False}
)
class Empty:
    """Ready when BentoML is."""
