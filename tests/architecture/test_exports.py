"""What each package lets others use. A name is added here on purpose, or not at all."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPORTED = {
    "slipway": ["__version__"],
    "slipway.cli": ["COMMANDS", "load", "main"],
    "slipway.demo": ["Check", "Demo", "Result", "table"],
    "slipway.doctor": ["Finding", "examine"],
    "slipway.loop": ["KINDS", "Loop", "LoopResult"],
    "slipway.prediction_log": [
        "IMAGES",
        "Log",
        "Place",
        "Segment",
        "Writer",
        "adopt_orphans",
        "archive",
        "captured",
        "connect",
        "instant",
        "lines_in",
        "move_image",
        "place",
        "segments",
    ],
    "slipway.predictor": [
        "FIRST",
        "Encoder",
        "InputWarning",
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
    "slipway.schema": [
        "BUCKETS",
        "CONTRACT",
        "IMAGE_STATISTICS",
        "READABLE_CONTRACTS",
        "Feature",
        "Identifier",
        "Schema",
        "Split",
        "bin_labels",
        "bucket",
        "compatible",
        "complete",
        "from_usecase",
        "is_canonical",
        "key_text",
        "mask",
        "row_key",
        "side",
    ],
    "slipway.smoke": ["Check", "Client", "Expected", "read_reference", "smoke"],
    "slipway.usecase": [
        "NAME",
        "Canary",
        "Cost",
        "Csv",
        "Feature",
        "Inputs",
        "Monitoring",
        "Reason",
        "Serving",
        "Slice",
        "Source",
        "UseCase",
        "load",
        "names",
    ],
    "slipway.stack": [
        "PORTS",
        "Home",
        "Process",
        "Stack",
        "State",
        "answers",
        "die_with",
        "free_port",
        "home",
        "join",
        "links",
        "running",
        "services",
        "settle",
    ],
    "pipelines": [],
    "pipelines.gates": ["GATES", "gate"],
    "pipelines.networks": ["MEMBERS", "build", "calibrated", "load", "predict", "trainable"],
    "bentos": [],
    "bentos.access": [
        "Cors",
        "Gate",
        "check",
        "configured",
        "is_loopback",
        "listening_addresses",
    ],
    "bentos.images": ["Packaged", "build_bento", "build_image", "current", "given", "of_version", "require_engine"],
    "bentos.models": ["Holder", "Loaded", "load"],
    "bentos.page": ["HEADERS", "Asset", "asset", "index"],
    "monitoring": [],
    "monitoring.rollout": ["Rollouts", "View"],
    "monitoring.status": [],
}


def packages() -> set[str]:
    """Every folder with an `__init__.py` in the rooms that are importable."""
    rooms = ("slipway", "pipelines", "bentos", "monitoring")
    found = [path for room in rooms for path in (ROOT / room).rglob("__init__.py")]
    return {".".join(path.parent.relative_to(ROOT).parts) for path in found}


def test_every_package_says_what_it_exports():
    assert packages() == EXPORTED.keys()


@pytest.mark.parametrize("package", EXPORTED)
def test_a_package_exports_what_is_listed_here(package):
    module = importlib.import_module(package)
    assert list(getattr(module, "__all__", [])) == EXPORTED[package]
    assert [name for name in EXPORTED[package] if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", [name for name, names in EXPORTED.items() if not names])
def test_a_package_that_exports_nothing_holds_nothing(package):
    body = ast.parse((ROOT / Path(*package.split(".")) / "__init__.py").read_text()).body
    assert all(isinstance(node, ast.Expr | ast.ImportFrom) for node in body)
