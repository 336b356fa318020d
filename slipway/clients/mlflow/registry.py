"""The model registry in MLflow: registered models, their versions, aliases and tags, artifacts and runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from slipway.clients.mlflow import documents
from slipway.clients.mlflow.artifacts import Artifacts, ModelVersion
from slipway.clients.mlflow.documents import Accepted, Models, Tag, Versions
from slipway.errors import RegistryError

__all__ = ["ModelVersion", "RegisteredModel", "Registry"]


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model; `aliases` maps an alias to a version's number, as a string; `created_ms` counts from 1970."""

    name: str
    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    created_ms: int = 0


class Registry(Artifacts):
    """One registry; every method raises RegistryError if it does not respond, NotFound for an unknown name."""

    def models(self) -> list[RegisteredModel]:
        """List all registered models."""
        pages = self._pages(lambda token: self._get(Models, "registered-models/search", max_results="100", **token))
        return [_model(item) for page in pages for item in page.registered_models]

    def model(self, name: str) -> RegisteredModel:
        """Read a model with all its aliases, in one request."""
        found = self._get(documents.ModelResponse, "registered-models/get", name=name).registered_model
        if found.name != name:
            raise RegistryError(f"{self.uri} was asked for the model {name}, and answered another one.")
        return _model(found)

    def version(self, name: str, version: str) -> ModelVersion:
        """Read a version."""
        found = self._get(documents.VersionResponse, "model-versions/get", name=name, version=version).model_version
        if (found.name, found.version) != (name, version):
            raise RegistryError(f"{self.uri} was asked for version {version} of {name}, and answered another one.")
        return _version(found)

    def versions(self, name: str) -> list[ModelVersion]:
        """List every version of a model, the newest first."""
        query = {"filter": f"name='{name}'", "max_results": "200"}
        pages = self._pages(lambda token: self._get(Versions, "model-versions/search", **query, **token))
        found = [_version(item) for page in pages for item in page.model_versions if item.name == name]
        return sorted(found, key=lambda version: int(version.version), reverse=True)

    def aliased(self, name: str, alias: str) -> ModelVersion | None:
        """Read the version that an alias names; None if the alias is not set."""
        number = self.model(name).aliases.get(alias)
        return None if number is None else self.version(name, number)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Set an alias, which moves it if another version has it."""
        self._send(Accepted, "POST", "registered-models/alias", name=name, alias=alias, version=version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias."""
        self._send(Accepted, "DELETE", "registered-models/alias", name=name, alias=alias)

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._send(Accepted, "POST", "model-versions/set-tag", name=name, version=version, key=key, value=value)

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        """Delete a tag of a version."""
        self._send(Accepted, "DELETE", "model-versions/delete-tag", name=name, version=version, key=key)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of a model."""
        self._send(Accepted, "POST", "registered-models/set-tag", name=name, key=key, value=value)

    def delete_model_tag(self, name: str, key: str) -> None:
        """Delete a tag of a model."""
        self._send(Accepted, "DELETE", "registered-models/delete-tag", name=name, key=key)


def _model(item: documents.Model) -> RegisteredModel:
    aliases = {entry.alias: entry.version for entry in item.aliases}
    return RegisteredModel(item.name, aliases, _tags(item.tags), item.creation_timestamp)


def _version(item: documents.Version) -> ModelVersion:
    return ModelVersion(
        name=item.name,
        version=item.version,
        run_id=item.run_id,
        source=item.source,
        tags=_tags(item.tags),
        created_ms=item.creation_timestamp,
    )


def _tags(tags: tuple[Tag, ...]) -> dict[str, str]:
    return {tag.key: tag.value for tag in tags}
