"""TensorFlow without its chatter: a run says one line per step."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


def load_tensorflow() -> None:
    """Import TensorFlow without what it writes before its settings apply; should it fail, that is shown."""
    if "tensorflow" in sys.modules:
        return
    with _held_back(2):
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def _held_back(number: int) -> Iterator[None]:
    """What is written to that file descriptor, also by C++, is dropped; an error brings it back."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(number), "wb") as there:
        os.dup2(held.fileno(), number)
        try:
            yield
        except BaseException:
            held.seek(0)
            there.write(held.read())
            raise
        finally:
            os.dup2(there.fileno(), number)
