"""Files that the steps of a run exchange: their paths, and one record per JSON file."""

from pipelines.artifacts.data import (
    AddedLabels,
    ChangePoint,
    CleaningReport,
    DataSource,
    Disagreement,
    ExpectationResult,
    LabelCounts,
    LabelReport,
    SplitReport,
    ValidationReport,
)
from pipelines.artifacts.json_files import Artifact, History, read_history, write_history, write_json
from pipelines.artifacts.model import (
    BaselineScore,
    CalibrationBin,
    EvaluationReport,
    GatedReport,
    LogLoss,
    ParityReport,
    Probe,
    Registration,
    Score,
    SliceScore,
    TrainingReport,
)
from pipelines.artifacts.provenance import BundleFacts, Champion, Provenance
from pipelines.artifacts.run_paths import STEPS, RunPaths

__all__ = [
    "STEPS",
    "AddedLabels",
    "Artifact",
    "BaselineScore",
    "BundleFacts",
    "CalibrationBin",
    "Champion",
    "ChangePoint",
    "CleaningReport",
    "DataSource",
    "Disagreement",
    "EvaluationReport",
    "ExpectationResult",
    "GatedReport",
    "History",
    "LabelCounts",
    "LabelReport",
    "LogLoss",
    "ParityReport",
    "Probe",
    "Provenance",
    "Registration",
    "RunPaths",
    "Score",
    "SliceScore",
    "SplitReport",
    "TrainingReport",
    "ValidationReport",
    "read_history",
    "write_history",
    "write_json",
]
