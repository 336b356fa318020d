"""Whether the artifact store still holds what was registered, a file at a time: cheap enough for every pass.

In turn: the manifest of each version, and every other file of those that an alias names. All bytes of all versions are
what `slipway history` checks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from monitoring.governance.registry_snapshot import RegistrySnapshot
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle import manifest
from slipway.contracts.bundle.manifest import Manifest
from slipway.errors import BundleError, NotFound


class ArtifactCheck:
    """Remembers whose turn it is."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._turn: dict[str, int] = {}

    def look(self, versions: Sequence[ModelVersion], picture: RegistrySnapshot) -> tuple[str, str | None] | None:
        """The next file, as `VERSION/FILE`, and what is wrong with it; None where there is no version yet.

        It is held against the digest that the version had when it was first seen.

        Raises:
            RegistryError: it does not answer.
        """
        named = set(picture.aliases.values())
        files = [
            (version, name)
            for version in versions
            for name in (manifest.MANIFEST, *(manifest.FILES if version.version in named else ()))
        ]
        if not files:
            return None
        usecase = versions[0].name
        turn = self._turn.get(usecase, 0) % len(files)
        self._turn[usecase] = turn + 1
        version, name = files[turn]
        return f"{version.version}/{name}", self._problem(version, name, picture.versions[version.version].first)

    def _problem(self, version: ModelVersion, name: str, digest: str | None) -> str | None:
        said = f"version {version.version} was altered in the store: {name}"
        try:
            expected = digest if name == manifest.MANIFEST else self._listed(version, name, digest)
            if expected is None or self._registry.sha256(version, name) == expected:
                return None
        except NotFound:
            return f"{said} is missing."
        except BundleError as error:
            return f"{said}: {error}"
        return f"{said} is not what was registered."

    def _listed(self, version: ModelVersion, name: str, digest: str | None) -> str | None:
        """The sha256 that the manifest says of a file; None where the manifest itself is altered: its turn tells."""
        content = self._registry.manifest(version)
        if hashlib.sha256(content).hexdigest() != digest:
            return None
        return msgspec.json.decode(content, type=Manifest).files.get(name)
