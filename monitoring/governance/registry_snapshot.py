"""Snapshot of a registered model, as the watch process last read it: `audit/ENVIRONMENT/USECASE/seen.json`.

Nothing else is kept between two passes and over a restart: what differs from the snapshot has happened since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from slipway.audit_store import folder
from slipway.clients.mlflow.registry import ModelVersion
from slipway.contracts.registry_names import (
    BUNDLE_SHA256,
    DATA_SHA256,
    GIT_COMMIT,
    OVERRIDE,
    REFUSED,
    RETRAINING,
)
from slipway.errors import DataError
from slipway.settings import Settings
from slipway.storage import object_store


class VersionSnapshot(msgspec.Struct, frozen=True):
    """Facts of a version; `first` is the digest of its first snapshot and never changes.

    The last three go into the audit when the version is deleted.
    """

    digest: str | None
    first: str | None
    created_ms: int = 0
    override: str | None = None
    refused: str | None = None
    run_id: str = ""
    data_sha256: str | None = None
    git_commit: str | None = None

    def is_of(self, created_ms: int) -> bool:
        """Whether a version that was registered then is this one, and not another that got its number."""
        return self.created_ms in (0, created_ms)


class RegistrySnapshot(msgspec.Struct, frozen=True):
    """Snapshot of a registered model, taken at `at`.

    `altered` has the problems of the artifact store by `VERSION/FILE`; `gone` the deleted versions as `VERSION/CREATED`
    (in milliseconds; `VERSION` by an earlier release), each with the time at which its deletion was noticed.
    """

    at: str
    aliases: dict[str, str] = {}
    retraining: str | None = None
    versions: dict[str, VersionSnapshot] = {}
    altered: dict[str, str] = {}
    gone: dict[str, str] = {}

    @property
    def alterations(self) -> list[str]:
        """Problems of files in the artifact store and of digests in tags."""
        tags = [tag_altered(number, one) for number, one in self.versions.items() if one.digest != one.first]
        return [*self.altered.values(), *tags]


def take_snapshot(
    at: str,
    aliases: Mapping[str, str],
    tags: Mapping[str, str],
    versions: Sequence[ModelVersion],
    before: RegistrySnapshot | None,
) -> RegistrySnapshot:
    """Take a snapshot of the current state; facts of the past are copied from the snapshot `before`."""
    known = before.versions if before else {}
    there = {version.version: version.created_ms for version in versions}
    numbers = {number for number, created in there.items() if number not in known or known[number].is_of(created)}
    altered = before.altered.items() if before else ()
    left = {f"{number}/{known[number].created_ms}": at for number in known if number not in numbers}
    back = {f"{number}/{created}" for number, created in there.items()}  # of a model that was renamed for a while
    return RegistrySnapshot(
        at,
        dict(aliases),
        tags.get(RETRAINING),
        {
            version.version: _version(
                version, known[version.version] if version.version in numbers & known.keys() else None
            )
            for version in sorted(versions, key=lambda version: int(version.version))
        },
        {file: problem for file, problem in altered if file.partition("/")[0] in numbers},
        {version: at for version, at in ((before.gone if before else {}) | left).items() if version not in back},
    )


def read(config: Settings, usecase: str) -> RegistrySnapshot | None:
    """Read the last snapshot; None where there is none.

    Raises:
        DataError: the file was changed.
        ServiceError, OSError: the log cannot be read.
    """
    store, name = object_store(config), object_name(config, usecase)
    try:
        return msgspec.json.decode(store.read(name), type=RegistrySnapshot)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{name} under {store.url} was changed by somebody else ({error}). Find out who changed it, then "
            "remove it: the next pass takes a new snapshot of the registry as it is."
        ) from None


def write(config: Settings, usecase: str, found: RegistrySnapshot) -> None:
    object_store(config).put(object_name(config, usecase), msgspec.json.encode(found))


def tag_altered(number: str, one: VersionSnapshot) -> str:
    """Describe a digest in a tag that has changed."""
    first, now = ((digest or "nothing")[:12] for digest in (one.first, one.digest))
    return f"version {number} was altered: its tag {BUNDLE_SHA256} was {first} when first read, and is {now} now."


def _version(version: ModelVersion, before: VersionSnapshot | None) -> VersionSnapshot:
    return VersionSnapshot(
        version.digest,
        before.first if before else version.digest,
        version.created_ms,
        version.tags.get(OVERRIDE),
        version.tags.get(REFUSED),
        version.run_id,
        version.tags.get(DATA_SHA256),
        version.tags.get(GIT_COMMIT),
    )


def object_name(config: Settings, usecase: str) -> str:
    """Name the snapshot in the log."""
    return f"{folder(config, usecase)}/seen.json"
