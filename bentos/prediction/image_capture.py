"""Image capture: with `capture: true` the decoded images are stored as PNG next to the log, for later training."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from slipway.inference import encode_png
from slipway.prediction_log import IMAGES

_log = logging.getLogger("slipway.serving")
_MAX_RECENT = 4096


class ImageCapture:
    """Writes `SPOOL/USECASE/images/SHA256` for the shipper, in a thread; recent images are not written again.

    The log has an image once, however often it is sent.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._recent: dict[Path, None] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="capture")

    def keep(self, usecase: str, sha256: str, pixels: np.ndarray) -> None:
        """Store an image."""
        self._thread.submit(self._write, self._spool / usecase / IMAGES / sha256, pixels)

    def close(self) -> None:
        """Wait for the images that are being written."""
        self._thread.shutdown()

    def _write(self, path: Path, pixels: np.ndarray) -> None:
        if path in self._recent:
            return
        draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(encode_png(pixels))
            draft.replace(path)
        except OSError as error:
            _log.error("the image %s could not be kept: %s", path, error)
            draft.unlink(missing_ok=True)
            return
        self._recent[path] = None
        if len(self._recent) > _MAX_RECENT:
            del self._recent[next(iter(self._recent))]
