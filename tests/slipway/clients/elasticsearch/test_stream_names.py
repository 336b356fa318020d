"""The names of the data streams: fixed, for people search by them."""

from __future__ import annotations

from slipway.clients.elasticsearch.streams import PREDICTION, stream, streams
from slipway.settings import Settings


def test_each_environment_has_its_own_streams():
    assert stream(PREDICTION, Settings(environment="eu-1")) == "logs-slipway.prediction-eu-1"
    assert list(streams(Settings(environment="staging")).values()) == [
        "logs-slipway.prediction-staging",
        "logs-slipway.feedback-staging",
        "logs-slipway.service-staging",
        "logs-slipway.audit-staging",
    ]
