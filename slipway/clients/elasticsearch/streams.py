"""Names of the data streams: `logs-DATASET-ENVIRONMENT`, Elastic's own scheme for logs."""

from __future__ import annotations

from slipway.settings import Settings

PREDICTION = "slipway.prediction"
FEEDBACK = "slipway.feedback"
SERVICE = "slipway.service"
AUDIT = "slipway.audit"
DATASETS = (PREDICTION, FEEDBACK, SERVICE, AUDIT)


def stream(dataset: str, config: Settings) -> str:
    """Name this environment's data stream of a dataset, such as `logs-slipway.prediction-production`."""
    return f"logs-{dataset}-{config.environment}"


def streams(config: Settings) -> dict[str, str]:
    """Name every data stream of this environment, by dataset."""
    return {dataset: stream(dataset, config) for dataset in DATASETS}
