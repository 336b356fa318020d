"""What happens to a service in a cluster: an update, evicted pods, a bad image, killed processes."""

from __future__ import annotations

import json
import time

from scenarios.kubernetes.cluster import LOOK_SECONDS, Cluster, ready, until
from scenarios.kubernetes.installation import SERVING, Installation
from slipway.errors import ServiceError

ROLLOUT_SECONDS = 240
POD_SECONDS = 120
CONTAINERS = ("service", "follow")
GPU = "nvidia.com/gpu"


def roll(installation: Installation) -> str:
    """Every pod is replaced by a new one, as after any change of the manifest."""
    before = set(installation.pod_names())
    installation.cluster.run("rollout", "restart", f"deployment/{SERVING}")
    installation.cluster.rolled_out(SERVING, ROLLOUT_SECONDS)
    return f"{len(before)} pods replaced by {len(set(installation.pod_names()) - before)}"


def evict_each(installation: Installation) -> str:
    """As a drained node does it: by the eviction API, which obeys the disruption budget."""
    refusals = 0
    evicted = installation.pod_names()
    for name in evicted:
        refusals += _evict(installation.cluster, name)
        until(f"{name} is replaced", lambda name=name: _whole_again(installation, name), POD_SECONDS)
    return f"{len(evicted)} pods evicted one by one; the disruption budget made it wait {refusals} times"


def fail_and_return(installation: Installation, image: str) -> str:
    """A new image whose service ends as soon as it starts: the rollout stops at its first pod, and is taken back."""
    cluster = installation.cluster
    cluster.run("set", "image", f"deployment/{SERVING}", *(f"{container}={image}" for container in CONTAINERS))
    pod = until("a pod with the new image starts", lambda: _pod_of(cluster, image), POD_SECONDS)
    until(f"the service of {pod} ends", lambda: _restarts(cluster, pod) > 0, POD_SECONDS)
    *_, reason, _ = cluster.run("logs", pod, "--container", "service", "--previous").strip().splitlines()
    _take_back(installation)
    return f"before its service ended, the new pod said: {reason}"


def ask_for_gpu(installation: Installation) -> str:
    """A GPU that no node has: the new pod waits for one for ever, and the rollout is taken back."""
    cluster = installation.cluster
    container = {"name": "service", "resources": {"limits": {GPU: "1"}}}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    cluster.run("patch", "deployment", SERVING, "--patch", json.dumps(patch))
    reason = until("a pod waits for a GPU", lambda: _unschedulable(cluster), POD_SECONDS)
    _take_back(installation)
    return f"the new pod is not scheduled: {reason}"


def kill_one(installation: Installation) -> str:
    """Every process of one pod's service gets SIGKILL at once; Kubernetes starts the container again."""
    name = installation.pod_names()[0]
    before = _restarts(installation.cluster, name)
    installation.cluster.run("exec", name, "--container", "service", "--", "sh", "-c", "kill -9 -1")
    started = time.monotonic()
    until(f"{name} was restarted", lambda: _restarts(installation.cluster, name) > before, POD_SECONDS)
    until(f"{name} is ready again", lambda: name in installation.pod_names(), POD_SECONDS)
    return f"ready again after {time.monotonic() - started:.0f} s"


def _take_back(installation: Installation) -> None:
    if len(installation.serving_pods()) < installation.replicas():
        raise ServiceError("a rollout that cannot succeed has ended a pod that served.")
    installation.cluster.run("rollout", "undo", f"deployment/{SERVING}")
    installation.cluster.rolled_out(SERVING, ROLLOUT_SECONDS)


def _unschedulable(cluster: Cluster) -> str:
    """Why the scheduler finds no node for a pod that asks for a GPU; empty while it has not said so."""
    for pod in cluster.pods(SERVING):
        for condition in pod["status"].get("conditions", ()):
            if condition.get("reason") == "Unschedulable" and GPU in condition["message"]:
                return condition["message"]
    return ""


def _evict(cluster: Cluster, name: str) -> int:
    """How often the disruption budget refused before it agreed."""
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
            time.sleep(LOOK_SECONDS)


def _whole_again(installation: Installation, gone: str) -> bool:
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


def whole(installation: Installation) -> bool:
    """Whether as many pods are ready as there should be, and no other is left."""
    pods = installation.cluster.pods(SERVING)
    return len(pods) == installation.replicas() and all(map(ready, pods))
