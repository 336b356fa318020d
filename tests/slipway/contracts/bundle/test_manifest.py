from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from slipway.contracts.bundle import gate_report, manifest
from slipway.errors import BundleError, GateRefused
from tests.support import bundles


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Path, str]:
    return tmp_path / "bundle", bundles.write(tmp_path / "bundle", bundles.TABULAR)


def test_a_complete_bundle_is_accepted_and_its_digest_is_the_manifests(bundle: tuple[Path, str]) -> None:
    folder, digest = bundle
    assert manifest.verify(folder, digest).usecase == "loans"
    assert hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", manifest.FILES)
def test_one_changed_byte_in_any_file_is_noticed(bundle: tuple[Path, str], name: str) -> None:
    folder, digest = bundle
    content = bytearray((folder / name).read_bytes() or b"x")
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} .* is not what was registered"):
        manifest.verify(folder, digest)


def test_a_manifest_that_was_written_anew_does_not_match_the_registrys_digest(bundle: tuple[Path, str]) -> None:
    folder, digest = bundle
    content = json.loads((folder / "manifest.json").read_bytes())
    content["facts"]["git_commit"] = "another"
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="the registry says"):
        manifest.verify(folder, digest)


def test_a_missing_file_and_a_link_are_refused(bundle: tuple[Path, str]) -> None:
    folder, digest = bundle
    model = folder / "serve/model.onnx"
    elsewhere = folder.parent / "model.onnx"
    model.rename(elsewhere)
    with pytest.raises(BundleError, match="serve/model.onnx is missing"):
        manifest.verify(folder, digest)
    model.symlink_to(elsewhere)
    with pytest.raises(BundleError, match="no plain file"):
        manifest.verify(folder, digest)


def test_a_server_needs_only_its_own_files(bundle: tuple[Path, str]) -> None:
    folder, digest = bundle
    for name in set(manifest.FILES) - set(manifest.SERVER_FILES):
        (folder / name).unlink()
    assert manifest.verify(folder, digest, serving_only=True)
    with pytest.raises(BundleError, match="is missing"):
        manifest.verify(folder, digest)


def test_a_newer_contract_is_refused_with_what_to_do(bundle: tuple[Path, str]) -> None:
    folder, _ = bundle
    content = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(content | {"contract": 9}))
    with pytest.raises(BundleError, match="contract version 9.*install a newer Slipway"):
        manifest.verify(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_an_invalid_manifest_is_reported(bundle: tuple[Path, str], content: bytes) -> None:
    folder, _ = bundle
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match="is not a manifest"):
        manifest.verify(folder)


def test_a_stray_file_keeps_a_bundle_from_being_written(bundle: tuple[Path, str]) -> None:
    folder, _ = bundle
    (folder / "manifest.json").unlink()
    (folder / "model.pkl").write_bytes(b"")
    with pytest.raises(BundleError, match=r"model\.pkl"):
        manifest.write(folder, "loans", {})


def _say(folder: Path, passed: bool, verdict: str) -> None:
    gate = {"name": "auc", "figure": 0.6, "threshold": 0.7, "verdict": verdict, "sentence": "AUC 0.6 is below 0.7."}
    (folder / "metrics.json").write_text(json.dumps({"passed": passed, "gates": [gate]}))


def test_a_failed_gate_is_refused_with_its_reason_unless_someone_overrode_it(bundle: tuple[Path, str]) -> None:
    folder, _ = bundle
    _say(folder, False, "failed")
    with pytest.raises(GateRefused, match=r"AUC 0.6 is below 0.7.*slipway\.override"):
        gate_report.require_passed(gate_report.read_gate_report(folder))
    assert (
        gate_report.require_passed(gate_report.read_gate_report(folder), "ada: the new rule needs it").passed is False
    )


def test_a_verdict_that_contradicts_its_gates_is_refused(bundle: tuple[Path, str]) -> None:
    folder, _ = bundle
    _say(folder, True, "failed")
    with pytest.raises(BundleError, match="says passed of a gate that failed"):
        gate_report.read_gate_report(folder)


def test_no_verdict_is_no_pass(bundle: tuple[Path, str]) -> None:
    folder, _ = bundle
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(BundleError, match="no gate verdict"):
        gate_report.require_passed(gate_report.read_gate_report(folder))
