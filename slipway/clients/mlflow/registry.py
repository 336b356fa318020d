"""The model registry over MLflow's REST API, without MLflow's client: what servers and commands need, and no more.

Routes as MLflow 3 documents them (https://mlflow.org/docs/latest/api_reference/rest-api.html); artifacts come through
the tracking server's proxy, so nobody but the server needs the store's credentials.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import http.client
import io
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from slipway.contracts.bundle import manifest as bundle
from slipway.contracts.registry_names import BUNDLE_SHA256
from slipway.errors import BundleError, NotFound, RegistryError
from slipway.settings import settings

_MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_PROXIED = "mlflow-artifacts:"
_CHUNK = 1 << 20
_MOST_ANSWER = 64 << 20
_MOST_ARTIFACT = 16 << 30
_MOST_SMALL = 16 << 20


@dataclass(frozen=True)
class RegisteredModel:
    """`aliases` maps an alias to a version's number, as a string."""

    name: str
    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelVersion:
    name: str
    version: str
    run_id: str
    source: str
    tags: dict[str, str] = field(default_factory=dict)
    created_ms: int = 0

    @property
    def digest(self) -> str | None:
        return self.tags.get(BUNDLE_SHA256)


class Registry:
    """One registry; every method raises RegistryError where it does not answer, NotFound where a name is unknown."""

    def __init__(self, uri: str | None = None, timeout: float = 10.0) -> None:
        self.uri = (uri or settings().registry_uri).rstrip("/")
        self.timeout = timeout
        self.clock_offset: float | None = None  # seconds that this machine's clock is ahead of the registry's
        if not self.uri.startswith(("http://", "https://")):
            raise RegistryError(
                f"the registry {self.uri} is not a server: set MLFLOW_TRACKING_URI to an http:// or https:// address."
            )
        if "@" in urllib.parse.urlsplit(self.uri).netloc:
            raise RegistryError(
                "MLFLOW_TRACKING_URI holds a user or a password: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD instead, which no message shows."
            )

    def alive(self) -> bool:
        try:
            with self._open("GET", "/health"):
                return True
        except RegistryError:
            return False

    def models(self) -> list[RegisteredModel]:
        found = self._pages("registered-models/search", "registered_models", {"max_results": "100"})
        return [_model(item) for item in found]

    def model(self, name: str) -> RegisteredModel:
        """The model with all its aliases, in one request."""
        return _model(self._get("registered-models/get", name=name)["registered_model"])

    def version(self, name: str, version: str) -> ModelVersion:
        return _version(self._get("model-versions/get", name=name, version=version)["model_version"])

    def versions(self, name: str) -> list[ModelVersion]:
        """Every version, the newest first."""
        query = {"filter": f"name='{name}'", "max_results": "200"}
        found = [_version(item) for item in self._pages("model-versions/search", "model_versions", query)]
        return sorted(found, key=lambda version: int(version.version), reverse=True)

    def aliased(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias names; None where the alias is not set."""
        number = self.model(name).aliases.get(alias)
        return None if number is None else self.version(name, number)

    def run(self, run_id: str) -> dict[str, Any]:
        """MLflow's run: `info` and `data`."""
        return self._get("runs/get", run_id=run_id)["run"]

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._send("POST", "registered-models/alias", name=name, alias=alias, version=version)

    def delete_alias(self, name: str, alias: str) -> None:
        self._send("DELETE", "registered-models/alias", name=name, alias=alias)

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self._send("POST", "model-versions/set-tag", name=name, version=version, key=key, value=value)

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        self._send("DELETE", "model-versions/delete-tag", name=name, version=version, key=key)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        self._send("POST", "registered-models/set-tag", name=name, key=key, value=value)

    def delete_model_tag(self, name: str, key: str) -> None:
        self._send("DELETE", "registered-models/delete-tag", name=name, key=key)

    def fetch_bundle(self, version: ModelVersion, into: Path, *, serving_only: bool = True) -> str:
        """Download the version's bundle into the directory and check every byte; returns its digest.

        Raises:
            BundleError: it is not what was registered, lacks a file, or the version has no digest.
        """
        if version.digest is None:
            raise BundleError(
                f"{version.name} version {version.version} has no tag {BUNDLE_SHA256}: it was not registered by "
                "Slipway, or the tag was removed. Train and register it again."
            )
        base = self._artifact_path(self._source(version))
        self._fetch_file(version, base, bundle.MANIFEST, into)
        bundle.read_manifest(into, version.digest)  # nothing more comes of a version that is not what was registered
        for name in bundle.SERVER_FILES if serving_only else bundle.FILES:
            self._fetch_file(version, base, name, into)
        with contextlib.suppress(NotFound):
            self._download(f"{base}/{bundle.SIGNATURE}", into / bundle.SIGNATURE, bundle.LIMITS[bundle.SIGNATURE])
        bundle.verify(into, version.digest, serving_only=serving_only)
        return version.digest

    def artifacts(self, run_id: str, folder: str) -> list[str]:
        """The paths of the files that lie in a folder of a run's artifacts."""
        found = self._get("artifacts/list", run_id=run_id, path=folder).get("files", ())
        return [item["path"] for item in found if not item.get("is_dir")]

    def fetch_artifact(self, run_id: str, path: str, into: Path) -> Path:
        """Download one file of a run's artifacts to `into`."""
        base = self._artifact_path(self.run(run_id)["info"]["artifact_uri"])
        self._download(f"{base}/{path}", into, _MOST_ARTIFACT)
        return into

    def small_artifact(self, uri: str, path: str) -> bytes:
        """The bytes of a small file below a folder of artifacts: `uri` is a run's `artifact_uri`, or a version's."""
        with self._open("GET", self._proxied(uri, path)) as answer:
            content = io.BytesIO()
            _copy(answer, content.write, path, _MOST_SMALL)
        return content.getvalue()

    def put_artifact(self, uri: str, path: str, content: bytes) -> None:
        """Leave a file below a run's `artifact_uri`, over what is there."""
        with self._open("PUT", self._proxied(uri, path), content) as answer:
            answer.read()

    def experiment(self, name: str) -> str:
        """The id of an experiment, a deleted one too; raises NotFound where there never was one."""
        return self._get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"]

    def create_experiment(self, name: str) -> str:
        return self._send("POST", "experiments/create", name=name)["experiment_id"]

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """An experiment's runs that are not deleted, the oldest first: of each MLflow's `info` and `data`."""
        found: list[dict[str, Any]] = []
        body = {"experiment_ids": [experiment], "order_by": ["attributes.start_time ASC"], "max_results": 1000}
        answer = self._send("POST", "runs/search", **body)
        found += answer.get("runs", ())
        while token := answer.get("next_page_token"):
            answer = self._send("POST", "runs/search", **body, page_token=token)
            found += answer.get("runs", ())
        return found

    def create_run(self, experiment: str, name: str) -> dict[str, Any]:
        started = int(time.time() * 1000)
        return self._send("POST", "runs/create", experiment_id=experiment, run_name=name, start_time=started)["run"]

    def manifest(self, version: ModelVersion) -> bytes:
        """The bytes of the version's `manifest.json` as they lie in the store now, unchecked."""
        return self.small_artifact(self._source(version), bundle.MANIFEST)

    def sha256(self, version: ModelVersion, name: str) -> str:
        """The digest of one file of the version's bundle, as it lies in the store now."""
        found = hashlib.sha256()
        with self._open("GET", self._proxied(self._source(version), name)) as answer:
            _copy(answer, found.update, name, bundle.LIMITS[name])
        return found.hexdigest()

    def _source(self, version: ModelVersion) -> str:
        answer = self._get("model-versions/get-download-uri", name=version.name, version=version.version)
        return answer["artifact_uri"]

    def _proxied(self, uri: str, path: str) -> str:
        return f"/api/2.0/mlflow-artifacts/artifacts/{urllib.parse.quote(f'{self._artifact_path(uri)}/{path}')}"

    def _artifact_path(self, uri: str) -> str:
        if not uri.startswith(_PROXIED):
            raise RegistryError(
                f"the artifacts lie at {uri}, which only the server can read: start MLflow with --serve-artifacts."
            )
        return urllib.parse.urlsplit(uri).path.strip("/")

    def _fetch_file(self, version: ModelVersion, base: str, name: str, into: Path) -> None:
        try:
            self._download(f"{base}/{name}", into / name, bundle.LIMITS[name])
        except NotFound:
            raise BundleError(f"{name} is missing in {version.name} version {version.version}.") from None

    def _download(self, path: str, into: Path, most_bytes: int) -> None:
        """Raises BundleError as soon as more than `most_bytes` have come; nothing of them stays."""
        into.parent.mkdir(parents=True, exist_ok=True)
        draft = into.with_name(into.name + ".part")
        try:
            with (
                self._open("GET", f"/api/2.0/mlflow-artifacts/artifacts/{urllib.parse.quote(path)}") as answer,
                draft.open("wb") as file,
            ):
                _copy(answer, file.write, path, most_bytes)
            draft.replace(into)
        finally:
            draft.unlink(missing_ok=True)

    def _pages(self, route: str, key: str, query: dict[str, str]) -> Iterable[dict[str, Any]]:
        token = ""
        while True:
            answer = self._get(route, **query, **({"page_token": token} if token else {}))
            yield from answer.get(key, ())
            token = answer.get("next_page_token", "")
            if not token:
                return

    def _get(self, route: str, **query: str) -> dict[str, Any]:
        with self._open("GET", f"/api/2.0/mlflow/{route}?{urllib.parse.urlencode(query)}") as answer:
            return _json(answer, self.uri)

    def _send(self, method: str, route: str, **body: Any) -> dict[str, Any]:
        with self._open(method, f"/api/2.0/mlflow/{route}", json.dumps(body).encode()) as answer:
            return _json(answer, self.uri)

    def _open(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self.uri + path, body, _headers(body), method=method)
        asked = time.time()
        try:
            answer = urllib.request.urlopen(request, timeout=self.timeout)
            self.clock_offset = _clock_offset(answer.headers.get("Date"), asked)
            return answer
        except urllib.error.HTTPError as error:
            raise _refusal(error, self.uri) from None
        except (urllib.error.URLError, OSError) as error:
            raise RegistryError(
                f"the registry {self.uri} does not answer ({getattr(error, 'reason', error)}): "
                "start it (`slipway up`), or set MLFLOW_TRACKING_URI to one that runs."
            ) from None


def _clock_offset(date: str | None, asked: float) -> float | None:
    """Date (RFC 9110) is cut to whole seconds, so it is half a second old on average; as is half of the way there."""
    try:
        told = email.utils.parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return None
    return (asked + time.time()) / 2 - told - 0.5


def _model(item: dict[str, Any]) -> RegisteredModel:
    aliases = {entry["alias"]: str(entry["version"]) for entry in item.get("aliases", ())}
    return RegisteredModel(item["name"], aliases, _tags(item))


def _version(item: dict[str, Any]) -> ModelVersion:
    return ModelVersion(
        name=item["name"],
        version=str(item["version"]),
        run_id=item.get("run_id", ""),
        source=item.get("source", ""),
        tags=_tags(item),
        created_ms=int(item.get("creation_timestamp", 0)),
    )


def _tags(item: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in item.get("tags", ())}


def _headers(body: bytes | None) -> dict[str, str]:
    """MLflow's own variables name who asks, as with its client."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    elif user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return headers


def _copy(answer: Any, write: Callable[[bytes], Any], path: str, most_bytes: int) -> None:
    left = most_bytes
    try:
        while content := answer.read(_CHUNK):
            left -= len(content)
            if left < 0:
                raise BundleError(f"{path} has more than {most_bytes} bytes, which are the most that it may have.")
            write(content)
    except (OSError, http.client.HTTPException) as error:
        raise RegistryError(f"the download of {path} broke off ({error}): try again.") from None
    if answer.length:
        raise RegistryError(f"the download of {path} broke off {answer.length} bytes before its end: try again.")


def _json(answer: IO[bytes], uri: str) -> dict[str, Any]:
    try:
        return json.loads(answer.read(_MOST_ANSWER))
    except (ValueError, RecursionError):
        raise RegistryError(f"{uri} does not answer as MLflow does: is another program on that port?") from None


def _refusal(error: urllib.error.HTTPError, uri: str) -> RegistryError:
    """MLflow's error as ours; it answers a missing alias with 400, a missing model with 404."""
    try:
        content = json.loads(error.read())
        code, message = content.get("error_code", ""), content.get("message", "")
    except (ValueError, AttributeError, OSError):
        code, message = "", error.reason
    kind = NotFound if error.code == 404 or code in _MISSING else RegistryError
    return kind(f"the registry {uri} answered {error.code}: {message or code}")
