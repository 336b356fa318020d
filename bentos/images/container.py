"""Container image of a Bento, built by Docker."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bentos.images import checkout
from bentos.images.bento import LOCKS, Packaged
from slipway.errors import ServiceError, SlipwayError

SBOM = "/opt/slipway/sbom.cdx.json"
_OCI = "org.opencontainers.image."


@dataclass(frozen=True)
class Image:
    """A built image: `size` is in bytes, uncompressed; `sbom` is the path of its CycloneDX bill of materials."""

    tag: str
    id: str
    size: int
    sbom: Path


def require_engine() -> None:
    """Raise ServiceError, which names what is missing, where no image can be built."""
    if shutil.which("docker") is None:
        raise ServiceError("there is no `docker` on PATH: install Docker, or package without --containerize.")
    ran = _docker("version", "--format", "{{.Server.Version}}")
    if ran.returncode:
        reason = ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else "it gave no reason"
        raise ServiceError(f"Docker's engine does not respond: {reason}. Start it, or package without --containerize.")


def build_image(packaged: Packaged, base: str | None) -> Image:
    """Build the image of the Bento, with its tag; `base` replaces the Dockerfile's base image.

    Raises:
        SlipwayError: the build failed; its output went to standard error.
    """
    require_engine()
    arguments = {"LOCK": LOCKS[packaged.device], "DEVICE": packaged.device, "SERVE": packaged.usecase}
    if base:
        arguments["BASE"] = base
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    options += [f"--label={name}={value}" for name, value in _labels(packaged).items()]
    dockerfile = str(files("bentos.images") / "Dockerfile")
    argv = ["docker", "build", "--file", dockerfile, "--tag", packaged.tag, *options, str(packaged.directory)]
    if subprocess.run(argv, stdout=sys.stderr).returncode:
        raise SlipwayError(f"`docker build` of {packaged.tag} failed: its output is above. The Bento is kept.")
    sbom = packaged.directory / "sbom.cdx.json"
    sbom.write_text(_docker_output("run", "--rm", "--network=none", "--entrypoint=cat", packaged.tag, SBOM))
    identity, size = _docker_output("image", "inspect", "--format={{.Id}} {{.Size}}", packaged.tag).split()
    return Image(packaged.tag, identity, int(size), sbom)


def _labels(packaged: Packaged) -> dict[str, str]:
    """Return the Bento's labels and those of the Open Container Initiative that the Dockerfile cannot know."""
    source = checkout.origin()
    return {
        f"{_OCI}version": packaged.version,
        f"{_OCI}revision": packaged.labels["slipway.git_commit"],
        **({f"{_OCI}source": source} if source else {}),
        **packaged.labels,
    }


def _docker_output(*args: str) -> str:
    ran = _docker(*args)
    if ran.returncode:
        raise SlipwayError(f"`docker {args[0]}` failed: {ran.stderr.strip()}")
    return ran.stdout


def _docker(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *args], capture_output=True, text=True)
