from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from slipway.contracts.bundle import manifest as bundle
from slipway.contracts.bundle import signing
from slipway.errors import BundleError, SettingsError
from slipway.settings import settings
from tests.support import bundles
from tests.support.signed import key_pair


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`configure(signing=path, trusted=[paths])` sets this process's keys."""

    def configure(signing: Path | None = None, trusted: tuple[Path, ...] = ()) -> None:
        monkeypatch.delenv("SLIPWAY_SIGNING_KEY", raising=False)
        if signing is not None:
            monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(signing))
        monkeypatch.setenv("SLIPWAY_TRUSTED_KEYS", ",".join(map(str, trusted)))
        settings.cache_clear()

    return configure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bundles.write(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_without_keys_nothing_is_signed_and_no_signature_is_required(folder, configure):
    configure()
    assert not signing.sign(folder)
    assert not (folder / bundle.SIGNATURE).exists()
    signing.require(folder)


def test_a_signature_is_64_bytes_over_the_manifest_in_base64(folder, configure, tmp_path):
    private, public = key_pair(tmp_path)
    configure(signing=private)
    assert signing.sign(folder)
    signature = base64.b64decode((folder / bundle.SIGNATURE).read_bytes())
    assert len(signature) == 64
    load_pem_public_key(public.read_bytes()).verify(signature, (folder / bundle.MANIFEST).read_bytes())
    bundle.verify(folder)
    assert bundle.SIGNATURE not in json.loads((folder / bundle.MANIFEST).read_bytes())["files"]


def test_any_of_the_trusted_keys_will_do(folder, configure, tmp_path):
    (private, public), (_, other) = key_pair(tmp_path, "ours"), key_pair(tmp_path, "other")
    configure(signing=private, trusted=(other, public))
    signing.sign(folder)
    signing.require(folder)


class TestRefused:
    def test_no_signature(self, folder, configure, tmp_path):
        configure(trusted=(key_pair(tmp_path)[1],))
        with pytest.raises(BundleError, match=r"no manifest\.sig, and SLIPWAY_TRUSTED_KEYS is set"):
            signing.require(folder)

    def test_the_signature_of_another_key(self, folder, configure, tmp_path):
        configure(signing=key_pair(tmp_path, "stranger")[0], trusted=(key_pair(tmp_path)[1],))
        signing.sign(folder)
        with pytest.raises(BundleError, match="of none of the 1 keys in SLIPWAY_TRUSTED_KEYS"):
            signing.require(folder)

    def test_a_manifest_that_was_written_anew(self, folder, configure, tmp_path):
        private, public = key_pair(tmp_path)
        configure(signing=private, trusted=(public,))
        signing.sign(folder)
        manifest = folder / bundle.MANIFEST
        manifest.write_bytes(manifest.read_bytes() + b" ")
        with pytest.raises(BundleError, match="or of another manifest"):
            signing.require(folder)

    @pytest.mark.parametrize("content", [b"", b"????", b"A" * 5000, b"QUJD"])
    def test_what_is_no_signature(self, folder, configure, tmp_path, content):
        configure(trusted=(key_pair(tmp_path)[1],))
        (folder / bundle.SIGNATURE).write_bytes(content)
        with pytest.raises(BundleError, match=r"manifest\.sig"):
            signing.require(folder)

    def test_a_link(self, folder, configure, tmp_path):
        private, public = key_pair(tmp_path)
        configure(signing=private, trusted=(public,))
        signing.sign(folder)
        (folder / bundle.SIGNATURE).rename(tmp_path / "elsewhere")
        (folder / bundle.SIGNATURE).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(BundleError, match=r"no manifest\.sig"):
            signing.require(folder)

    def test_a_key_that_is_none_is_an_error_of_the_settings(self, folder, configure, tmp_path):
        other_key = tmp_path / "rsa.pem"
        public = rsa.generate_private_key(65537, 2048).public_key()
        other_key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        configure(trusted=(other_key,))
        with pytest.raises(SettingsError, match="SLIPWAY_TRUSTED_KEYS=.*RSAPublicKey, an Ed25519 key is needed"):
            signing.require(folder)
        other_key.write_text("nonsense")
        with pytest.raises(SettingsError, match="cannot be read as a PEM key"):
            signing.require(folder)
        configure(signing=tmp_path / "missing.pem")
        with pytest.raises(SettingsError, match=r"missing\.pem \(SLIPWAY_SIGNING_KEY\) is not there"):
            signing.sign(folder)
