"""API keys of Elasticsearch, one for each role, whose secrets go into files: the server shows a secret once."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring.elk.definitions import ROLES, prefixed, role_body
from monitoring.elk.plan import Action
from monitoring.elk.resource_kinds import MANAGED
from monitoring.elk.write_index import digest
from slipway.errors import SettingsError
from slipway.settings import Settings
from slipway.system.files import write_text

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_OWNER_ONLY = 0o600
_RIGHTS = "slipway_digest"  # of a key's rights, in its metadata


@dataclass(frozen=True)
class AccessKey:
    """A key of a role, and the file that its secret is in or goes into; `id` is None until the server has it."""

    role: str
    name: str
    file: Path
    rights: dict[str, Any]
    id: str | None = None
    is_current: bool = False

    @property
    def action(self) -> Action:
        if self.id is None:
            return Action.create
        return Action.keep if self.is_current else Action.update

    def __str__(self) -> str:
        if self.action is Action.create or self.file.is_file():
            return f"{self.action} API key {self.name}, in {self.file}"
        return (
            f"{self.action} API key {self.name}, whose secret is not in {self.file}: look for it elsewhere, or "
            "invalidate the key in Elasticsearch and run this again"
        )

    @property
    def metadata(self) -> dict[str, str]:
        """What the server keeps with the key: who manages it, and a digest of its rights."""
        return {**MANAGED, _RIGHTS: digest(self.rights)}

    @property
    def role_descriptors(self) -> dict[str, Any]:
        return {self.role: self.rights}


def existing(client: Elasticsearch, config: Settings, folder: Path, space: str) -> list[AccessKey]:
    """List the key of every role, with what the server has of it."""
    valid = client.security.get_api_key(name=f"{prefixed(config, '')}*", active_only=True)["api_keys"]
    by_name = {key["name"]: key for key in valid}
    return [_key(config, role, folder, space, by_name.get(prefixed(config, role))) for role in ROLES]


def _key(config: Settings, role: str, folder: Path, space: str, found: dict[str, Any] | None) -> AccessKey:
    body = role_body(config, role, space)
    rights = {part: body[part] for part in ("cluster", "indices", "applications")}
    wanted = AccessKey(role, prefixed(config, role), folder / role, rights)
    if found is None:
        return wanted
    is_current = (found.get("metadata") or {}).get(_RIGHTS) == wanted.metadata[_RIGHTS]
    return AccessKey(role, wanted.name, wanted.file, rights, found["id"], is_current)


def prepare(folder: Path) -> None:
    """Make the folder of the files, and try whether they can be written, before there is a key.

    Raises:
        SettingsError: they cannot.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            f"--keys {str(folder)!r}: keys cannot be written there ({error.strerror or error}). Nothing was changed. "
            "Name a folder that this user may write to."
        ) from None


def write(client: Elasticsearch, key: AccessKey) -> None:
    """Create a key, in a file that this user alone can read, or give an existing one the rights of its role.

    Raises:
        OSError: the file cannot be written; the new key is invalid then, since nobody knows its secret.
    """
    if key.id is not None:
        client.security.update_api_key(id=key.id, role_descriptors=key.role_descriptors, metadata=key.metadata)
        return
    made = client.security.create_api_key(name=key.name, role_descriptors=key.role_descriptors, metadata=key.metadata)
    try:
        write_text(key.file, made["encoded"] + "\n", mode=_OWNER_ONLY)
    except BaseException:
        client.security.invalidate_api_key(ids=[made["id"]])
        raise
