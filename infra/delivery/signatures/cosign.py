"""cosign: signs images and attests to them, and verifies both. It finds them in the registry, beside the image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from infra.delivery.program import ProgramFailed, run
from infra.delivery.release import Release
from infra.delivery.signatures.policy import (
    PROVENANCE_TYPE,
    SBOM_TYPE,
    Signing,
    Trust,
    require_provenance,
    require_signature,
)
from slipway.errors import ServiceError

SECONDS = 300.0
# As referrers of the image (OCI 1.1) they need no tag, which a registry with immutable tags could not add to.
_AS_REFERRER = "--new-bundle-format"


def sign(release: Release, folder: Path, signing: Signing, say: Callable[[str], None]) -> None:
    """Sign each image, and attest its bill of materials and its provenance, which are in `folder`.

    Signing again adds a signature of the same meaning.

    Raises:
        ServiceError: cosign fails, or a file that `build` wrote is missing.
    """
    for image in release.images:
        reference = release.reference(image)
        run("cosign", "sign", "--yes", _AS_REFERRER, *signing.options, reference, seconds=SECONDS)
        for kind, name in ((SBOM_TYPE, image.sbom), (PROVENANCE_TYPE, image.provenance)):
            path = _attested(folder / name)
            attest = ("cosign", "attest", "--yes", _AS_REFERRER, "--type", kind, "--predicate", path)
            run(*attest, *signing.options, reference, seconds=SECONDS)
        say(f"signed {reference}, with its bill of materials and its provenance")


def verify(release: Release, trust: Trust, say: Callable[[str], None]) -> None:
    """Verify of each image its signature, its bill of materials and its provenance.

    Raises:
        ServiceError: an image has none of somebody trusted, or was built from another commit.
    """
    for image in release.images:
        reference = release.reference(image)
        require_signature(_verify("verify", reference, trust), image)
        _verify("verify-attestation", reference, trust, "--type", SBOM_TYPE)
        require_provenance(_verify("verify-attestation", reference, trust, "--type", PROVENANCE_TYPE), image, release)
        say(f"verified {reference}: signed by {trust}, built from {release.commit[:12]}")


def _verify(verb: str, reference: str, trust: Trust, *options: str) -> str:
    try:
        return run("cosign", verb, _AS_REFERRER, *trust.options, *options, reference, seconds=SECONDS)
    except ProgramFailed as error:
        what = "signature" if verb == "verify" else f"attestation ({options[-1]})"
        raise ServiceError(f"{reference} has no valid {what} of {trust}. {error}") from None


def _attested(path: Path) -> str:
    if not path.is_file():
        raise ServiceError(f"{path} is missing: `build` writes it beside release.json, and `sign` needs it there.")
    return str(path)
