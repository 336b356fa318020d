"""Records of the model steps: train, evaluate, export, gate and register."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from pipelines.artifacts.json_files import Artifact
from slipway.contracts.bundle.gate_report import Gate


class LogLoss(msgspec.Struct, frozen=True, kw_only=True):
    """Log loss of the validation rows before and after calibration."""

    uncalibrated: float
    calibrated: float


class TrainingReport(Artifact, frozen=True, kw_only=True):
    """`training.json` of train: devices, hyperparameters and duration of the training.

    `temperature` and `threshold` are None where the task has none; `target_scale` is the unit of differences between
    outputs: 1 for probabilities, the target's standard deviation in a regression.
    """

    FILE: ClassVar[str] = "training.json"

    device: str
    devices: list[str]
    strategy: str
    replicas: int
    seconds: float
    epochs: int
    best_epoch: int
    seed: int
    rows: dict[str, int]
    network: str
    weights: int
    params: dict[str, Any]
    threshold: float | None
    target_scale: float
    temperature: float | None
    validation_log_loss: LogLoss | UnsetType = UNSET


class Score(msgspec.Struct, frozen=True):
    """Metric with its 95 % interval; all None where the rows do not define it."""

    value: float | None
    low: float | None
    high: float | None


class BaselineScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score of the baseline model `name` on the holdout; `difference` is how much better the network is, paired."""

    name: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    difference: Score | UnsetType = UNSET

    @property
    def is_beaten(self) -> bool:
        """Whether the network is shown to be better."""
        low = self.difference.low if self.difference else None
        return low is not None and low > 0


class SliceScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score of one slice of the holdout; `difference` is how much better it is than the score of all rows."""

    feature: str
    value: str
    rows: int
    score: float | None
    difference: Score


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Mean predicted probability of a bin's rows, and the frequency that was observed."""

    rows: int
    predicted: float
    observed: float


class EvaluationReport(Artifact, frozen=True, kw_only=True):
    """`metrics.json` of evaluate: scores on the holdout. `metric` is the one that comparisons and slices use.

    `trivial` is the model that knows no feature (not in earlier files), `baseline` the linear one, None for images.

    `calibration` and `confusion` (true class by predicted class) are None in a regression; `rows` counts each side.
    """

    FILE: ClassVar[str] = "metrics.json"

    metric: str
    scores: dict[str, Score]
    calibration: list[CalibrationBin] | None
    confusion: list[list[int]] | None
    slices: list[SliceScore]
    rows: dict[str, int] = {}
    temperature: float | None = None
    baseline: BaselineScore | None = None
    trivial: BaselineScore | UnsetType = UNSET


class GatedReport(EvaluationReport, frozen=True, kw_only=True):
    """`metrics.json` of gate, which becomes that of the bundle: the evaluation with the verdicts of the gates."""

    gates: list[Gate]
    passed: bool


class ParityReport(Artifact, frozen=True, kw_only=True):
    """`parity.json` of export: the largest difference from Keras, and between single rows and a batch."""

    FILE: ClassVar[str] = "parity.json"

    rows: int
    keras: float
    keras_limit: float
    alone: float
    alone_limit: float


class Probe(Artifact, frozen=True, kw_only=True):
    """`probe.json` of a bundle's `serve/`: a few rows, and the exported network's outputs for them."""

    FILE: ClassVar[str] = "probe.json"

    rows: list[dict[str, Any]]
    outputs: list[list[float]]


class Registration(Artifact, frozen=True, kw_only=True):
    """`result.json` of register: the registered version. `already` tells whether an earlier call registered it."""

    FILE: ClassVar[str] = "result.json"

    name: str
    version: str
    run_id: str
    gate: str
    reasons: list[str]
    digest: str | None
    already: bool
