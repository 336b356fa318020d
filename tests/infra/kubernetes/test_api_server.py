"""A real API server accepts every manifest: strict validation, defaults, admission, Pod Security."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.infra.kubernetes.cluster import Namespaces, installed, operator_definitions
from tests.infra.kubernetes.manifests import COMPONENTS, OVERLAYS, Manifest, of_kind


@pytest.fixture(scope="module")
def namespaces(needs) -> Iterator[Namespaces]:
    needs("a cluster")
    needs("go")
    with installed(operator_definitions()):
        found = Namespaces()
        yield found
        found.end()


def assert_accepted(namespaces: Namespaces, manifests: list[Manifest]) -> None:
    result = namespaces.dry_run(manifests)
    assert result.messages == "", (
        result.messages
    )  # neither an error nor a warning, as Pod Security gives for templates of pods
    assert result.accepted == len(manifests)


@pytest.mark.parametrize("name", [*OVERLAYS, "device-plugin"])
def test_the_api_server_accepts_everything_that_is_applied(namespaces, rendered, name):
    assert_accepted(namespaces, rendered(name))


def test_the_api_server_accepts_the_smoke_job(namespaces, rendered):
    assert_accepted(namespaces, of_kind(rendered("local"), "Namespace") + rendered("smoke"))


def test_the_api_server_accepts_a_second_service(namespaces, rendered, second):
    assert_accepted(namespaces, of_kind(rendered("local"), "Namespace") + second)


@pytest.mark.parametrize("component", [name for name in COMPONENTS if name != "shared-storage"])
def test_the_api_server_accepts_each_component(namespaces, with_components, component):
    assert_accepted(namespaces, with_components("local", component))


def test_a_misspelt_field_and_a_pod_that_is_not_restricted_are_noticed(namespaces, rendered):
    """Check that the API server validates: it refuses one manifest, and warns of the other."""
    local = rendered("local")
    (serving,) = [manifest for manifest in of_kind(local, "Deployment") if manifest["metadata"]["name"] == "serving"]
    misspelt = {**serving, "spec": {**serving["spec"], "progresDeadlineSeconds": 3}}
    result = namespaces.dry_run([*of_kind(local, "Namespace"), misspelt])
    assert 'unknown field "spec.progresDeadlineSeconds"' in result.messages
    template = {**serving["spec"]["template"], "spec": {**serving["spec"]["template"]["spec"], "hostNetwork": True}}
    unconfined = {**serving, "spec": {**serving["spec"], "template": template}}
    assert "violate PodSecurity" in namespaces.dry_run([*of_kind(local, "Namespace"), unconfined]).messages
