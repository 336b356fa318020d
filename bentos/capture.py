"""Captured images: with `capture: true` the decoded PNG is kept beside the log, for training to come."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from slipway.predictor import encode_png

_log = logging.getLogger("slipway.serving")


class Capture:
    """Writes `LOG_ROOT/images/SHA256`, once for each image, in a thread of its own."""

    def __init__(self, log_root: str) -> None:
        self._folder = Path(log_root) / "images"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="capture")

    def keep(self, sha256: str, pixels: np.ndarray) -> None:
        self._thread.submit(_write, self._folder / sha256, pixels)

    def close(self) -> None:
        self._thread.shutdown()


def _write(path: Path, pixels: np.ndarray) -> None:
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(encode_png(pixels))
        draft.replace(path)
    except OSError as error:
        _log.error("the image %s could not be kept: %s", path, error)
