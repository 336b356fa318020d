"""A registry of one model in memory, with what rollouts ask of one; it can break off before any of its writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from slipway.errors import NotFound
from slipway.registry import ModelVersion, RegisteredModel


class BrokenOff(Exception):
    """The process was killed here."""


class RegistryInMemory:
    """`writes` is what was asked of it; with `writes_left`, it breaks off before the next one."""

    uri = "http://memory"

    def __init__(self, name: str, *versions: str) -> None:
        self.name = name
        self.aliases: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.found = {number: ModelVersion(name, number, "run", "", {}) for number in versions}
        self.writes: list[tuple[Any, ...]] = []
        self.writes_left: int | None = None
        self.seen: Callable[[], None] = lambda: None

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
        self._write("set_alias", alias, version)
        self.aliases[alias] = version

    def delete_alias(self, name: str, alias: str) -> None:
        self._write("delete_alias", alias)
        self.aliases.pop(alias, None)

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.version(name, version)
        self._write("set_version_tag", version, key)
        self.found[version].tags[key] = value

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        self._write("delete_version_tag", version, key)
        self.found[version].tags.pop(key, None)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        self._write("set_model_tag", key)
        self.tags[key] = value

    def delete_model_tag(self, name: str, key: str) -> None:
        self._write("delete_model_tag", key)
        self.tags.pop(key, None)

    def _write(self, *what: str) -> None:
        if self.writes_left is not None:
            if not self.writes_left:
                raise BrokenOff(what)
            self.writes_left -= 1
        self.writes.append(what)
