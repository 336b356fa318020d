"""Names of the data streams: `logs-DATASET-ENVIRONMENT`, Elastic's own scheme for logs."""

from __future__ import annotations

from collections.abc import Iterable

from slipway.settings import Settings

PREDICTION = "slipway.prediction"
FEEDBACK = "slipway.feedback"
SERVICE = "slipway.service"
AUDIT = "slipway.audit"
DATASETS = (PREDICTION, FEEDBACK, SERVICE, AUDIT)
_GENERATION = 6  # digits at the end of an index: .ds-STREAM-yyyy.MM.dd-000001


def stream(dataset: str, config: Settings) -> str:
    """Name this environment's data stream of a dataset, such as `logs-slipway.prediction-production`."""
    return f"logs-{dataset}-{config.environment}"


def streams(config: Settings) -> dict[str, str]:
    """Name every data stream of this environment, by dataset."""
    return {dataset: stream(dataset, config) for dataset in DATASETS}


def newest(indices: Iterable[str]) -> str:
    """Choose the newest of a stream's indices, which the stream writes into.

    >>> newest([".ds-logs-a-local-2026.01.31-000010", ".ds-logs-a-local-2026.02.01-000009"])
    '.ds-logs-a-local-2026.01.31-000010'
    """
    return max(indices, key=lambda index: index[-_GENERATION:])
