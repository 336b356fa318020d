"""Expiry of certificates: files are read again when they are replaced; one that cannot be read fails no scrape."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from slipway.telemetry.certificates import CertificateFiles
from slipway.telemetry.credentials import CredentialMetrics
from tests.slipway.telemetry.certificates import KEY, at, certificate, pem

NAME = "SLIPWAY_TLS_CERTIFICATE"
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def samples(files: CertificateFiles) -> dict[Sequence[str], float]:
    [family] = CredentialMetrics(files.expiries).collect()
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


@pytest.fixture(autouse=True)
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def test_a_chain_ends_with_its_first_certificate_and_authorities_with_their_last(tmp_path, monkeypatch):
    path = tmp_path / "all.pem"
    path.write_bytes(PRIVATE + b"a comment\n" + pem(30, 7, 400))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert samples(CertificateFiles({NAME: path, "SLIPWAY_REDIS_URL": None})) == {
        ("certificate", NAME): at(7),
        ("ca_certificates", "SSL_CERT_FILE"): at(400),
    }


def test_of_authorities_those_that_cannot_be_read_are_left_out(tmp_path, monkeypatch):
    path = tmp_path / "all.pem"
    path.write_bytes(GARBAGE["of nothing"] + pem(30) + GARBAGE["broken base64"] + pem(60))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    assert samples(CertificateFiles({})) == {("ca_certificates", "AWS_CA_BUNDLE"): at(60)}


def test_a_certificate_that_has_expired_is_still_exported(tmp_path):
    path = tmp_path / "tls.crt"
    path.write_bytes(pem(-3))
    assert samples(CertificateFiles({NAME: path})) == {("certificate", NAME): at(-3)}


@pytest.mark.parametrize("replace", ["written", "renamed", "link"])
def test_a_file_that_is_replaced_is_read_again_and_no_other(tmp_path, monkeypatch, replace):
    for folder, days in (("one", 7), ("two", 90)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tls.crt").write_bytes(pem(days))
    link = tmp_path / "now"  # as Kubernetes replaces a Secret
    link.symlink_to("one")
    files = CertificateFiles({NAME: link / "tls.crt"})
    assert samples(files)["certificate", NAME] == at(7)
    with monkeypatch.context() as patched:
        patched.setattr("slipway.telemetry.certificates.read_regular", lambda *_: pytest.fail("it was read again"))
        assert samples(files)["certificate", NAME] == at(7)
    new = tmp_path / "two" / "tls.crt"
    if replace == "written":
        (tmp_path / "one" / "tls.crt").write_bytes(new.read_bytes())
        os.utime(tmp_path / "one" / "tls.crt", ns=(1, 1))
    elif replace == "renamed":
        new.replace(tmp_path / "one" / "tls.crt")
    else:
        link.unlink()
        link.symlink_to("two")
    assert samples(files)["certificate", NAME] == at(90)


GARBAGE = {
    "empty": b"",
    "no PEM": b"\0\xff certificate",
    "no certificate in it": PRIVATE,
    "broken base64": pem(7).replace(b"M", b"!"),
    "cut off": pem(7)[:-40],
    "of nothing": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "DER": certificate(7).public_bytes(Encoding.DER),
    "too large": b"\n" * (5 << 20),
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_certificate_fails_no_scrape_and_is_told_once(tmp_path, monkeypatch, caplog, content):
    path = tmp_path / "tls.crt"
    path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    files = CertificateFiles({NAME: path})
    with caplog.at_level(logging.WARNING, "slipway.telemetry"):
        assert samples(files) == samples(files) == {}
    for setting, line in zip((NAME, "SSL_CERT_FILE"), caplog.messages, strict=True):
        assert line.startswith(f"{setting}={path}: its certificates cannot be read (")
        assert "PEM form" in line
    path.write_bytes(pem(9))
    assert samples(files) == {("certificate", NAME): at(9), ("ca_certificates", "SSL_CERT_FILE"): at(9)}


def test_the_last_known_expiry_remains_while_a_file_is_missing(tmp_path, caplog):
    path = tmp_path / "tls.crt"
    path.write_bytes(pem(7))
    files = CertificateFiles({NAME: path})
    samples(files)
    path.unlink()
    assert samples(files) == samples(files) == {("certificate", NAME): at(7)}
    path.mkdir()
    assert samples(files) == {("certificate", NAME): at(7)}
    assert [line.partition("cannot be read (")[2].partition(")")[0] for line in caplog.messages] == [
        "No such file or directory",
        "Is a directory",
    ]
