"""Schemas of versions by their bundles' digests: what the log does not tell of the features that it holds."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.schema import Schema
from slipway.errors import BundleError, RegistryError
from slipway.settings import Settings

_FILE = "serve/schema.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SECONDS = 5.0


def load_schemas(usecase: str, digests: Collection[str], config: Settings) -> dict[str, Schema]:
    """Return the schemas of these bundles, without those that neither this machine nor the registry has any more."""
    wanted = {digest for digest in digests if _DIGEST.fullmatch(digest)}
    found = {digest: schema for digest in wanted if (schema := _kept(config, digest))}
    if missing := wanted - found.keys():
        found |= dict(_fetched(usecase, missing, config))
    return found


def _kept(config: Settings, digest: str) -> Schema | None:
    for folder in (_folder(config), config.var / "monitor", config.store):
        with contextlib.suppress(BundleError):
            schema = Schema.load(folder / digest / _FILE)
            if folder == _folder(config):
                os.utime(folder / digest)  # what nobody uses is removed one day
            return schema
    return None


def _fetched(usecase: str, missing: Collection[str], config: Settings) -> Iterator[tuple[str, Schema]]:
    """Fetch schemas from the registry, and keep them: a version may be deleted while its predictions are in the log."""
    registry = Registry(config.registry_uri, _SECONDS)
    with contextlib.suppress(RegistryError):
        for version in registry.versions(usecase):
            if version.digest and version.digest in missing:
                with contextlib.suppress(BundleError):
                    yield version.digest, _fetch(registry, version, config)


def _fetch(registry: Registry, version: ModelVersion, config: Settings) -> Schema:
    folder = _folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as draft:
        bundle = Path(draft) / "bundle"
        digest = registry.fetch_files(version, bundle, [_FILE])
        schema = Schema.load(bundle / _FILE)
        with contextlib.suppress(OSError):  # another process was faster
            bundle.rename(folder / digest)
    return schema


def _folder(config: Settings) -> Path:
    return config.var / "schemas"
