"""The model of each use case in a worker: loaded, checked, and swapped while requests are being answered."""

from bentos.models.loaded_model import Loaded, load
from bentos.models.model_manager import Holder

__all__ = ["Holder", "Loaded", "load"]
