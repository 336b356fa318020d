"""API keys of Elasticsearch, one per role, whose secrets go into files: the server shows each once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitoring.elk.definitions import ROLES, prefixed, role_body
from monitoring.elk.resource_kinds import MANAGED
from slipway.settings import Settings
from slipway.system.files import write_text

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_OWNER_ONLY = 0o600


@dataclass(frozen=True)
class AccessKey:
    """A key of a role: `exists` on the server, and the file that its secret is in or goes into."""

    role: str
    name: str
    file: Path
    exists: bool

    def __str__(self) -> str:
        if not self.exists:
            return f"create API key {self.name}, in {self.file}"
        if self.file.is_file():
            return f"keep API key {self.name}, in {self.file}"
        return (
            f"keep API key {self.name}, whose secret is not in {self.file}: look for it elsewhere, or invalidate "
            "the key in Elasticsearch and run this again"
        )


def existing(client: Elasticsearch, config: Settings, folder: Path) -> list[AccessKey]:
    """The keys of every role, as far as they are valid."""
    valid = client.security.get_api_key(name=f"{prefixed(config, '')}*", active_only=True)["api_keys"]
    names = {key["name"] for key in valid}
    return [AccessKey(role, prefixed(config, role), folder / role, prefixed(config, role) in names) for role in ROLES]


def create(client: Elasticsearch, config: Settings, key: AccessKey, space: str) -> None:
    """Create a key with the rights of its role, in a file that this user alone can read."""
    body = role_body(config, key.role, space)
    rights = {part: body[part] for part in ("cluster", "indices", "applications")}
    key.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = client.security.create_api_key(name=key.name, role_descriptors={key.role: rights}, metadata=MANAGED)
    write_text(key.file, made["encoded"] + "\n", mode=_OWNER_ONLY)
