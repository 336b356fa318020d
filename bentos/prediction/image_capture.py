"""Captured images: with `capture: true` the decoded PNG is kept beside the log, for training to come."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from slipway.inference import encode_png
from slipway.prediction_log import IMAGES

_log = logging.getLogger("slipway.serving")
_REMEMBERED = 4096


class ImageCapture:
    """Leaves `SPOOL/USECASE/images/SHA256` for the shipper, in a thread of its own; what came lately is not left again.

    The log has an image once, however often it came.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._lately: dict[Path, None] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="capture")

    def keep(self, usecase: str, sha256: str, pixels: np.ndarray) -> None:
        self._thread.submit(self._keep, self._spool / usecase / IMAGES / sha256, pixels)

    def close(self) -> None:
        self._thread.shutdown()

    def _keep(self, path: Path, pixels: np.ndarray) -> None:
        if path in self._lately:
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
        self._lately[path] = None
        if len(self._lately) > _REMEMBERED:
            del self._lately[next(iter(self._lately))]
