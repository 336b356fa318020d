"""Manifest of a bundle, the directory that training hands to serving and monitoring: digests of all its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from slipway.contracts.bundle import json_limits
from slipway.contracts.schema import CONTRACT, READABLE_CONTRACTS
from slipway.errors import BundleError, DamagedFile
from slipway.system.files import file_sha256

MANIFEST = "manifest.json"
METRICS = "metrics.json"
CARD = "card.md"
SIGNATURE = "manifest.sig"
SERVE_FILES = ("serve/model.onnx", "serve/schema.json", "serve/serving.json", "serve/probe.json")
MONITOR_FILES = ("monitor/reference.parquet", "monitor/thresholds.json")
SERVER_FILES = (METRICS, *SERVE_FILES)
FILES = (*SERVER_FILES, *MONITOR_FILES, CARD)
PROBE_TOLERANCE = 1e-3  # a GPU sums in another order; a wrong network is off by far more
# The most bytes that a file may have: far more than ours have, and nothing that fills a server's disk or memory.
LIMITS = {
    MANIFEST: 1 << 20,
    SIGNATURE: 1 << 10,
    METRICS: 16 << 20,
    CARD: 16 << 20,
    "serve/model.onnx": 1 << 30,
    "serve/schema.json": 16 << 20,
    "serve/serving.json": 1 << 20,
    "serve/probe.json": 128 << 20,
    "monitor/reference.parquet": 1 << 30,
    "monitor/thresholds.json": 16 << 20,
}


class Manifest(msgspec.Struct, frozen=True):
    """`files` maps each path to the sha256 of its bytes; `facts` say what made them (data, commit, libraries)."""

    contract: int
    usecase: str
    files: dict[str, str]
    facts: dict[str, Any] = {}


def write(directory: Path, usecase: str, facts: dict[str, Any], files: Sequence[str] = FILES) -> str:
    """Write the manifest of all files in the directory; returns its sha256, which is the bundle's digest.

    `files` are those that must lie there; a server needs SERVER_FILES only.

    Raises:
        BundleError: a file that a bundle has is missing, or one lies there that it has not.
    """
    found = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    if set(found) != set(files):
        wrong = sorted(set(found) ^ set(files))
        raise BundleError(f"{directory} is no whole bundle: {', '.join(wrong)} missing or not of one.")
    digests = {name: file_sha256(found[name]) for name in sorted(found)}
    manifest = msgspec.json.format(msgspec.json.encode(Manifest(CONTRACT, usecase, digests, facts)), indent=1)
    (directory / MANIFEST).write_bytes(manifest)
    return hashlib.sha256(manifest).hexdigest()


def verify(directory: Path, digest: str | None = None, *, serving_only: bool = False) -> Manifest:
    """Check every file against the manifest, and the manifest against `digest`, before anything is parsed.

    Raises:
        BundleError: a byte differs, a file is missing, too large, a link or lies behind one, JSON is nested too deep,
            the manifest lists what no bundle has, or the contract version is not readable.
    """
    return verify_files(directory, SERVER_FILES if serving_only else FILES, digest)


def verify_files(directory: Path, names: Sequence[str], digest: str | None = None) -> Manifest:
    """Check these files as `verify` does."""
    manifest = read_manifest(directory, digest)
    for name in _listed(manifest, directory, names):
        if name.endswith(".json"):
            _read_file(directory, name, manifest.files[name])
        else:
            _check_plain(directory, name)
            _check_digest(directory, name, file_sha256(directory / name), manifest.files[name])
    return manifest


def read_verified(directory: Path, digest: str | None = None) -> tuple[Manifest, dict[str, bytes]]:
    """Read the files of a server, by name; what was checked is what is returned, whatever the disk holds later.

    Raises BundleError as `verify` does.
    """
    content = {MANIFEST: _read_manifest_bytes(directory, digest)}
    manifest = _parse_manifest(directory, content[MANIFEST])
    for name in _listed(manifest, directory, SERVER_FILES):
        content[name] = _read_file(directory, name, manifest.files[name])
    return manifest, content


def read(directory: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read files of a bundle that was verified before. Raises BundleError for one that is none, or is too large."""
    return {name: _read_plain(directory, name) for name in names}


def read_manifest(directory: Path, digest: str | None = None) -> Manifest:
    """Read the manifest, after its bytes are checked against `digest`, and check its contract version."""
    return _parse_manifest(directory, _read_manifest_bytes(directory, digest))


def _read_manifest_bytes(directory: Path, digest: str | None) -> bytes:
    path = directory / MANIFEST
    if not path.exists():
        raise DamagedFile(f"{directory} holds no manifest: there is no {path}.")
    content = _read_plain(directory, MANIFEST)
    found = hashlib.sha256(content).hexdigest()
    if digest is not None and found != digest:
        raise DamagedFile(f"the bundle's digest is {found}, the registry says {digest}: it was changed, or mixed up.")
    return content


def _parse_manifest(directory: Path, content: bytes) -> Manifest:
    path = directory / MANIFEST
    _check_nesting(directory, MANIFEST, content)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not a manifest: {error}") from None
    if manifest.contract not in READABLE_CONTRACTS:
        raise BundleError(
            f"the bundle is of contract version {manifest.contract}; this release reads {list(READABLE_CONTRACTS)}: "
            "install a newer Slipway here, or train the model with this one."
        )
    return manifest


def _listed(manifest: Manifest, directory: Path, names: Sequence[str]) -> Sequence[str]:
    """Return the names, all of which the manifest must list, and beside them nothing that no bundle has."""
    if unlisted := sorted(set(manifest.files) - set(FILES)):
        raise BundleError(f"the manifest of {directory} lists {unlisted[0]!r}, which no bundle has.")
    for name in names:
        if name not in manifest.files:
            raise BundleError(f"the manifest of {directory} does not list {name}.")
    return names


def _read_file(directory: Path, name: str, sha256: str) -> bytes:
    """Read a file and check the bytes that were read."""
    content = _read_plain(directory, name)
    _check_digest(directory, name, hashlib.sha256(content).hexdigest(), sha256)
    if name.endswith(".json"):
        _check_nesting(directory, name, content)
    return content


def _read_plain(directory: Path, name: str) -> bytes:
    size = _check_plain(directory, name)
    with (directory / name).open("rb") as file:
        return file.read(size + 1)  # it may have grown since: with a byte more it matches no digest


def _check_digest(directory: Path, name: str, found: str, sha256: str) -> None:
    if found != sha256:
        raise DamagedFile(
            f"{name} in {directory} is not what was registered: its sha256 is {found}, the manifest says {sha256}."
        )


def _check_plain(directory: Path, name: str) -> int:
    """Return a file's size. Raises BundleError for one that is none, too large, or read from outside the directory."""
    path = directory / name
    ways = [path, *path.parents[: len(Path(name).parts) - 1]]
    if any(way.is_symlink() for way in ways) or not path.is_file():
        raise DamagedFile(f"{name} is missing in {directory}, or is no plain file (a link?): fetch the bundle again.")
    if (size := path.stat().st_size) > LIMITS[name]:
        raise BundleError(f"{name} in {directory} has {size} bytes, {LIMITS[name]} are allowed.")
    return size


def _check_nesting(directory: Path, name: str, content: bytes) -> None:
    if problem := json_limits.problem(content):
        raise BundleError(f"{name} in {directory} is refused: {problem}.")
