"""A release: the images of a commit by their digests, as `release.json` holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from slipway.errors import NotFound, ServiceError, SettingsError
from slipway.system.files import write_bytes

Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]+([._-]+[a-z0-9]+)*$", max_length=128)]
Tag = Annotated[str, Meta(pattern=r"^\w[\w.-]{0,127}$")]
Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")]
RelativePath = Annotated[str, Meta(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$")]  # below the folder of release.json
Registry = Annotated[str, Meta(pattern=r"^\w[\w.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$")]


class Image(Struct, frozen=True, forbid_unknown_fields=True):
    """An image in the registry; `version` is that of the model in it, else Slipway's.

    `sbom` and `provenance` are the paths of its bill of materials and of the record of its build.
    """

    name: Name
    tag: Tag
    digest: Digest
    sbom: RelativePath
    provenance: RelativePath
    version: str


class Release(Struct, frozen=True, forbid_unknown_fields=True):
    """The images of a commit."""

    registry: Registry
    commit: Commit
    images: Annotated[tuple[Image, ...], Meta(min_length=1)]

    def reference(self, image: Image) -> str:
        """Return the reference by digest, which means the same bytes for ever.

        >>> image = Image("slipway-ship", "0.1.0-0123456789ab", f"sha256:{'0' * 64}", "sbom/a", "provenance/a", "0.1.0")
        >>> Release("registry.example.com", "0" * 40, (image,)).reference(image)[:44]
        'registry.example.com/slipway-ship@sha256:000'
        """
        return f"{self.registry}/{image.name}@{image.digest}"

    def image(self, name: str) -> Image:
        """Return the image of that name. Raises NotFound, with those that there are."""
        for image in self.images:
            if image.name == name:
                return image
        raise NotFound(
            f"the release of {self.commit[:12]} has no image {name}. It has {', '.join(i.name for i in self.images)}."
        )


def read_release(path: Path) -> Release:
    """Read `release.json`.

    Raises:
        SettingsError: it is not there, or not as `build` writes it.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Release)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}): `build --out {path}` writes it.") from None
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{path} is not as `build` writes it: {error}. Build the release again.") from None


def registry_name(given: str) -> str:
    """Check the name of a registry. Raises SettingsError for any other text, such as a URL."""
    try:
        return msgspec.convert(given.rstrip("/"), Registry)
    except msgspec.ValidationError:
        raise SettingsError(
            f"--registry {given!r} is no registry: write HOST[:PORT][/PREFIX] without https://, as in "
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com."
        ) from None


def require_same_digests(earlier: Release, release: Release) -> None:
    """Require that no tag of an earlier build of the same release was moved in the registry.

    Raises:
        ServiceError: a tag has another digest now.
    """
    digests = {(earlier.registry, image.name, image.tag): image.digest for image in earlier.images}
    for image in release.images:
        before = digests.get((release.registry, image.name, image.tag), image.digest)
        if before != image.digest:
            raise ServiceError(
                f"{image.name}:{image.tag} is {image.digest} in {release.registry}, and was {before} when it was "
                "pushed: tags of releases are never moved. Make tags immutable there, and find out who moved it."
            )


def write_release(release: Release, path: Path) -> None:
    """Write `release.json`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, msgspec.json.format(msgspec.json.encode(release)) + b"\n")
