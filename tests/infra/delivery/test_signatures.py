"""Signatures: with what is signed, whose are accepted, and what cosign is called with."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from infra.delivery.images.provenance import commit_of
from infra.delivery.signatures.policy import (
    SIGNATURE_TYPE,
    Trust,
    predicates,
    require_provenance,
    require_signature,
    signing,
    trust,
)
from slipway.errors import ServiceError, SettingsError
from tests.infra.delivery.conftest import COMMIT, NAMES, a_release, digest

IDENTITY = "https://github.com/example/slipway/.github/workflows/release.yml@refs/heads/main"
TOKEN = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://example.com/token"}


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "cosign.key"
    path.write_text("a private key")
    return path


def envelope(commit):
    dependencies = [{"uri": "docker://python"}, *([{"digest": {"gitCommit": commit}}] if commit else [])]
    statement = {"predicate": {"buildDefinition": {"resolvedDependencies": dependencies}}}
    return json.dumps({"payload": base64.b64encode(json.dumps(statement).encode()).decode()})


def test_a_key_signs_without_the_public_log(key):
    assert signing(key, {"COSIGN_PASSWORD": ""}).options == ["--key", str(key), "--tlog-upload=false"]


def test_in_a_workflow_its_identity_signs():
    assert signing(None, TOKEN).options == []


def test_a_password_that_is_missing_is_named(key):
    with pytest.raises(SettingsError, match="COSIGN_PASSWORD is not set"):
        signing(key, TOKEN)


def test_a_token_that_is_missing_is_named_with_the_permission():
    with pytest.raises(SettingsError, match="ACTIONS_ID_TOKEN_REQUEST_URL is not set: .*id-token: write"):
        signing(None, {"COSIGN_PASSWORD": "secret words"})


@pytest.mark.parametrize(
    "decide", [lambda path: signing(path, {"COSIGN_PASSWORD": ""}), lambda path: trust(path, None)]
)
def test_a_key_that_is_missing_is_named(tmp_path, decide):
    with pytest.raises(SettingsError, match=f"--key {tmp_path}/no.key: there is no such file"):
        decide(tmp_path / "no.key")


def test_signatures_of_a_key_are_accepted(key):
    options = trust(key, None).options
    assert options[:-1] == ["--key", str(key), "--insecure-ignore-tlog=true", "--trusted-root"]
    assert json.loads(Path(options[-1]).read_text())["tlogs"] == []


def test_signatures_of_one_workflow_of_one_issuer_are_accepted():
    assert trust(None, IDENTITY).options == [
        "--certificate-identity",
        IDENTITY,
        "--certificate-oidc-issuer",
        "https://token.actions.githubusercontent.com",
    ]


def test_in_a_workflow_those_of_its_repositorys_release_are_accepted(monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "example/slipway")
    assert trust(None, None) == Trust(identity=IDENTITY)


def test_elsewhere_somebody_must_be_named():
    with pytest.raises(SettingsError, match="whose signatures are accepted"):
        trust(None, None)


def test_a_key_and_an_identity_exclude_each_other(key):
    with pytest.raises(SettingsError, match="exclude each other"):
        trust(key, IDENTITY)


def claims(*entries):
    return json.dumps([{"critical": {"type": kind, "image": {"docker-manifest-digest": of}}} for kind, of in entries])


def test_a_signature_of_the_image_is_enough():
    output = claims((SIGNATURE_TYPE, digest("b")), (SIGNATURE_TYPE, digest("a")))
    require_signature(output, a_release().images[0])


@pytest.mark.parametrize("entries", [[], [("https://cyclonedx.org/bom", "a")], [(SIGNATURE_TYPE, "b")]])
def test_neither_an_attestation_nor_the_signature_of_another_image_is_one(entries):
    output = claims(*((kind, digest(letter)) for kind, letter in entries))
    with pytest.raises(ServiceError, match="is attested and not signed"):
        require_signature(output, a_release().images[0])


@pytest.mark.parametrize("output", ["", "verified!", "{}x", '[{"critical": {}}]', "7"])
def test_claims_that_cannot_be_read_are_an_error(output):
    with pytest.raises(ServiceError, match="no claims that can be read"):
        require_signature(output, a_release().images[0])


def test_one_provenance_of_the_commit_is_enough():
    release = a_release()
    require_provenance("\n".join([envelope("f" * 40), envelope(COMMIT)]), release.images[0], release)


@pytest.mark.parametrize("output", [envelope("f" * 40), envelope(None), ""])
def test_a_provenance_of_another_commit_is_none(output):
    release = a_release()
    with pytest.raises(ServiceError, match="it is of another release"):
        require_provenance(output, release.images[0], release)


@pytest.mark.parametrize("output", ["verified!", "{}", '{"payload": "e30="}', '{"payload": 7}', "[]"])
def test_an_attestation_that_cannot_be_read_is_an_error(output):
    with pytest.raises(ServiceError, match="no attestation that can be read"):
        predicates(output)


def test_a_provenance_without_a_commit_has_none():
    assert (
        commit_of({"buildDefinition": {"resolvedDependencies": [{"name": "bundle", "digest": {"sha256": "0"}}]}})
        is None
    )


@pytest.fixture
def attested(release_file):
    for name in NAMES:
        for path in (f"sbom/{name}.cdx.json", f"provenance/{name}.json"):
            (release_file.parent / path).parent.mkdir(exist_ok=True)
            (release_file.parent / path).write_text("{}")
    return release_file


def test_each_image_is_signed_and_attested_by_its_digest(programs, deliver, attested, key, monkeypatch):
    monkeypatch.setenv("COSIGN_PASSWORD", "secret words")
    programs.script("cosign", "")
    code, _, err = deliver("sign", attested, "--key", key)
    assert code == 0, err
    verbs = [call.split()[1] for call in programs.calls]
    assert verbs == ["sign", "attest", "attest"] * len(NAMES)
    assert all("@sha256:" in call.split()[-1] and "--tlog-upload=false" in call for call in programs.calls)
    assert not [call for call in programs.calls if "secret words" in call]


def test_what_is_to_be_attested_must_be_there(programs, deliver, attested, key, monkeypatch):
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    programs.script("cosign", "")
    (attested.parent / "provenance" / f"{NAMES[0]}.json").unlink()
    code, _, err = deliver("sign", attested, "--key", key)
    assert code == 1 and f"provenance/{NAMES[0]}.json is missing: `build` writes it" in err


def test_the_password_is_in_no_message(programs, deliver, attested, key, monkeypatch):
    monkeypatch.setenv("COSIGN_PASSWORD", "secret words")
    programs.script("cosign", "echo 'decrypt: encrypted: decryption failed' >&2; exit 1")
    code, out, err = deliver("sign", attested, "--key", key)
    assert code == 1 and "decryption failed" in err and "secret words" not in out + err


def test_each_image_is_verified_with_what_it_holds_and_how_it_was_built(programs, deliver, release_file, key):
    programs.cosign(commit=COMMIT, digests=[digest("a")])
    code, _, err = deliver("verify", release_file, "--key", key)
    assert code == 0, err
    asked = [(call.split()[1], call.partition("--type ")[2].partition(" ")[0]) for call in programs.calls]
    wanted = [("verify", ""), ("verify-attestation", "cyclonedx"), ("verify-attestation", "slsaprovenance1")]
    assert asked == wanted * len(NAMES)


@pytest.mark.parametrize("unsigned", ["verify", "cyclonedx", "slsaprovenance1"])
def test_an_image_that_lacks_one_of_them_is_refused(programs, deliver, release_file, key, unsigned):
    failing = f'case " $* " in *" {unsigned} "*) echo "no matching signatures" >&2; exit 10;; esac'
    programs.cosign(commit=COMMIT, digests=[digest("a")], otherwise=failing)
    code, _, err = deliver("verify", release_file, "--key", key)
    assert code == 1 and "has no valid" in err and "no matching signatures" in err
    assert ("signature of the key" if unsigned == "verify" else f"attestation ({unsigned})") in err
