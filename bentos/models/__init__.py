"""The model of each use case in a worker: loaded, checked, and swapped while requests are being answered."""

from bentos.models.load import Loaded, load
from bentos.models.swap import Holder

__all__ = ["Holder", "Loaded", "load"]
