"""Images in a real registry, signed and verified by a real cosign."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.delivery.images import docker
from infra.delivery.images.plan import PlannedImage
from infra.delivery.images.provenance import REVISION, provenance
from infra.delivery.release import Image, Release, write_release
from slipway.clients.http import is_healthy
from slipway.errors import ServiceError
from slipway.system.ports import free_port
from tests.infra.delivery.conftest import COMMIT, digest
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "secret words"
SBOM = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}


@pytest.fixture(scope="module")
def registry(needs, tmp_path_factory) -> Iterator[str]:
    """Start a registry and return its name."""
    needs("docker")
    folder, port = tmp_path_factory.mktemp("registry"), free_port(5100)
    configuration = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "registry.yml").write_text(json.dumps(configuration))
    command = [str(needs("docker-registry")), "serve", str(folder / "registry.yml")]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            until(lambda: is_healthy(f"http://127.0.0.1:{port}/v2/"))
            yield f"localhost:{port}/team"
        finally:
            server.terminate()


@pytest.fixture(scope="module", autouse=True)
def no_images_left(needs) -> Iterator[None]:
    """Remove what these tests made of images from the engine."""
    needs("docker")
    yield
    listed = ["docker", "images", "--quiet", "--filter", f"label={REVISION}={COMMIT}"]
    made = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    subprocess.run(["docker", "image", "rm", "--force", *{*made}], check=bool(made), capture_output=True)


def imported(name: str, content: bytes) -> str:
    """Make a local image with one file and the label of the commit."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    command = ["docker", "import", f"--change=LABEL {REVISION}={COMMIT}", "-", name]
    subprocess.run(command, input=archive.getvalue(), check=True, capture_output=True)
    return name


@dataclass
class Pushed:
    """A release of one image in the registry, in a folder with what is attested, and two key pairs."""

    release: Release
    file: Path
    keys: Path

    def change(self, **image: str) -> Path:
        """Write the release with another record of the image."""
        changed = Image(**{name: getattr(self.release.images[0], name) for name in Image.__struct_fields__} | image)
        path = self.file.with_name("changed.json")
        write_release(Release(self.release.registry, self.release.commit, (changed,)), path)
        return path


@pytest.fixture(scope="module")
def pushed(registry, needs, tmp_path_factory) -> Pushed:
    cosign, folder = needs("cosign"), tmp_path_factory.mktemp("release")
    for name in ("ours", "theirs"):
        (folder / name).mkdir()
        command = [str(cosign), "generate-key-pair"]
        subprocess.run(command, cwd=folder / name, env={"COSIGN_PASSWORD": PASSWORD}, check=True, capture_output=True)
    reference = f"{registry}/slipway-ship:1"
    pushed_as = docker.push(imported("slipway-test-delivery:1", b"one"), reference)
    image = Image("slipway-ship", "1", pushed_as, "sbom.json", "provenance.json", "1")
    (folder / "sbom.json").write_text(json.dumps(SBOM))
    predicate = provenance(PlannedImage("slipway-ship", "1", "1"), docker.labels(reference), "me@laptop", None)
    (folder / "provenance.json").write_text(json.dumps(predicate))
    release = Release(registry, COMMIT, (image,))
    write_release(release, folder / "release.json")
    return Pushed(release, folder / "release.json", folder)


@pytest.fixture
def signed(pushed, deliver, monkeypatch) -> Pushed:
    monkeypatch.setenv("COSIGN_PASSWORD", PASSWORD)
    code, _, err = deliver("sign", pushed.file, "--key", pushed.keys / "ours" / "cosign.key")
    assert code == 0, err
    return pushed


def test_what_was_pushed_is_found_by_its_tag_with_the_same_digest(registry):
    reference = f"{registry}/slipway-platform:1"
    assert docker.pull(reference) is False
    pushed_as = docker.push(imported("slipway-test-delivery:2", b"two"), reference)
    subprocess.run(["docker", "image", "rm", reference, "slipway-test-delivery:2"], check=True, capture_output=True)
    assert docker.pull(reference) is True
    assert docker.digest(reference) == pushed_as and docker.labels(reference)[REVISION] == COMMIT


def test_a_registry_that_does_not_answer_is_told(needs):
    needs("docker")
    with pytest.raises(ServiceError, match="does not respond|refused"):
        docker.pull(f"localhost:{free_port(5900)}/slipway-ship:1")


def test_what_is_signed_is_verified(signed, deliver):
    code, _, err = deliver("verify", signed.file, "--key", signed.keys / "ours" / "cosign.pub")
    assert code == 0, err
    assert f"built from {COMMIT[:12]}" in err


def test_it_can_be_signed_again(signed, deliver):
    assert deliver("sign", signed.file, "--key", signed.keys / "ours" / "cosign.key")[0] == 0
    assert deliver("verify", signed.file, "--key", signed.keys / "ours" / "cosign.pub")[0] == 0


def test_a_signature_of_another_key_is_refused(signed, deliver):
    code, _, err = deliver("verify", signed.file, "--key", signed.keys / "theirs" / "cosign.pub")
    assert code == 1 and "has no valid signature of the key" in err


def test_an_image_that_is_attested_and_not_signed_is_refused(signed, deliver, registry, monkeypatch):
    other = docker.push(imported("slipway-test-delivery:4", b"four"), f"{registry}/slipway-ship:4")
    key = signed.keys / "ours" / "cosign.key"
    for kind, predicate in (("cyclonedx", "sbom.json"), ("slsaprovenance1", "provenance.json")):
        attest = ["cosign", "attest", "--yes", "--new-bundle-format", "--tlog-upload=false", "--key", str(key)]
        attest += ["--type", kind, "--predicate", predicate, f"{registry}/slipway-ship@{other}"]
        subprocess.run(attest, cwd=signed.keys, check=True, capture_output=True)
    code, _, err = deliver("verify", signed.change(digest=other), "--key", key.with_suffix(".pub"))
    assert code == 1 and "is attested and not signed" in err


def test_an_image_that_nobody_signed_is_refused(signed, deliver, registry):
    other = docker.push(imported("slipway-test-delivery:3", b"three"), f"{registry}/slipway-ship:3")
    code, _, err = deliver("verify", signed.change(digest=other), "--key", signed.keys / "ours" / "cosign.pub")
    assert code == 1 and "has no valid signature of the key" in err


def test_a_digest_that_the_registry_does_not_have_is_refused(signed, deliver):
    code, _, err = deliver("verify", signed.change(digest=digest("e")), "--key", signed.keys / "ours" / "cosign.pub")
    assert code == 1 and "has no valid signature of the key" in err


def test_a_signed_image_of_another_commit_is_refused(signed, deliver):
    path = signed.file.with_name("other.json")
    write_release(Release(signed.release.registry, "f" * 40, signed.release.images), path)
    code, _, err = deliver("verify", path, "--key", signed.keys / "ours" / "cosign.pub")
    assert code == 1 and f"was built from the commit {COMMIT}" in err and "it is of another release" in err


def test_a_wrong_password_is_told_and_not_shown(pushed, deliver, monkeypatch):
    monkeypatch.setenv("COSIGN_PASSWORD", "wrong words")
    code, out, err = deliver("sign", pushed.file, "--key", pushed.keys / "ours" / "cosign.key")
    assert code == 1 and "decrypt" in err and "wrong words" not in out + err
