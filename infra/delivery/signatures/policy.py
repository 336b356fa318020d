"""Signature policy: with what a release is signed, and whose signatures and attestations are accepted."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.delivery import github
from infra.delivery.images.provenance import commit_of
from infra.delivery.release import Image, Release
from slipway.errors import ServiceError, SettingsError

PASSWORD = "COSIGN_PASSWORD"  # noqa: S105, the variable's name
TOKEN_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"  # noqa: S105, the variable's name: a job that may ask for a token has it
SBOM_TYPE, PROVENANCE_TYPE = "cyclonedx", "slsaprovenance1"  # as cosign names them
SIGNATURE_TYPE = "https://sigstore.dev/cosign/sign/v1"
# A key alone decides: no public log, no authority, and no request to Sigstore for the present ones.
NO_AUTHORITIES = Path(__file__).with_name("no_authorities.json")


@dataclass(frozen=True)
class Signing:
    """How to sign: with the private key in a file, or keyless by the identity of the workflow."""

    key: Path | None

    @property
    def options(self) -> list[str]:
        """The options of cosign; a key's signatures are in no public log, which would tell that there is a release."""
        return ["--key", str(self.key), "--tlog-upload=false"] if self.key else []


@dataclass(frozen=True)
class Trust:
    """Whose signatures are accepted: those of a public key, or keyless ones of an identity."""

    key: Path | None = None
    identity: str | None = None

    @property
    def options(self) -> list[str]:
        """The options of cosign."""
        if self.key:
            return ["--key", str(self.key), "--insecure-ignore-tlog=true", "--trusted-root", str(NO_AUTHORITIES)]
        return ["--certificate-identity", self.identity or "", "--certificate-oidc-issuer", github.ISSUER]

    def __str__(self) -> str:
        return f"the key {self.key}" if self.key else f"the identity {self.identity}"


def signing(key: Path | None, environment: Mapping[str, str]) -> Signing:
    """Decide how to sign.

    Raises:
        SettingsError: the key, its password or the token that is needed is missing; no value is in the message.
    """
    if key is None and TOKEN_URL not in environment:
        raise SettingsError(
            f"keyless signing needs GitHub's token, and {TOKEN_URL} is not set: give the job `permissions: id-token: "
            "write`. Elsewhere, sign with a key: --key FILE (cosign generate-key-pair makes one)."
        )
    if key is not None:
        _require_file(key, "the private key that `cosign generate-key-pair` wrote")
        if PASSWORD not in environment:
            raise SettingsError(f"{PASSWORD} is not set: it is the password of the key {key}, and may be empty.")
    return Signing(key.resolve() if key else None)


def trust(key: Path | None, identity: str | None) -> Trust:
    """Decide whose signatures are accepted; by default those of this repository's workflow on its main branch.

    Raises:
        SettingsError: both are given, the key is missing, or there is nobody to trust.
    """
    if key is not None and identity is not None:
        raise SettingsError("--key and --identity exclude each other: a release is signed in one way.")
    if key is not None:
        _require_file(key, "the public key that signatures are verified with")
        return Trust(key=key.resolve())
    found = identity or github.signer()
    if found is None:
        raise SettingsError(
            "whose signatures are accepted? Name the public key (--key cosign.pub), or the workflow that signed "
            f"(--identity https://github.com/OWNER/NAME/{github.WORKFLOW}@refs/heads/main)."
        )
    return Trust(identity=found)


def require_signature(output: str, image: Image) -> None:
    """Require a signature among what `cosign verify` prints: it counts any attestation of the signer as one, too.

    Raises:
        ServiceError: there is none of this image.
    """
    try:
        claims = [entry["critical"] for entry in json.loads(output)]
        signed = {claim["image"]["docker-manifest-digest"] for claim in claims if claim["type"] == SIGNATURE_TYPE}
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError(f"cosign wrote no claims that can be read ({error!r}): is it version 2.6?") from None
    if image.digest not in signed:
        raise ServiceError(f"{image.name}@{image.digest} is attested and not signed: run `sign` again.")


def require_provenance(output: str, image: Image, release: Release) -> None:
    """Require of verified attestations that one says that this image was built from the release's commit.

    Raises:
        ServiceError: none of them does.
    """
    commits = {commit_of(predicate) for predicate in predicates(output)}
    if release.commit not in commits:
        found = ", ".join(sorted(filter(None, commits))) or "none"
        raise ServiceError(
            f"{image.name}@{image.digest} was built from the commit {found}, as its provenance says, and release.json "
            f"names {release.commit}: it is of another release."
        )


def predicates(output: str) -> list[dict[str, Any]]:
    """Read the predicates that `cosign verify-attestation` prints: an envelope for each, a line of JSON.

    Raises:
        ServiceError: it is another output.
    """
    try:
        envelopes = [json.loads(line) for line in output.splitlines() if line.strip()]
        return [json.loads(base64.b64decode(envelope["payload"]))["predicate"] for envelope in envelopes]
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError(f"cosign wrote no attestation that can be read ({error!r}): is it version 2.6?") from None


def _require_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise SettingsError(f"--key {path}: there is no such file. It is {what}.")
