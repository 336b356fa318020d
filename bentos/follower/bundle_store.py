"""The store of a machine that serves: bundles under their digest, checked before they are let in, whole or absent."""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle import gate_report, signing
from slipway.contracts.bundle import manifest as bundle
from slipway.errors import BundleError
from slipway.serving_state import desired
from slipway.serving_state.desired import StoredVersion
from slipway.system import files as files_module

KEPT = 3
OVERRIDE, REFUSED = "slipway.override", "slipway.refused"
_WHO_WHY = re.compile(r"[^:]*\S[^:]*:\s*\S.*", re.DOTALL)
_DRAFT = ".incoming-"
_STALE_SECONDS = 3600.0


def admit(registry: Registry, version: ModelVersion, store: Path) -> StoredVersion:
    """Have the version's server files in the store: those that lie there, else fetched, checked either way.

    Raises:
        BundleError: the version must not be served; the message is the reason.
        RegistryError: the registry broke off: nothing is left behind, and another try may succeed.
    """
    if refused := version.tags.get(REFUSED):
        raise BundleError(f"it carries the tag {REFUSED}: {refused} Remove the tag to have it tried again.")
    if version.digest is None or not re.fullmatch(r"[0-9a-f]{64}", version.digest):
        raise BundleError(
            f"its tag slipway.bundle_sha256 is {version.digest!r}, a sha256 is needed: it was not registered "
            "by Slipway, or the tag was changed. Train and register it again."
        )
    found = StoredVersion(version.name, version.version, version.digest, version.run_id, version.tags.get(OVERRIDE))
    directory = store / version.digest
    if _whole(directory):
        check(directory, found)
    else:
        _fetch(registry, version, found, store)
    if desired.stored_version(directory) != found:
        files_module.write_json(directory / "version.json", found)
    return found


def check(directory: Path, found: StoredVersion) -> None:
    """Raises BundleError where whole bytes must not be served: unsigned, another use case's, or with a failed gate.

    A signature is asked for where keys are trusted (SLIPWAY_TRUSTED_KEYS). A failed gate passes where the version's tag
    says who overrides it, and why.
    """
    manifest = bundle.read_manifest(directory, found.digest)
    signing.require(directory)
    if manifest.usecase != found.name:
        raise BundleError(f"the bundle is of the use case {manifest.usecase!r}, and registered as {found.name!r}.")
    if found.override and not _WHO_WHY.fullmatch(found.override):
        raise BundleError(f"its tag {OVERRIDE} is {found.override!r}; it must say `WHO: WHY`.")
    gate_report.require_passed(directory, found.override)


def prune(store: Path, usecase: str, used: Collection[str | None]) -> None:
    """Keep the use case's three newest bundles and those that are used; drafts of the killed go, too."""
    for draft in store.glob(f"{_DRAFT}*"):
        if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(draft, ignore_errors=True)
    files = [path for path in store.glob("*/version.json") if _name(path.parent) == usecase]
    newest_first = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[KEPT:]:
        if path.parent.name not in used:
            shutil.rmtree(path.parent, ignore_errors=True)


def _fetch(registry: Registry, version: ModelVersion, found: StoredVersion, store: Path) -> None:
    with _draft(store) as draft:
        try:
            registry.fetch_bundle(version, draft)
        except BundleError as error:
            raise BundleError(str(error).replace(f" in {draft}", "").replace(f" of {draft}", "")) from None
        check(draft, found)
        files_module.write_json(draft / "version.json", found)
        for path in (*draft.rglob("*"), draft):
            files_module.sync(path)
        _put(draft, store / found.digest)


def _put(draft: Path, directory: Path) -> None:
    """Rename into place. What lies there already was broken a moment ago, or fetched by another meanwhile."""
    try:
        draft.rename(directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if _whole(directory):
            return
        broken = draft.with_name(f"{draft.name}-broken")
        directory.rename(broken)
        draft.rename(directory)
        if broken.is_symlink() or broken.is_file():
            broken.unlink()
        shutil.rmtree(broken, ignore_errors=True)
    files_module.sync(directory.parent)


@contextmanager
def _draft(store: Path) -> Iterator[Path]:
    store.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=store))
    draft.chmod(0o755)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _whole(directory: Path) -> bool:
    """Whether every byte lies there, and the signature that is asked for: it may have been added in the registry."""
    with contextlib.suppress(BundleError):
        bundle.verify(directory, directory.name, serving_only=True)
        signing.require(directory)
        return not directory.is_symlink()
    return False


def _name(directory: Path) -> str | None:
    with contextlib.suppress(BundleError, OSError):
        stored = desired.stored_version(directory)
        return stored.name if stored else None
    return None
