"""Disruptions of a service in a cluster: an update, evicted pods, a bad image, a missing GPU, killed processes."""

from __future__ import annotations

import json
import time

from scenarios.kubernetes.cluster import POLL_SECONDS, Cluster, ready, wait_until
from scenarios.kubernetes.installation import SERVING, Installation
from slipway.errors import ServiceError

ROLLOUT_SECONDS = 240
POD_SECONDS = 120
CONTAINERS = ("service", "follow")
GPU = "nvidia.com/gpu"


def restart_rollout(installation: Installation) -> str:
    """Replace every pod by a new one, as after any change of the manifest."""
    before = set(installation.pod_names())
    installation.cluster.run("rollout", "restart", f"deployment/{SERVING}")
    installation.cluster.wait_for_rollout(SERVING, ROLLOUT_SECONDS)
    return f"{len(before)} pods replaced by {len(set(installation.pod_names()) - before)}"


def evict_each(installation: Installation) -> str:
    """Evict pod by pod with the eviction API, as a drained node does; it obeys the disruption budget."""
    refusals = 0
    evicted = installation.pod_names()
    for name in evicted:
        refusals += _evict(installation.cluster, name)
        wait_until(f"{name} is replaced", lambda name=name: _replaced(installation, name), POD_SECONDS)
    return f"{len(evicted)} pods evicted one by one; the disruption budget made it wait {refusals} times"


def roll_out_bad_image(installation: Installation, image: str) -> str:
    """Roll out an image whose service ends at once: the rollout stops at its first pod, and is undone."""
    cluster = installation.cluster
    cluster.run("set", "image", f"deployment/{SERVING}", *(f"{container}={image}" for container in CONTAINERS))
    pod = wait_until("a pod with the new image starts", lambda: _pod_of(cluster, image), POD_SECONDS)
    wait_until(f"the service of {pod} ends", lambda: _restarts(cluster, pod) > 0, POD_SECONDS)
    *_, reason, _ = cluster.run("logs", pod, "--container", "service", "--previous").strip().splitlines()
    _undo_rollout(installation)
    return f"before its service ended, the new pod logged: {reason}"


def request_gpu(installation: Installation) -> str:
    """Request a GPU that no node has: the new pod stays pending, and the rollout is undone."""
    cluster = installation.cluster
    container = {"name": "service", "resources": {"limits": {GPU: "1"}}}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    cluster.run("patch", "deployment", SERVING, "--patch", json.dumps(patch))
    reason = wait_until("a pod waits for a GPU", lambda: _unschedulable(cluster), POD_SECONDS)
    _undo_rollout(installation)
    return f"the new pod is not scheduled: {reason}"


def kill_one(installation: Installation) -> str:
    """Kill every process of one pod's service with SIGKILL; Kubernetes restarts the container."""
    name = installation.pod_names()[0]
    before = _restarts(installation.cluster, name)
    installation.cluster.run("exec", name, "--container", "service", "--", "sh", "-c", "kill -9 -1")
    started = time.monotonic()
    wait_until(f"{name} was restarted", lambda: _restarts(installation.cluster, name) > before, POD_SECONDS)
    wait_until(f"{name} is ready again", lambda: name in installation.pod_names(), POD_SECONDS)
    return f"ready again after {time.monotonic() - started:.0f} s"


def _undo_rollout(installation: Installation) -> None:
    if len(installation.serving_pods()) < installation.replicas():
        raise ServiceError("a rollout that cannot succeed has ended a pod that served.")
    installation.cluster.run("rollout", "undo", f"deployment/{SERVING}")
    installation.cluster.wait_for_rollout(SERVING, ROLLOUT_SECONDS)


def _unschedulable(cluster: Cluster) -> str:
    """Read why the scheduler finds no node for a pod that requests a GPU; empty while it has not decided."""
    for pod in cluster.pods(SERVING):
        for condition in pod["status"].get("conditions", ()):
            if condition.get("reason") == "Unschedulable" and GPU in condition["message"]:
                return condition["message"]
    return ""


def _evict(cluster: Cluster, name: str) -> int:
    """Evict a pod, and count how often the disruption budget refused before."""
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{name}/eviction"
    metadata = {"name": name, "namespace": cluster.namespace}
    body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
    deadline = time.monotonic() + POD_SECONDS
    refusals = 0
    while True:
        try:
            cluster.run("create", "--raw", path, "--filename", "-", stdin=body)
            return refusals
        except ServiceError as error:
            if "disruption budget" not in str(error) or time.monotonic() > deadline:
                raise
            refusals += 1
            time.sleep(POLL_SECONDS)


def _replaced(installation: Installation, gone: str) -> bool:
    names = installation.pod_names()
    return gone not in names and len(names) == installation.replicas()


def _pod_of(cluster: Cluster, image: str) -> str:
    for pod in cluster.pods(SERVING):
        if any(container["image"] == image for container in pod["spec"]["containers"]):
            return pod["metadata"]["name"]
    return ""


def _restarts(cluster: Cluster, name: str) -> int:
    pod = cluster.get("pod", name)
    statuses = {status["name"]: status["restartCount"] for status in pod["status"].get("containerStatuses", ())}
    return statuses.get("service", 0)


def all_ready(installation: Installation) -> bool:
    """Tell whether as many pods are ready as the deployment asks for, and no other is left."""
    pods = installation.cluster.pods(SERVING)
    return len(pods) == installation.replicas() and all(map(ready, pods))
