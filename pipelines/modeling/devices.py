"""Devices that a network is trained on: all GPUs that TensorFlow finds, each with a replica, else the CPU."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Placement:
    """Devices by their product names; `strategy` is `MirroredStrategy`, or `none` on a CPU."""

    device: str
    devices: list[str]
    strategy: str
    distribution: Any = None

    @property
    def replicas(self) -> int:
        """Number of copies of the network."""
        return self.distribution.num_replicas_in_sync if self.distribution else 1

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which to build and compile a model."""
        return self.distribution.scope() if self.distribution else nullcontext()


def placement(kind: str = "GPU") -> Placement:
    """Return a mirrored strategy over the logical devices of that kind; the CPU if there are none.

    TensorFloat-32 is switched off on GPUs: its rounding makes outputs differ from the served model by up to 1e-3.
    """
    load_tensorflow()
    import tensorflow as tf

    devices = tf.config.list_logical_devices(kind)
    if not devices:
        return Placement("cpu", ["CPU"], "none")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    distribution = tf.distribute.MirroredStrategy([device.name for device in devices])
    return Placement(kind.lower(), _names(kind), "MirroredStrategy", distribution)


def make_reproducible(seed: int) -> None:
    """Make trainings deterministic from here on: equal seed, data and machine give equal weights, on a GPU too."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _names(kind: str) -> list[str]:
    import tensorflow as tf

    found = tf.config.list_physical_devices(kind)
    return [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in found]


def load_tensorflow() -> None:
    """Import TensorFlow without its early log output, which is shown only if the import fails."""
    if "tensorflow" not in sys.modules:
        with _suppressed(2):
            import keras  # noqa: F401
            import tensorflow as tf

            tf.config.list_physical_devices()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its warnings advise on speed, as on tracing again


@contextlib.contextmanager
def _suppressed(number: int) -> Iterator[None]:
    """Drop output to that file descriptor, also of C++ code; after an exception it is written."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(number), "wb") as original:
        os.dup2(held.fileno(), number)
        try:
            yield
        except BaseException:
            held.seek(0)
            original.write(held.read())
            raise
        finally:
            os.dup2(original.fileno(), number)
