"""Images: packages a servable bundle into a Bento, and the Bento into a container image."""

from __future__ import annotations

from bentos.images.bento import Packaged, build_bento
from bentos.images.container import build_image, require_engine
from bentos.images.source import from_alias, from_directory, from_version

__all__ = ["Packaged", "build_bento", "build_image", "from_alias", "from_directory", "from_version", "require_engine"]
