"""Bundle store of a machine that serves: a directory per digest, checked before it is admitted, complete or absent."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle import manifest, signing
from slipway.contracts.bundle.admission import require_admissible, require_servable
from slipway.errors import BundleError, DamagedFile
from slipway.serving_state import desired
from slipway.serving_state.desired import StoredVersion
from slipway.system import files

KEPT = 3  # bundles of a use case that stay though nothing uses them
_DRAFT = ".incoming-"
_STALE_SECONDS = 3600.0


def admit(registry: Registry, version: ModelVersion, store: Path) -> StoredVersion:
    """Admit the version to the store: check its server files, fetched unless they are stored already.

    Raises:
        BundleError: the version must not be served; the message is the reason.
        RegistryError: the registry failed: nothing is left behind, and another try may succeed.
    """
    stored = require_admissible(version.name, version.version, version.run_id, version.tags)
    directory = store / stored.digest
    if _is_complete(directory):
        require_servable(directory, stored)
    else:
        _fetch(registry, version, stored, store)
    if _stored_version(directory) != stored:
        files.write_json(directory / "version.json", stored)
    return stored


def prune(store: Path, usecase: str, used: Collection[str | None]) -> None:
    """Remove the use case's bundles except the newest three and those in use, and drafts of killed processes."""
    for draft in store.glob(f"{_DRAFT}*"):
        if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(draft, ignore_errors=True)
    own = [path for path in store.glob("*/version.json") if _usecase(path.parent) == usecase]
    for path in own:
        files.remove_drafts(path.parent, older_than=_STALE_SECONDS)
    newest_first = sorted(own, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[KEPT:]:
        if path.parent.name not in used:
            shutil.rmtree(path.parent, ignore_errors=True)


def _fetch(registry: Registry, version: ModelVersion, stored: StoredVersion, store: Path) -> None:
    with _draft(store) as draft:
        try:
            registry.fetch_bundle(version, draft)
        except BundleError as error:
            raise BundleError(str(error).replace(f" in {draft}", "").replace(f" of {draft}", "")) from None
        require_servable(draft, stored)
        files.write_json(draft / "version.json", stored)
        for path in (*draft.rglob("*"), draft):
            files.sync(path)
        _move_into_place(draft, store / stored.digest)


def _move_into_place(draft: Path, directory: Path) -> None:
    """Rename the draft to its digest, over a broken bundle; a complete one that appeared meanwhile stays."""
    try:
        draft.rename(directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if _is_complete(directory):
            return
        broken = draft.with_name(f"{draft.name}-broken")
        directory.rename(broken)
        draft.rename(directory)
        if broken.is_symlink() or broken.is_file():
            broken.unlink()
        shutil.rmtree(broken, ignore_errors=True)
    files.sync(directory.parent)


@contextmanager
def _draft(store: Path) -> Iterator[Path]:
    store.mkdir(parents=True, exist_ok=True)
    draft = store / f"{_DRAFT}{secrets.token_hex(8)}"
    draft.mkdir()  # with the mode that the umask leaves, where `mkdtemp` would always take 0700
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_complete(directory: Path) -> bool:
    """Whether every byte is there, and the required signature, which may have been added in the registry later."""
    with contextlib.suppress(BundleError):
        manifest.verify(directory, directory.name, serving_only=True)
        signing.require(directory)
        return not directory.is_symlink() and not (directory / "version.json").is_dir()
    return False


def _usecase(directory: Path) -> str | None:
    stored = _stored_version(directory)
    return stored.name if stored else None


def _stored_version(directory: Path) -> StoredVersion | None:
    """Read which version a stored bundle is; None if it is not known, or the file says nothing."""
    with contextlib.suppress(DamagedFile):
        return desired.stored_version(directory)
    return None
