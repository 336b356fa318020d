"""What the watch process last saw of a model in the registry: `audit/ENVIRONMENT/USECASE/seen.json`.

It is all that is remembered between two passes and over a restart. What differs from it happened since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from slipway.audit_replica import folder
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
    """`first` is the digest that the version had when it was first seen: nothing ever changes that. The last three are
    what outlives the version in the audit when it is deleted."""

    digest: str | None
    first: str | None
    created_ms: int = 0
    override: str | None = None
    refused: str | None = None
    run_id: str = ""
    data_sha256: str | None = None
    git_commit: str | None = None


class RegistrySnapshot(msgspec.Struct, frozen=True):
    """One picture of a registered model, taken at `at`.

    `altered` says what is wrong in the artifact store, by `VERSION/FILE`; `gone` are the versions that were deleted,
    each with the time at which that was seen.
    """

    at: str
    aliases: dict[str, str] = {}
    retraining: str | None = None
    versions: dict[str, VersionSnapshot] = {}
    altered: dict[str, str] = {}
    gone: dict[str, str] = {}

    @property
    def alterations(self) -> list[str]:
        """What is not as it was registered, in the store or in a tag."""
        tags = [tag_altered(number, one) for number, one in self.versions.items() if one.digest != one.first]
        return [*self.altered.values(), *tags]


def take_snapshot(
    at: str,
    aliases: Mapping[str, str],
    tags: Mapping[str, str],
    versions: Sequence[ModelVersion],
    before: RegistrySnapshot | None,
) -> RegistrySnapshot:
    """What is there now; what only the past knows is taken over from the picture before."""
    known = before.versions if before else {}
    numbers = {version.version for version in versions}
    altered = before.altered.items() if before else ()
    return RegistrySnapshot(
        at,
        dict(aliases),
        tags.get(RETRAINING),
        {
            version.version: _version(version, known.get(version.version))
            for version in sorted(versions, key=lambda version: int(version.version))
        },
        {place: said for place, said in altered if place.partition("/")[0] in numbers},
        {**(before.gone if before else {}), **{number: at for number in known if number not in numbers}},
    )


def read(config: Settings, usecase: str) -> RegistrySnapshot | None:
    """The last picture; None where there is none.

    Raises:
        DataError: it is not what was written there.
        ServiceError, OSError: the log's place cannot be read.
    """
    store, name = object_store(config), _name(config, usecase)
    try:
        return msgspec.json.decode(store.read(name), type=RegistrySnapshot)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DataError(
            f"{name} under {store.url} is not what was written there ({error}). Look into who changed it, then "
            "remove it: what is there now is then taken as it is."
        ) from None


def write(config: Settings, usecase: str, found: RegistrySnapshot) -> None:
    object_store(config).put(_name(config, usecase), msgspec.json.encode(found))


def tag_altered(number: str, one: VersionSnapshot) -> str:
    return (
        f"version {number} was altered: its tag {BUNDLE_SHA256} said {(one.first or 'nothing')[:12]} when it was "
        f"first seen, and says {(one.digest or 'nothing')[:12]} now."
    )


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


def _name(config: Settings, usecase: str) -> str:
    return f"{folder(config, usecase)}/seen.json"
