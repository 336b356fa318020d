"""The record of a release: read as it was written, and refused where it is anything else."""

from __future__ import annotations

import json

import msgspec
import pytest

from infra.delivery.release import read_release, registry_name, require_same_digests, write_release
from slipway.errors import NotFound, ServiceError, SettingsError
from tests.infra.delivery.conftest import COMMIT, NAMES, a_release, digest


def test_it_is_read_as_it_was_written(tmp_path):
    write_release(a_release(), tmp_path / "deep" / "release.json")
    assert read_release(tmp_path / "deep" / "release.json") == a_release()


def test_its_references_are_digests_and_no_tags():
    release = a_release()
    assert release.reference(release.image("slipway-ship")) == f"registry.example.com/slipway-ship@{digest('a')}"


def test_an_image_that_it_does_not_have_is_named_with_those_that_it_has():
    with pytest.raises(NotFound, match=f"no image slipway-serving-digits. It has {', '.join(NAMES)}"):
        a_release().image("slipway-serving-digits")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("commit",), "main"),
        (("commit",), COMMIT[:12]),
        (("registry",), "https://registry.example.com"),
        (("registry",), "--insecure"),
        (("images",), []),
        (("images", 0, "digest"), "sha256:abc"),
        (("images", 0, "name"), "../slipway-ship"),
        (("images", 0, "tag"), "-tag"),
        (("images", 0, "sbom"), "../../etc/passwd"),
        (("images", 0, "sbom"), "/etc/passwd"),
        (("images", 0, "provenance"), "--key"),
        (("unknown",), 1),
    ],
)
def test_a_malformed_one_is_refused(tmp_path, where, value):
    content = json.loads(msgspec.json.encode(a_release()))
    place = content
    for part in where[:-1]:
        place = place[part]
    place[where[-1]] = value
    path = tmp_path / "release.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match="is not as `build` writes it"):
        read_release(path)


def test_one_that_is_missing_says_who_writes_it(tmp_path):
    with pytest.raises(SettingsError, match="`build --out .*release.json` writes it"):
        read_release(tmp_path / "release.json")


@pytest.mark.parametrize(
    "name", ["localhost:5000", "123456789012.dkr.ecr.eu-central-1.amazonaws.com", "ghcr.io/team/a"]
)
def test_a_registry_is_a_host_with_a_prefix(name):
    assert registry_name(f"{name}/") == name


@pytest.mark.parametrize("name", ["https://ghcr.io", "ghcr.io/Team", "", "--key=a", "a b"])
def test_anything_else_is_no_registry(name):
    with pytest.raises(SettingsError, match="is no registry"):
        registry_name(name)


def test_a_tag_that_has_another_digest_than_before_is_an_error():
    require_same_digests(a_release(), a_release())
    with pytest.raises(ServiceError, match=f"is {digest('b')} in registry.example.com, and was {digest('a')}"):
        require_same_digests(a_release("a"), a_release("b"))


def test_an_earlier_release_of_another_commit_is_no_matter():
    require_same_digests(a_release("a", commit="f" * 40), a_release("b"))
