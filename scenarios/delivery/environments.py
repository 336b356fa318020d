"""Environments of the rehearsal: two namespaces of one cluster, and the overlays and use case that fit this machine."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scenarios.closed_loop import workspace
from scenarios.kubernetes.cluster import Cluster, ready
from scenarios.kubernetes.credentials import secret
from scenarios.kubernetes.installation import KUBERNETES, SERVING
from slipway import api_keys
from slipway.errors import ServiceError
from slipway.settings import settings

NAMES = ("staging", "production")
LOG = "/var/lib/slipway-log"
PLATFORM_LOCK = ("LOCK=cluster", "LOCK=shipping")  # in the Makefile
# Use cases and overlays of a pushed commit, relative to its checkout
USECASES, OVERLAYS = Path("usecases"), Path("infra") / "kubernetes" / "overlays"


@dataclass(frozen=True)
class Environment:
    """A namespace with the credentials that a platform team puts there once, before anything is deployed."""

    name: str
    cluster: Cluster

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    def prepare(self, keys: Path) -> None:
        """Make the namespace, its Secret (an API key, and the mask key with which models are trained), and what is the
        whole cluster's: a deployment needs no right to it.

        Raises:
            ServiceError: the namespace exists; somebody may use it.
        """
        if self.cluster.has_namespace():
            raise ServiceError(
                f"the cluster has a namespace {self.namespace} already, and the rehearsal deploys to a new one. If "
                f"nobody needs it: kubectl delete namespace {self.namespace}"
            )
        namespace = yaml.safe_load((KUBERNETES / "base" / "namespace.yaml").read_text())
        namespace["metadata"]["name"] = self.namespace
        self.cluster.apply(namespace)
        self.cluster.run("apply", "--filename", str(KUBERNETES / "base" / "limits" / "priority-class.yaml"))
        path = keys / f"{self.name}.json"
        _, key = api_keys.create(path, f"rehearsal-{secrets.token_hex(4)}", ["admin"])
        content = {"keys.json": path.read_bytes(), "api-key": key.encode(), "mask-key": settings().mask_secret()}
        self.cluster.apply(secret("slipway", content))

    def images(self) -> dict[str, str]:
        """Return by container the image of the deployment; empty before the first one."""
        listed = self.cluster.run("get", "deployment", SERVING, "--ignore-not-found", "--output", "json").strip()
        if not listed:
            return {}
        spec = json.loads(listed)["spec"]["template"]["spec"]
        return {one["name"]: one["image"] for one in [*spec["containers"], *spec.get("initContainers", ())]}

    def serving_image(self) -> str:
        """Return the image of the service; empty before the first deployment."""
        return self.images().get("service", "")

    def running(self) -> set[str]:
        """Return the images that the ready pods run, as the node names them by their digests."""
        pods = [pod for pod in self.cluster.pods(SERVING) if ready(pod)]
        statuses = (status for pod in pods for status in pod["status"]["containerStatuses"])
        return {status["imageID"] for status in statuses if status["name"] == "service"}


def environments() -> list[Environment]:
    """Return the environments in the order in which a release reaches them."""
    return [Environment(name, Cluster(f"slipway-{name}")) for name in NAMES]


def fit_to_this_machine(checkout: Path, small_platform: bool = False) -> None:
    """Put the overlays of this machine, and a use case that trains within seconds, in place of a checkout's own.

    With `small_platform`, the platform's image gets the packages of the shipper's: nothing here runs it, and its own,
    with TensorFlow, take 3 GB.

    Raises:
        ServiceError: the Makefile has no line that names the packages.
    """
    if small_platform:
        replace(checkout / "Makefile", *PLATFORM_LOCK)
    for environment in environments():
        folder = checkout / OVERLAYS / environment.name
        shutil.rmtree(folder)
        folder.mkdir()
        _write(folder / "kustomization.yaml", _kustomization(environment))
        _write(folder / "serving.yaml", _serving())
    original = workspace.original(checkout / USECASES)
    small = checkout / "small"
    workspace.write(original, small)
    shutil.rmtree(checkout / USECASES)
    small.rename(checkout / USECASES)
    set_in_usecase(checkout, auto_promote=False)


def set_in_usecase(checkout: Path, **values: Any) -> None:
    """Set keys in the `usecase.yaml` of a checkout's only use case."""
    [path] = (checkout / USECASES).glob("*/usecase.yaml")
    content = {**yaml.safe_load(path.read_text()), **values}
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def replace(path: Path, before: str, after: str) -> None:
    """Replace a text in a file of the checkout, once.

    Raises:
        ServiceError: it is not there.
    """
    text = path.read_text()
    if before not in text:
        raise ServiceError(f"{path.name} has no {before}, which the rehearsal replaces by {after}: name another text.")
    path.write_text(text.replace(before, after, 1))


def usecase(checkout: Path) -> str:
    """Return the name of a checkout's only use case."""
    [path] = (checkout / USECASES).glob("*/usecase.yaml")
    return path.parent.name


def _kustomization(environment: Environment) -> dict[str, Any]:
    """Only what serves: MLflow and Prefect run beside the cluster, as they do on AWS beside a namespace."""
    literals = _literals(KUBERNETES / "base" / "slipway.env")
    literals |= {"SLIPWAY_ENVIRONMENT": environment.name, "SLIPWAY_LOG_URL": LOG}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": environment.namespace,
        "resources": ["../../base/limits", "../../base/network", "../../base/serving"],
        "configMapGenerator": [
            {
                "name": "slipway",
                "literals": [f"{name}={value}" for name, value in literals.items()],
                "options": {"disableNameSuffixHash": True},
            }
        ],
        "patches": [{"path": "serving.yaml"}],
        "images": [
            {"name": "slipway-serving", "newName": "slipway-serving-credit-risk", "newTag": "1"},
            {"name": "slipway-ship", "newTag": "0.1.0"},
        ],
    }


def _literals(path: Path) -> dict[str, str]:
    """Read the lines NAME=VALUE of a file."""
    pairs = (line.partition("=") for line in path.read_text().splitlines() if line)
    return {name: value for name, _, value in pairs}


def _serving() -> Mapping[str, Any]:
    """Patch: little CPU per pod, so that pods of two environments fit on two cores; the log in the pod; no follower,
    whose registry is not in the cluster."""
    template = {
        "initContainers": [
            {"name": "ship", "volumeMounts": [{"name": "log", "mountPath": LOG}]},
            {"name": "follow", "$patch": "delete"},
        ],
        "containers": [{"name": "service", "resources": {"requests": {"cpu": "100m"}}}],
        "volumes": [{"name": "log", "emptyDir": {"sizeLimit": "1Gi"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": SERVING},
        "spec": {"template": {"spec": template}},
    }


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
