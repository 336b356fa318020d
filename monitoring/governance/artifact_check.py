"""Check of the artifact store: does it still contain what was registered? One file per pass, each once in ten minutes.

A round covers the manifest of every version, and every other file of the versions that have an alias. `slipway history`
checks every byte of every version.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from monitoring.governance.registry_snapshot import RegistrySnapshot
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle import manifest
from slipway.contracts.bundle.manifest import Manifest
from slipway.errors import BundleError, NotFound

ROUND_SECONDS = 600.0


@dataclass
class _Round:
    """A pass over all files of a use case: when it began, and the files that it has checked."""

    began: float
    checked: set[str] = field(default_factory=set)


class ArtifactCheck:
    """Checks the files of the artifact store in rounds, of which one begins every ten minutes."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._rounds: dict[str, _Round] = {}

    def check_next(self, versions: Sequence[ModelVersion], snapshot: RegistrySnapshot) -> tuple[str, str | None] | None:
        """Check the next file: its name as `VERSION/FILE`, and its problem; None while this round has none left.

        The file is compared with the digest that the version had when it was first read.

        Raises:
            RegistryError: the registry does not respond.
        """
        if not versions:
            return None
        files = list(_files(versions, set(snapshot.aliases.values())))
        checked = self._round(versions[0].name, {file for file, *_ in files}).checked
        for file, version, name in files:
            if file not in checked:
                checked.add(file)
                return file, self._problem(version, name, snapshot.versions[version.version].first)
        return None

    def _round(self, usecase: str, files: set[str]) -> _Round:
        """The current round; a new one where the last one is complete and began ten minutes ago."""
        found = self._rounds.setdefault(usecase, _Round(self._clock()))
        if files <= found.checked and self._clock() - found.began >= ROUND_SECONDS:
            found = self._rounds[usecase] = _Round(self._clock())
        return found

    def _problem(self, version: ModelVersion, name: str, digest: str | None) -> str | None:
        altered = f"version {version.version} was altered in the store: {name}"
        try:
            expected = digest if name == manifest.MANIFEST else self._listed(version, name, digest)
            if expected is None or self._registry.sha256(version, name) == expected:
                return None
        except NotFound:
            return f"{altered} is missing."
        except BundleError as error:
            return f"{altered}: {error}"
        return f"{altered} is not what was registered."

    def _listed(self, version: ModelVersion, name: str, digest: str | None) -> str | None:
        """The sha256 of a file by the manifest; None where the manifest is altered, which its own check finds."""
        content = self._registry.manifest(version)
        if hashlib.sha256(content).hexdigest() != digest:
            return None
        return msgspec.json.decode(content, type=Manifest).files.get(name)


def _files(versions: Sequence[ModelVersion], aliased: set[str]) -> Iterator[tuple[str, ModelVersion, str]]:
    """The files of a round, each as `VERSION/FILE`, with its version and name."""
    for version in versions:
        for name in (manifest.MANIFEST, *(manifest.FILES if version.version in aliased else ())):
            yield f"{version.version}/{name}", version, name
