"""Registry of one model in memory, for rollouts; it can break off before any of its writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel
from slipway.errors import NotFound


class BrokenOff(Exception):
    """Simulated kill of the process."""


class RegistryInMemory:
    """With `writes_left`, every write after so many raises `died`, also those of functions that it guards. `champions`
    is what the alias named after each one."""

    uri = "http://memory"

    def __init__(self, name: str, *versions: str) -> None:
        self.name = name
        self.aliases: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.found = {number: ModelVersion(name, number, "run", "", {}) for number in versions}
        self.writes_left: int | None = None
        self.died: type[Exception] = BrokenOff
        self.broke = False
        self.champions: list[str | None] = []

    def model(self, name: str) -> RegisteredModel:
        if name != self.name:
            raise NotFound(name)
        return RegisteredModel(name, dict(self.aliases), dict(self.tags))

    def version(self, name: str, version: str) -> ModelVersion:
        if version not in self.found:
            raise NotFound(f"no version {version}")
        return replace(self.found[version], tags=dict(self.found[version].tags))

    def versions(self, name: str) -> list[ModelVersion]:
        return [self.version(name, number) for number in sorted(self.found, key=int, reverse=True)]

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self.version(name, version)
        self._write()
        self.aliases[alias] = version

    def delete_alias(self, name: str, alias: str) -> None:
        self._write()
        self.aliases.pop(alias, None)

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.version(name, version)
        self._write()
        self.found[version].tags[key] = value

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        self._write()
        self.found[version].tags.pop(key, None)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        self._write()
        self.tags[key] = value

    def delete_model_tag(self, name: str, key: str) -> None:
        self._write()
        self.tags.pop(key, None)

    def guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._write()
            return function(*args, **kwargs)

        return call

    def _write(self) -> None:
        self.champions.append(self.aliases.get("champion"))
        if self.writes_left is not None:
            if not self.writes_left:
                self.broke = True
                raise self.died("the process ended here, or whom it asked")
            self.writes_left -= 1
