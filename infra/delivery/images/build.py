"""Build of a release: each image that the registry does not have yet is built and pushed; all are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bentos.images.container import SBOM
from infra.delivery import github
from infra.delivery.images import docker
from infra.delivery.images.plan import PlannedImage
from infra.delivery.images.provenance import BUNDLE, REVISION, provenance
from infra.delivery.program import run_visibly, slipway
from infra.delivery.release import Image, Release
from slipway import __version__
from slipway.errors import ServiceError
from slipway.system.files import write_json, write_text

BUILD_SECONDS = 3600.0


class Builder:
    """Builder of a commit's images. `base` replaces the Dockerfiles' base image, "" leaves it."""

    def __init__(self, registry: str, commit: str, folder: Path, base: str, say: Callable[[str], None]) -> None:
        self._registry = registry
        self._commit = commit
        self._folder = folder
        self._base = base
        self._say = say
        self._made_platform = False

    def release(self, planned: Sequence[PlannedImage]) -> Release:
        """Build and push what is missing; runs again after an error go on where it stopped.

        Raises:
            SlipwayError: a build failed, the registry refuses, or has something else under a tag of this release.
        """
        return Release(self._registry, self._commit, tuple(map(self._image, planned)))

    def _image(self, image: PlannedImage) -> Image:
        reference = f"{self._registry}/{image.name}:{image.tag}"
        if found := docker.pull(reference):
            self._say(f"{reference} is in the registry already")
            digest = docker.digest(reference)
        else:
            local = self._build(image)
            self._require_own(image, local)
            self._say(f"pushing {reference}")
            digest = docker.push(local, reference)
        labels = self._require_own(image, reference)
        sbom, origin = f"sbom/{image.name}.cdx.json", f"provenance/{image.name}.json"
        for name in (sbom, origin):
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(self._folder / sbom, docker.read_file(reference, SBOM))
        run = None if found else github.run_url()
        write_json(self._folder / origin, provenance(image, labels, github.signer() or github.run_name(), run))
        return Image(image.name, image.tag, digest, sbom, origin, image.version)

    def _build(self, image: PlannedImage) -> str:
        """Build an image and return its local name."""
        if image.model is None:
            return self._build_platform(image.name)
        options = ["--base", self._base] if self._base else []
        self._say(f"packaging version {image.version} of {image.model.name}")
        arguments = ("package", image.model.name, "--version", image.model.version, "--containerize", *options)
        return slipway(*arguments, seconds=BUILD_SECONDS)["image"]["tag"]

    def _build_platform(self, name: str) -> str:
        """`make images` builds both at once."""
        if not self._made_platform:
            run_visibly("make", "images", *([f"BASE={self._base}"] if self._base else []), seconds=BUILD_SECONDS)
            self._made_platform = True
        return f"{name}:{__version__}"

    def _require_own(self, image: PlannedImage, reference: str) -> dict[str, str]:
        """Return the labels of an image; raises ServiceError if it is not what the tag stands for."""
        labels = docker.labels(reference)
        wanted = {REVISION: self._commit} | ({BUNDLE: image.model.digest or ""} if image.model else {})
        for label, value in wanted.items():
            if labels.get(label) != value:
                raise ServiceError(
                    f"{reference} has the label {label}={labels.get(label, '')!r}, and this release needs {value!r}: "
                    "another image was pushed under its tag. Remove that tag from the registry, and find out who "
                    "pushed it."
                )
        return labels
