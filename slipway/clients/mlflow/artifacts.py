"""Artifacts in MLflow, through the tracking server's proxy: nobody but the server needs the store's credentials."""

from __future__ import annotations

import contextlib
import hashlib
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.clients.http import read_chunks
from slipway.clients.mlflow.documents import DownloadUri, Files
from slipway.clients.mlflow.runs import Runs
from slipway.contracts.bundle import manifest
from slipway.contracts.registry_names import BUNDLE_SHA256
from slipway.errors import BundleError, NotFound, RegistryError, ResponseTooLarge, ServiceError
from slipway.texts import one_line

_ROUTE = "/api/2.0/mlflow-artifacts/artifacts"
_PROXIED = "mlflow-artifacts:"
_MAX_ARTIFACT = 16 << 30
_MAX_SMALL = 16 << 20


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model; `created_ms` counts from 1970."""

    name: str
    version: str
    run_id: str
    source: str
    tags: dict[str, str] = field(default_factory=dict)
    created_ms: int = 0

    @property
    def digest(self) -> str | None:
        """The bundle's digest; None for a version that Slipway did not register."""
        return self.tags.get(BUNDLE_SHA256)


class Artifacts(Runs):
    """Files of runs and bundles of versions; nothing is kept of a file that is larger than it may be."""

    def fetch_bundle(self, version: ModelVersion, into: Path, *, serving_only: bool = True) -> str:
        """Download the version's bundle into the directory and check every byte; returns its digest.

        Raises:
            BundleError: it is not what was registered, lacks a file, or the version has no digest.
        """
        return self.fetch_files(version, into, manifest.SERVER_FILES if serving_only else manifest.FILES)

    def fetch_files(self, version: ModelVersion, into: Path, names: Sequence[str]) -> str:
        """Download the manifest, its signature and these files of the bundle. Returns and raises as `fetch_bundle`."""
        if version.digest is None:
            raise BundleError(
                f"{version.name} version {version.version} has no tag {BUNDLE_SHA256}: it was not registered by "
                "Slipway, or the tag was removed. Train and register it again."
            )
        base = self._artifact_path(self._source(version))
        self._fetch_file(version, base, manifest.MANIFEST, into)
        manifest.read_manifest(into, version.digest)  # nothing more is downloaded of a version that was changed
        for name in names:
            self._fetch_file(version, base, name, into)
        with contextlib.suppress(NotFound):
            self._download(f"{base}/{manifest.SIGNATURE}", into / manifest.SIGNATURE, _limit(manifest.SIGNATURE))
        manifest.verify_files(into, names, version.digest)
        return version.digest

    def artifacts(self, run_id: str, folder: str) -> list[str]:
        """List the paths of the files in a folder of a run's artifacts; "" is that of the run itself."""
        at = {"path": folder} if folder else {}  # MLflow lists nothing of a bucket for an empty path
        pages = self._pages(lambda token: self._get(Files, "artifacts/list", run_id=run_id, **at, **token))
        return [file.path for page in pages for file in page.files if not file.is_dir]

    def fetch_artifact(self, run_id: str, path: str, into: Path) -> Path:
        """Download one file of a run's artifacts to `into`."""
        base = self._artifact_path(self.run(run_id).info.artifact_uri)
        self._download(f"{base}/{path}", into, _MAX_ARTIFACT)
        return into

    def small_artifact(self, uri: str, path: str) -> bytes:
        """Read a file of at most 16 MiB below a folder of artifacts: a run's `artifact_uri`, or a version's."""
        pieces: list[bytes] = []
        self._read(f"{self._artifact_path(uri)}/{path}", pieces.append, _MAX_SMALL)
        return b"".join(pieces)

    def put_artifact(self, uri: str, path: str, content: bytes) -> None:
        """Write a file below a run's `artifact_uri`, replacing the one that is there."""
        self._request("PUT", _route(f"{self._artifact_path(uri)}/{path}"), content=content)

    def manifest(self, version: ModelVersion) -> bytes:
        """Read the version's `manifest.json` as it is in the store now, unchecked."""
        return self.small_artifact(self._source(version), manifest.MANIFEST)

    def sha256(self, version: ModelVersion, name: str) -> str:
        """Compute the digest of one file of the version's bundle, as it is in the store now."""
        digest = hashlib.sha256()
        self._read(f"{self._artifact_path(self._source(version))}/{name}", digest.update, _limit(name))
        return digest.hexdigest()

    def _source(self, version: ModelVersion) -> str:
        route = "model-versions/get-download-uri"
        return self._get(DownloadUri, route, name=version.name, version=version.version).artifact_uri

    def _artifact_path(self, uri: str) -> str:
        if not uri.startswith(_PROXIED):
            raise RegistryError(
                f"the artifacts lie at {one_line(uri)}, which only the server can read: "
                "start MLflow with --serve-artifacts."
            )
        try:
            return urllib.parse.urlsplit(uri).path.strip("/")
        except ValueError as error:
            raise RegistryError(f"the registry names {one_line(uri)} for artifacts, which is no URI: {error}") from None

    def _fetch_file(self, version: ModelVersion, base: str, name: str, into: Path) -> None:
        try:
            self._download(f"{base}/{name}", into / name, _limit(name))
        except NotFound:
            raise BundleError(f"{name} is missing in {version.name} version {version.version}.") from None

    def _download(self, path: str, into: Path, max_bytes: int) -> None:
        """Raises BundleError as soon as more than `max_bytes` have arrived; nothing of them stays."""
        into.parent.mkdir(parents=True, exist_ok=True)
        draft = into.with_name(into.name + ".part")
        try:
            with draft.open("wb") as file:
                self._read(path, file.write, max_bytes)
            draft.replace(into)
        finally:
            draft.unlink(missing_ok=True)

    def _read(self, path: str, write: Callable[[bytes], Any], max_bytes: int) -> None:
        """Hand an artifact to `write` as it arrives."""
        with self._stream(_route(path)) as response:
            try:
                for chunk in read_chunks(response, max_bytes):
                    write(chunk)
            except ResponseTooLarge:
                raise BundleError(
                    f"{path} has more than {max_bytes} bytes, which are the most that it may have."
                ) from None
            except ServiceError as error:
                raise RegistryError(f"the download of {path} broke off ({error}): try again.") from None


def _route(path: str) -> str:
    return f"{_ROUTE}/{urllib.parse.quote(path)}"


def _limit(name: str) -> int:
    return manifest.LIMITS[name]
