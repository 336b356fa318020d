"""The five ways in which a bundle can be broken: each damages a valid one and returns the expected reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from slipway.contracts.bundle import manifest
from slipway.contracts.schema import Schema
from tests.support import bundles


def change_a_byte(directory: Path) -> str:
    path = directory / "serve" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return "is not what was registered"


def lose_a_file(directory: Path) -> str:
    (directory / "serve" / "probe.json").unlink()
    return "serve/probe.json is missing"


def write_a_newer_contract(directory: Path) -> str:
    path = directory / manifest.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"contract": 99}))
    return "contract version 99"


def fail_a_gate(directory: Path) -> str:
    schema = Schema.load(directory / "serve" / "schema.json")
    shutil.rmtree(directory)
    bundles.write(directory, schema, bias=2.0, passed=False)
    return "its gates failed: ROC AUC is 0.6; at least 0.7 is needed."


def mix_up_the_digest(directory: Path) -> str:
    """Leave the bundle intact, to be registered with a wrong digest: sixty-four zeros."""
    return "the registry says " + "0" * 64


BREAKS = [change_a_byte, lose_a_file, write_a_newer_contract, mix_up_the_digest, fail_a_gate]
