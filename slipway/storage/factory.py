"""Chooses the object store that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.storage import ObjectStore
from slipway.storage.local import LocalStore
from slipway.storage.s3 import SCHEME, S3Store

if TYPE_CHECKING:
    from slipway.settings import Settings


def object_store(settings: Settings) -> ObjectStore:
    """Open the object store of SLIPWAY_LOG_URL."""
    root = settings.log_root
    return S3Store(root, settings.var) if root.startswith(SCHEME) else LocalStore(root)
