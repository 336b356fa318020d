"""The model registry in MLflow: registered models, their versions, aliases and tags, artifacts and runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from slipway.clients.mlflow.artifacts import Artifacts, ModelVersion

__all__ = ["ModelVersion", "RegisteredModel", "Registry"]


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model; `aliases` maps an alias to a version's number, as a string."""

    name: str
    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class Registry(Artifacts):
    """One registry; every method raises RegistryError if it does not respond, NotFound for an unknown name."""

    def models(self) -> list[RegisteredModel]:
        """List all registered models."""
        found = self._pages("registered-models/search", "registered_models", {"max_results": "100"})
        return [_model(item) for item in found]

    def model(self, name: str) -> RegisteredModel:
        """Read a model with all its aliases, in one request."""
        return _model(self._get("registered-models/get", name=name)["registered_model"])

    def version(self, name: str, version: str) -> ModelVersion:
        """Read a version."""
        return _version(self._get("model-versions/get", name=name, version=version)["model_version"])

    def versions(self, name: str) -> list[ModelVersion]:
        """List every version of a model, the newest first."""
        query = {"filter": f"name='{name}'", "max_results": "200"}
        found = [_version(item) for item in self._pages("model-versions/search", "model_versions", query)]
        return sorted(found, key=lambda version: int(version.version), reverse=True)

    def aliased(self, name: str, alias: str) -> ModelVersion | None:
        """Read the version that an alias names; None if the alias is not set."""
        number = self.model(name).aliases.get(alias)
        return None if number is None else self.version(name, number)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Set an alias, which moves it if another version has it."""
        self._send("POST", "registered-models/alias", name=name, alias=alias, version=version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias."""
        self._send("DELETE", "registered-models/alias", name=name, alias=alias)

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._send("POST", "model-versions/set-tag", name=name, version=version, key=key, value=value)

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        """Delete a tag of a version."""
        self._send("DELETE", "model-versions/delete-tag", name=name, version=version, key=key)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of a model."""
        self._send("POST", "registered-models/set-tag", name=name, key=key, value=value)

    def delete_model_tag(self, name: str, key: str) -> None:
        """Delete a tag of a model."""
        self._send("DELETE", "registered-models/delete-tag", name=name, key=key)


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
