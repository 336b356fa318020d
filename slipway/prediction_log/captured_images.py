"""Captured images on their way: a server leaves `SPOOL/USECASE/images/SHA256`, the shipper moves it to `images/SHA256`.

The server has the spool only: it needs no library and no network for where the log lies.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.storage import ObjectStore

IMAGES = "images"


def captured(spool: Path, usecase: str) -> list[Path]:
    """The images that wait for the shipper; one that is being written has another name."""
    try:
        return sorted(path for path in (spool / usecase / IMAGES).iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []


def move_image(image: Path, at: ObjectStore) -> None:
    """Into the log, once for each digest, and out of the spool."""
    name = f"{IMAGES}/{image.name}"
    if not at.has(name):
        at.put(name, image.read_bytes())
    image.unlink()
