"""Captured images: a server writes `SPOOL/USECASE/images/SHA256`, the shipper moves it to `images/SHA256` of the store.

The server needs no library and no network for the object store.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slipway.storage.base import MOST_BYTES
from slipway.system.files import read_regular

if TYPE_CHECKING:
    from slipway.storage import ObjectStore

IMAGES = "images"


def captured(spool: Path, usecase: str) -> list[Path]:
    """List the images that wait for the shipper; one that is being written has another name."""
    try:
        return sorted(path for path in (spool / usecase / IMAGES).iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []


def move_image(image: Path, store: ObjectStore) -> None:
    """Move an image from the spool to the object store, where each digest is kept once."""
    name = f"{IMAGES}/{image.name}"
    if not store.has(name):
        store.put(name, read_regular(image, MOST_BYTES))
    image.unlink()
