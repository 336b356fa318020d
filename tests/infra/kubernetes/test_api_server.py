"""A real API server accepts every manifest: strict validation, defaults, admission, Pod Security."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from tests.infra.kubernetes.cluster import Namespaces, installed, operator_definitions
from tests.infra.kubernetes.manifests import COMPONENTS, OVERLAYS, Manifest, of_kind, one, pods


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


@pytest.mark.parametrize("job", ["smoke", "databases"])
def test_the_api_server_accepts_a_job_of_the_namespace(namespaces, rendered, job):
    assert_accepted(namespaces, of_kind(rendered("local"), "Namespace") + rendered(job))


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


@pytest.fixture(scope="module")
def limited(needs, rendered) -> Iterator[Namespaces]:
    """Provide the namespaces of `local` with their quotas and limits in force."""
    needs("a cluster")
    found = Namespaces()
    found.enforce(rendered("local"))
    yield found
    found.end()


def as_pod(manifests: list[Manifest], name: str, **changes: str) -> Manifest:
    """Return the pod of a Deployment, whose first container has these limits."""
    (pod,) = [pod for pod in pods(manifests) if pod.name == name]
    spec = copy.deepcopy(dict(pod.spec)) | {"serviceAccountName": "default"}
    spec.pop("priorityClassName", None)  # the class is none of the namespace's
    spec["containers"][0]["resources"]["limits"] |= changes
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": pod.namespace}, "spec": spec}


@pytest.mark.parametrize("name", ["serving", "watch", "mlflow", "prefect", "prefect-worker"])
def test_every_pod_is_within_the_quota_and_the_limits(limited, rendered, name):
    assert limited.dry_run([as_pod(rendered("local"), name)]).messages == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"memory": "17Gi"}, "maximum memory usage per Container is 16Gi"), ({"nvidia.com/gpu": "5"}, "exceeded quota")],
)
def test_a_pod_that_takes_more_is_refused(limited, rendered, changes, message):
    assert message in limited.dry_run([as_pod(rendered("local"), "watch", **changes)]).messages


def test_a_load_balancer_is_refused_without_its_component(limited, with_components):
    public = one(with_components("local", "load-balancer"), "Service", "serving-public")
    for kind in ("LoadBalancer", "NodePort"):
        service = copy.deepcopy(public)
        service["spec"] = {key: service["spec"][key] for key in ("selector", "ports")} | {"type": kind}
        assert "exceeded quota: slipway" in limited.dry_run([service]).messages


@pytest.mark.slow
def test_a_load_balancer_is_admitted_with_its_component(needs, with_components):
    needs("a cluster")
    manifests, namespaces = with_components("local", "load-balancer"), Namespaces()
    try:
        namespaces.enforce(manifests)
        assert namespaces.dry_run([one(manifests, "Service", "serving-public")]).messages == ""
    finally:
        namespaces.end()
