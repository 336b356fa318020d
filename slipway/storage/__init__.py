"""The object store under `SLIPWAY_LOG_URL`: a folder or a bucket of S3."""

from slipway.storage.base import ObjectStore
from slipway.storage.factory import object_store

__all__ = ["ObjectStore", "object_store"]
