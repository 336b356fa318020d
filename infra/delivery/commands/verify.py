"""`verify`: verifies the signatures and attestations of a release."""

from __future__ import annotations

from infra.delivery.commands.options import ReleaseFile, TrustedIdentity, TrustedKey
from slipway.console import say


def command(release: ReleaseFile, key: TrustedKey = None, identity: TrustedIdentity = None) -> None:
    """Verify that each image is signed, says what it holds, and was built from the release's commit.

    Without --key and --identity, the signatures must be those of the workflow `release` on the main branch of
    GITHUB_REPOSITORY.
    """
    from infra.delivery.release import read_release
    from infra.delivery.signatures import cosign
    from infra.delivery.signatures.policy import trust

    cosign.verify(read_release(release), trust(key, identity), say)
