"""Changes of aliases and of Slipway's tags, read from the requests that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflow.protos import model_registry_pb2 as requests

from monitoring.release.admissibility import has_served
from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.contracts.registry_names import (
    BUNDLE_SHA256,
    CANARY,
    CHAMPION,
    DATA_SHA256,
    FIRST_WEIGHT,
    GIT_COMMIT,
    OVERRIDE,
    PREFIX,
    REFUSED,
    ROLLOUT,
    SERVING_PREFIX,
)

MOVED, TAG_SET, TAG_REMOVED = "alias.moved", "tag.set", "tag.removed"
# Who changes one of these decides what answers callers: the canary becomes the champion after its stages.
DECISIVE_ALIASES = (CHAMPION, CANARY)
DECISIVE_TAGS = (OVERRIDE, REFUSED, ROLLOUT, FIRST_WEIGHT, BUNDLE_SHA256)


# Without a line these are not made; others only take something out of service, or say what happened.
_NEVER_UNWRITTEN = (OVERRIDE, FIRST_WEIGHT, BUNDLE_SHA256)


@dataclass(frozen=True)
class RegistryChange:
    """A change that a request is about to make; `to` is the version that gets `alias`.

    It is `decisive` if only those may make it who may move `champion`. `refusal` is why nobody may.
    """

    usecase: str
    action: str
    version: str | None
    evidence: dict[str, Any]
    decisive: bool
    alias: str | None = None
    to: ModelVersion | None = None
    refusal: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def must_be_written(self) -> bool:
        """Whether it brings something new into service, or lifts a refusal: a log that is down stops no rollback."""
        if self.to is not None:
            return not has_served(self.to)
        lifts = self.action == TAG_REMOVED and self.evidence["tag"] == REFUSED
        return lifts or "tags" in self.evidence or self.evidence.get("tag") in _NEVER_UNWRITTEN


def _alias_set(request: Any, registry: Registry) -> RegistryChange | None:
    model, version = registry.model(request.name), registry.version(request.name, request.version)
    if not (_is_ours(model) or _has_ours(version.tags)):
        return None
    return _move(model, request.alias, version.version, version)


def _alias_deleted(request: Any, registry: Registry) -> RegistryChange | None:
    model = registry.model(request.name)
    number = model.aliases.get(request.alias)
    if number is None or not (_is_ours(model) or _has_ours(registry.version(request.name, number).tags)):
        return None
    return _move(model, request.alias, None, None)


def _move(model: RegisteredModel, alias: str, to: str | None, version: ModelVersion | None) -> RegistryChange | None:
    before = model.aliases.get(alias)
    if before == to:
        return None
    evidence = {"alias": alias, "from": before, "to": to}
    decisive = alias in DECISIVE_ALIASES
    return RegistryChange(model.name, MOVED, to or before, evidence, decisive, alias, version, aliases=model.aliases)


def _version_tag_set(request: Any, registry: Registry) -> RegistryChange | None:
    version = registry.version(request.name, request.version)
    return _tag(request, version.version, version.tags, request.value)


def _version_tag_deleted(request: Any, registry: Registry) -> RegistryChange | None:
    version = registry.version(request.name, request.version)
    return _tag(request, version.version, version.tags, None)


def _model_tag_set(request: Any, registry: Registry) -> RegistryChange | None:
    return _tag(request, None, registry.model(request.name).tags, request.value)


def _model_tag_deleted(request: Any, registry: Registry) -> RegistryChange | None:
    return _tag(request, None, registry.model(request.name).tags, None)


def _tag(request: Any, version: str | None, tags: Mapping[str, str], to: str | None) -> RegistryChange | None:
    before = tags.get(request.key)
    if not request.key.startswith(PREFIX) or before == to:
        return None
    evidence = {"tag": request.key, "from": before, "to": to}
    action = TAG_REMOVED if to is None else TAG_SET
    return RegistryChange(request.name, action, version, evidence, _decides_tag(request.key))


def _decides_tag(key: str) -> bool:
    """Whether a tag decides; what servers said of a version spares it checks, so only the reconciler may say it."""
    return key in DECISIVE_TAGS or key.startswith(SERVING_PREFIX)


def _created(request: Any, registry: Registry) -> RegistryChange | None:
    """A version or a model whose first tags decide something already."""
    tags = {tag.key: tag.value for tag in request.tags if _decides_tag(tag.key) and tag.key != BUNDLE_SHA256}
    return RegistryChange(request.name, TAG_SET, None, {"tags": tags}, True) if tags else None


def _version_deleted(request: Any, registry: Registry) -> RegistryChange | None:
    model, version = registry.model(request.name), registry.version(request.name, request.version)
    if not _has_ours(version.tags):
        return None
    held = [alias for alias, number in model.aliases.items() if number == version.version]
    facts = {"bundle_sha256": BUNDLE_SHA256, "data_sha256": DATA_SHA256, "git_commit": GIT_COMMIT}
    evidence = {name: version.tags.get(tag) for name, tag in facts.items()} | {"run_id": version.run_id}
    evidence["moved"] = [{"alias": alias, "from": version.version, "to": None} for alias in held]
    return RegistryChange(model.name, "version.deleted", version.version, evidence, _decides(held))


def _model_deleted(request: Any, registry: Registry) -> RegistryChange | None:
    model = registry.model(request.name)
    if not _is_ours(model) and not any(_has_ours(version.tags) for version in registry.versions(request.name)):
        return None
    evidence = {"moved": [{"alias": alias, "from": number, "to": None} for alias, number in model.aliases.items()]}
    return RegistryChange(model.name, "model.deleted", None, evidence, _decides(model.aliases))


def _model_renamed(request: Any, registry: Registry) -> RegistryChange | None:
    """Nobody may: each bundle has its use case's name, and servers refuse one that is registered under another."""
    deleted = _model_deleted(request, registry)
    if deleted is None:
        return None
    reason = (
        f"{request.name} cannot be named {request.new_name!r}: its bundles are of the use case {request.name}, and "
        "servers would refuse them under another name. Train the other use case instead."
    )
    return RegistryChange(request.name, "model.renamed", None, deleted.evidence, True, refusal=reason)


def _decides(aliases: Iterable[str]) -> bool:
    return bool(set(DECISIVE_ALIASES).intersection(aliases))


def _is_ours(model: RegisteredModel) -> bool:
    return _has_ours(model.tags)


def _has_ours(tags: Mapping[str, str]) -> bool:
    return any(key.startswith(PREFIX) for key in tags)


Reader = Callable[[Any, Registry], "RegistryChange | None"]
READERS: dict[type, Reader] = {
    requests.SetRegisteredModelAlias: _alias_set,
    requests.DeleteRegisteredModelAlias: _alias_deleted,
    requests.SetModelVersionTag: _version_tag_set,
    requests.DeleteModelVersionTag: _version_tag_deleted,
    requests.SetRegisteredModelTag: _model_tag_set,
    requests.DeleteRegisteredModelTag: _model_tag_deleted,
    requests.CreateModelVersion: _created,
    requests.CreateRegisteredModel: _created,
    requests.DeleteModelVersion: _version_deleted,
    requests.DeleteRegisteredModel: _model_deleted,
    requests.RenameRegisteredModel: _model_renamed,
}
"""Readers by MLflow's request; whatever its route, REST or the UI's, a request is read as MLflow reads it."""
