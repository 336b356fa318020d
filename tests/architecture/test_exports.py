"""Exports: the names that each package offers to others. A name is added here on purpose, or not at all."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPORTED = {
    "slipway": ["__version__"],
    "slipway.cli": ["COMMANDS", "load_command", "main", "run_program"],
    "slipway.config": [
        "NAME",
        "Canary",
        "Cost",
        "Csv",
        "Feature",
        "Monitoring",
        "Reason",
        "Serving",
        "Slice",
        "Source",
        "UseCase",
        "decoder",
        "load",
        "names",
    ],
    "slipway.contracts.schema": [
        "BUCKETS",
        "CONTRACT",
        "IMAGE_STATISTICS",
        "READABLE_CONTRACTS",
        "Feature",
        "RowKeyer",
        "Schema",
        "Split",
        "TableFormat",
        "bin_labels",
        "bucket",
        "compatible",
        "is_canonical",
        "key_text",
        "mask",
        "row_key",
        "side",
    ],
    "slipway.ecs_logging": ["RedactingFilter", "Redaction", "known_secrets", "start"],
    "slipway.inference": [
        "FIRST",
        "Encoder",
        "InputWarning",
        "PixelLimits",
        "Prediction",
        "Predictor",
        "Row",
        "all_true",
        "decode",
        "decode_image",
        "encode",
        "encode_png",
        "image_statistics",
        "images_decoded",
        "pixels_sha256",
        "rows_from_frame",
    ],
    "slipway.local": [
        "PORTS",
        "LocalServices",
        "Stack",
        "State",
        "claim_services",
        "local_services",
        "login_file",
        "page_links",
        "running_stack",
        "services",
        "use_running_stack",
    ],
    "slipway.local.doctor": ["Diagnosis", "examine"],
    "slipway.prediction_log": [
        "IMAGES",
        "Compactor",
        "LeftOut",
        "Log",
        "Segment",
        "Writer",
        "adopt_orphans",
        "archive",
        "captured",
        "connect",
        "describe",
        "lines_in",
        "move_image",
        "parse_instant",
        "segments",
    ],
    "slipway.storage": ["ObjectStore", "object_store"],
    "pipelines.artifacts": [
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
    ],
    "pipelines.gates": ["GATES"],
    "pipelines.modeling.networks": ["ROWS_AT_ONCE", "build", "calibrated", "load", "predict", "trainable"],
    "bentos.api.web_page": ["FOLDER", "HEADERS", "MEDIA_TYPES", "render"],
    "bentos.auth": ["Authenticator", "Cors", "check_bind_address", "listening_addresses"],
    "bentos.images": [
        "Packaged",
        "build_bento",
        "build_image",
        "from_alias",
        "from_directory",
        "from_version",
        "require_engine",
    ],
    "bentos.models": ["LoadedModel", "ModelManager", "load"],
    "bentos.smoke": ["Check", "Client", "Expected", "read_reference", "smoke"],
    "monitoring.rollout": ["RolloutController", "RolloutView"],
    "scenarios.closed_loop": ["KINDS", "ClosedLoop", "ClosedLoopResult"],
    "scenarios.demo": ["Demo"],
}


def packages() -> set[str]:
    """Return every importable package and its folders with an `__init__.py`."""
    roots = ("slipway", "pipelines", "bentos", "monitoring", "scenarios")
    found = [path for root in roots for path in (ROOT / root).rglob("__init__.py")]
    return {".".join(path.parent.relative_to(ROOT).parts) for path in found}


def test_every_package_that_exports_is_listed_here():
    assert EXPORTED.keys() <= packages()


@pytest.mark.parametrize("package", EXPORTED)
def test_a_package_exports_what_is_listed_here(package):
    module = importlib.import_module(package)
    assert list(getattr(module, "__all__", [])) == EXPORTED[package]
    assert [name for name in EXPORTED[package] if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", sorted(packages() - EXPORTED.keys()))
def test_a_package_that_exports_nothing_holds_nothing(package):
    body = ast.parse((ROOT / Path(*package.split(".")) / "__init__.py").read_text()).body
    assert all(isinstance(node, ast.Expr) for node in body)
