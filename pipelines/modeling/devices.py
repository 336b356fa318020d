"""Where a network is trained: on every GPU that TensorFlow sees, each with a copy of it, else on the processor."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Placement:
    """`devices` are people's names for them; `strategy` is `MirroredStrategy`, or `none` on a processor."""

    device: str
    devices: list[str]
    strategy: str
    distribution: Any = None

    @property
    def replicas(self) -> int:
        return self.distribution.num_replicas_in_sync if self.distribution else 1

    def facts(self) -> dict[str, Any]:
        """For `training.json`."""
        return {"device": self.device, "devices": self.devices, "strategy": self.strategy, "replicas": self.replicas}

    def scope(self) -> AbstractContextManager[Any]:
        """The context that a model is built and compiled in."""
        return self.distribution.scope() if self.distribution else nullcontext()


def placement(kind: str = "GPU") -> Placement:
    """Mirrored over the logical devices of that kind; the processor where there are none.

    Products keep 32 bits on a GPU: rounded to TensorFlow-32 they differ from what is served by up to 1e-3.
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
    """The same seed, data and machine give the same weights from here on, on a GPU too."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _names(kind: str) -> list[str]:
    import tensorflow as tf

    found = tf.config.list_physical_devices(kind)
    return [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in found]


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
