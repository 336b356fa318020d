"""Images: a bundle that may be served, put into a Bento, and the Bento into an image."""

from __future__ import annotations

from bentos.images.bento import Packaged, build_bento
from bentos.images.container import build_image, require_engine
from bentos.images.source import current, given, of_version

__all__ = ["Packaged", "build_bento", "build_image", "current", "given", "of_version", "require_engine"]
