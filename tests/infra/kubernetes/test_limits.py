"""What a namespace may take: quotas, ranges of limits, sizes of scratch volumes, priority of the service."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from scenarios.kubernetes import pods as scenario_pods
from tests.infra.kubernetes.manifests import OVERLAYS, Manifest, Pod, of_kind, one, pods

UNITS = {"": 1, "m": 0.001, "Mi": 2**20, "Gi": 2**30}
FLOW_RUNS = 10  # at once, for which there shall be room
GPU = "nvidia.com/gpu"


def quantity(text: str) -> float:
    number, unit = re.fullmatch(r"([0-9]+)(m|Mi|Gi|)", str(text)).groups()
    return int(number) * UNITS[unit]


def most(manifests: list[Manifest], pod: Pod) -> int:
    """Return how many of these pods there are at the same time, at most: with those of a rollout."""
    if pod.name == "flow-run":
        return FLOW_RUNS
    (owner,) = [
        manifest for manifest in of_kind(manifests, "Deployment", "Job") if manifest["metadata"]["name"] == pod.name
    ]
    scaled = [
        scaler["spec"]["maxReplicas"]
        for scaler in of_kind(manifests, "HorizontalPodAutoscaler")
        if scaler["spec"]["scaleTargetRef"]["name"] == pod.name
    ]
    return (scaled or [owner["spec"].get("replicas", 1)])[0] + 1


def taken(manifests: list[Manifest], namespace: str) -> Counter:
    """Sum up what pods may request of the namespace's quota."""
    total: Counter = Counter()
    for pod in pods(manifests):
        if pod.namespace != namespace:
            continue
        number = most(manifests, pod)
        total["pods"] += number
        for container in pod.containers:
            for kind, resources in container["resources"].items():
                for name, amount in resources.items():
                    total[f"{kind}.{name}"] += number * quantity(amount)
            total[f"requests.{GPU}"] += number * quantity(container["resources"]["limits"].get(GPU, "0"))
    return total


def assert_room(manifests: list[Manifest]) -> None:
    for quota in of_kind(manifests, "ResourceQuota"):
        found = taken(manifests, quota["metadata"]["namespace"])
        for name, hard in quota["spec"]["hard"].items():
            assert found[name] <= quantity(hard), f"{quota['metadata']['name']}: {name}"


@pytest.mark.parametrize("name", [*OVERLAYS, "device-plugin"])
def test_every_namespace_has_a_quota_and_a_range_of_limits(rendered, name):
    manifests = rendered(name)
    for namespace in (manifest["metadata"]["name"] for manifest in of_kind(manifests, "Namespace")):
        of_it = [manifest for manifest in manifests if manifest["metadata"].get("namespace") == namespace]
        (quota,), (limits,) = of_kind(of_it, "ResourceQuota"), of_kind(of_it, "LimitRange")
        assert {"pods", "limits.memory"} <= quota["spec"]["hard"].keys()
        (container,) = [entry for entry in limits["spec"]["limits"] if entry["type"] == "Container"]
        assert {"default", "defaultRequest", "max"} <= container.keys()
        assert "cpu" not in container["default"]  # it would stop responses where a core is free


def test_a_quota_has_room_for_every_pod_a_rollout_and_trainings(overlay):
    assert_room(overlay)


@pytest.mark.parametrize("components", [("gpu",), ("autoscaling", "gpu", "gpu-training"), ("load-balancer",)])
def test_a_quota_has_room_for_each_component(with_components, components):
    assert_room(with_components("local", *components))


def test_no_container_is_above_the_range(overlay):
    (limits,) = [limits for limits in of_kind(overlay, "LimitRange") if limits["metadata"]["name"] == "slipway"]
    container, claim = limits["spec"]["limits"]
    for pod in pods(overlay):
        for entry in pod.containers:
            assert quantity(entry["resources"]["limits"]["memory"]) <= quantity(container["max"]["memory"]), pod.name
    for found in of_kind(overlay, "PersistentVolumeClaim"):
        size = found["spec"]["resources"]["requests"]["storage"]
        assert quantity(size) <= quantity(claim["max"]["storage"]), found["metadata"]["name"]


def test_claims_fit_into_the_quota(overlay):
    claims = of_kind(overlay, "PersistentVolumeClaim")
    hard = one(overlay, "ResourceQuota", "slipway")["spec"]["hard"]
    assert len(claims) <= quantity(hard["persistentvolumeclaims"])
    sizes = [quantity(claim["spec"]["resources"]["requests"]["storage"]) for claim in claims]
    assert sum(sizes) <= quantity(hard["requests.storage"])


def test_every_scratch_volume_has_a_size_limit(manifests):
    for pod in pods(manifests):
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume:
                assert (volume["emptyDir"] or {}).get("sizeLimit"), f"{pod.name}: {volume['name']}"


def test_the_scenarios_own_pods_have_size_limits():
    pod = scenario_pods.pod("one", "smoke", "image", ["x.py"], {})
    assert [v for v in pod["spec"]["volumes"] if "emptyDir" in v and not v["emptyDir"].get("sizeLimit")] == []


def test_the_service_goes_before_trainings_and_takes_no_ones_place(overlay):
    priority = one(overlay, "PriorityClass", "slipway-serving")
    assert priority["value"] > 0 and priority["preemptionPolicy"] == "Never"
    assert not priority.get("globalDefault")
    named = {pod.name for pod in pods(overlay) if pod.spec.get("priorityClassName") == "slipway-serving"}
    assert named == {"serving"}
