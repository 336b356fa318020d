"""Docker's engine: pulls and pushes images, and reads files and labels of them."""

from __future__ import annotations

import json

from infra.delivery.images.registry_errors import explain, is_missing
from infra.delivery.program import ProgramFailed, run
from slipway.errors import ServiceError

TRANSFER_SECONDS = 3600.0


def pull(reference: str) -> bool:
    """Pull an image by its tag or digest; returns False if the registry has none.

    Raises:
        ServiceError: the registry does not respond, or refuses.
    """
    try:
        run("docker", "pull", "--quiet", reference, seconds=TRANSFER_SECONDS)
    except ProgramFailed as error:
        if is_missing(error.output):
            return False
        raise ServiceError(explain(reference, error.output)) from None
    return True


def push(local: str, reference: str) -> str:
    """Push a local image under the reference, and return its digest in the registry.

    Raises:
        ServiceError: the registry refuses; the message says what to do.
    """
    run("docker", "tag", local, reference)
    try:
        run("docker", "push", "--quiet", reference, seconds=TRANSFER_SECONDS)
    except ProgramFailed as error:
        raise ServiceError(explain(reference, error.output)) from None
    return digest(reference)


def digest(reference: str) -> str:
    """Return the digest under which a pulled or pushed image is in its registry.

    Raises:
        ServiceError: the engine knows of none.
    """
    repository = reference.rpartition(":")[0]
    found = json.loads(run("docker", "image", "inspect", "--format={{json .RepoDigests}}", reference))
    of_repository = [entry.partition("@")[2] for entry in found if entry.partition("@")[0] == repository]
    if len(of_repository) != 1:
        raise ServiceError(f"Docker names {len(of_repository)} digests of {reference}, and a pushed image has one.")
    return of_repository[0]


def labels(reference: str) -> dict[str, str]:
    """Return the labels of an image that the engine has."""
    return json.loads(run("docker", "image", "inspect", "--format={{json .Config.Labels}}", reference)) or {}


def read_file(reference: str, path: str) -> str:
    """Read a text file of an image that the engine has."""
    return run("docker", "run", "--rm", "--network=none", "--entrypoint=cat", reference, path)
