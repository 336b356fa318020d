"""What is read from rendered manifests, and kustomizations with the digests of a release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.delivery.deployment import kustomize, manifests
from infra.delivery.deployment.environment import SMOKE_IMAGE, waiting
from slipway.errors import SettingsError
from tests.infra.delivery.conftest import NAMES, a_release, digest

OVERLAYS = ("local", "production", "staging")


@pytest.fixture(scope="module")
def overlay(needs):
    """`overlay("staging")` is the overlay as kubectl renders it."""
    needs("kubectl")
    return lambda name: manifests.parse(kustomize.render(kustomize.OVERLAYS / name))


def pod(kind="Deployment", **spec):
    template = {"template": {"spec": spec}}
    return {
        "kind": kind,
        "metadata": {"name": "a"},
        "spec": {"jobTemplate": {"spec": template}} if kind == "CronJob" else template,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_has_three_images_and_the_service_in_its_namespace(overlay, name):
    found = overlay(name)
    assert manifests.images(found).keys() == set(NAMES)
    assert manifests.namespace(found) == "slipway"
    assert "serving" in manifests.deployments(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", OVERLAYS)
def test_with_a_release_every_image_is_a_digest(overlay, tmp_path, name):
    release = a_release(registry="localhost:5000/team")
    named = {
        manifests.repository(reference): release.reference(release.image(image))
        for image, reference in manifests.images(overlay(name)).items()
    }
    kustomize.write(kustomize.OVERLAYS / name, tmp_path / "new", named)
    text = kustomize.render(tmp_path / "new")
    references = [line.split()[-1] for line in text.splitlines() if "/slipway-" in line and "@" in line]
    assert references and all(found.startswith("localhost:5000/team/slipway-") for found in references)
    assert not [line for line in text.splitlines() if "image: slipway-" in line or "registry.example.com" in line]
    worker = next(
        m for m in manifests.parse(text) if m["metadata"]["name"] == "prefect-worker" and m["kind"] == "Deployment"
    )
    (variable,) = [v for v in worker["spec"]["template"]["spec"]["initContainers"][0]["env"] if v["name"] == "IMAGE"]
    assert variable["value"] == f"localhost:5000/team/slipway-platform@{digest('a')}"


@pytest.mark.slow
def test_another_namespace_is_that_of_all_objects(overlay, tmp_path):
    kustomize.write(kustomize.OVERLAYS / "staging", tmp_path / "new", {}, "elsewhere")
    found = manifests.parse(kustomize.render(tmp_path / "new"))
    assert {m["metadata"].get("namespace", "elsewhere") for m in found} == {"elsewhere"}
    assert manifests.namespace(found) == "elsewhere"


def test_the_image_of_the_smoke_test_is_found_by_its_name(needs):
    needs("kubectl")
    assert manifests.images(manifests.parse(kustomize.render(kustomize.SMOKE))).keys() == {SMOKE_IMAGE}


def test_an_overlay_of_something_else_is_refused():
    with pytest.raises(SettingsError, match="has no Deployment 'serving'"):
        manifests.namespace([pod(containers=[])])


def test_secrets_without_which_a_pod_does_not_start():
    variables = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "user"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "extra", "key": "c", "optional": True}}},
        {"name": "D", "value": "d"},
        {"name": "E", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "e"}}},
    ]
    volumes = [
        {"name": "keys", "secret": {"secretName": "keys", "items": [{"key": "keys.json", "path": "keys.json"}]}},
        {"name": "whole", "secret": {"secretName": "whole"}},
        {"name": "maybe", "secret": {"secretName": "maybe", "optional": True}},
        {"name": "several", "projected": {"sources": [{"secret": {"name": "part"}}, {"configMap": {"name": "x"}}]}},
        {"name": "scratch", "emptyDir": {}},
    ]
    containers = [{"name": "one", "env": variables, "envFrom": [{"secretRef": {"name": "all"}}, {"configMapRef": {}}]}]
    expected = {"login": {"user", "password"}, "keys": {"keys.json"}, "whole": set(), "part": set(), "all": set()}
    for kind in ("Deployment", "CronJob"):
        assert manifests.required_secrets([pod(kind, containers=containers, volumes=volumes)]) == expected


def test_objects_without_pods_need_no_secret_and_have_no_image():
    service = {"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": []}}
    settings = {"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {}}
    assert manifests.required_secrets([service, settings]) == {} == manifests.images([service, settings])


def test_images_of_others_stay_as_they_are():
    other = pod(containers=[{"image": "docker.elastic.co/beats/filebeat:8"}, {"image": "r/slipway-ship:1"}])
    assert manifests.images([other]) == {"slipway-ship": "r/slipway-ship:1"}


@pytest.mark.parametrize(
    ("reference", "replacement"),
    [
        ("r:5000/a@sha256:00", {"newName": "r:5000/a", "digest": "sha256:00"}),
        ("r:5000/a:1", {"newName": "r:5000/a", "newTag": "1"}),
    ],
)
def test_an_image_is_replaced_by_digest_or_tag(reference, replacement):
    content = kustomize.kustomization("../overlay", {"old/a": reference}, None)
    assert content["images"] == [{"name": "old/a", **replacement}] and "namespace" not in content


def test_a_kustomization_replaces_the_one_before(tmp_path):
    for image in ("r/a:1", "r/a:2"):
        kustomize.write(kustomize.SMOKE, tmp_path / "new", {"a": image})
    written = json.loads(Path(tmp_path / "new" / "kustomization.yaml").read_text())
    assert [image["newTag"] for image in written["images"]] == ["2"]


def test_why_a_pod_waits_is_told_and_that_it_only_begins_is_not():
    def status(reason, **more):
        return {"name": "service", "state": {"waiting": {"reason": reason, **more}}}

    beginning = {"status": {"containerStatuses": [status("PodInitializing")]}}
    failing = {"status": {"initContainerStatuses": [status("ErrImagePull", message="no such manifest")]}}
    ended = {"status": {"containerStatuses": [{"name": "service", "state": {"terminated": {"exitCode": 78}}}]}}
    done = {"status": {"initContainerStatuses": [{"name": "ship", "state": {"terminated": {"exitCode": 0}}}]}}
    running = {"status": {"containerStatuses": [{"name": "service", "state": {"running": {}}}]}}
    assert waiting([running, beginning, done]) == ""
    assert waiting([done, ended]) == "Its container service ended with exit code 78."
    assert waiting([beginning, failing]) == "Its container service waits: ErrImagePull (no such manifest)."
