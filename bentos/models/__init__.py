"""Models of each use case in a worker: loaded, checked, and swapped while requests are answered."""

from bentos.models.loaded_model import LoadedModel, load
from bentos.models.model_manager import ModelManager

__all__ = ["LoadedModel", "ModelManager", "load"]
