"""An environment: an overlay in a namespace of the cluster, to which releases are rolled out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.delivery.deployment import kustomize, manifests, smoke_job
from infra.delivery.deployment.cluster import Cluster
from infra.delivery.deployment.manifests import Manifest
from infra.delivery.program import run
from infra.delivery.release import Release
from slipway.errors import ServiceError, SettingsError

ROLLOUT_SECONDS = 600.0
_BEGINNING = ("PodInitializing", "ContainerCreating")  # reasons of containers that only begin
SMOKE_IMAGE = "slipway-serving-credit-risk"  # as infra/kubernetes/smoke has it


@dataclass(frozen=True)
class Environment:
    """An overlay, and the namespace of the cluster that it is for.

    `override` is a namespace for all objects, None for the overlay's own. With `install`, objects of the whole cluster
    and of other namespaces are applied, too. Generated kustomizations are in `folder`.
    """

    overlay: Path
    folder: Path
    override: str | None = None
    install: bool = False

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster, in the namespace of the overlay's service."""
        return Cluster(self.override or manifests.namespace(self._rendered))

    def images(self, release: Release) -> dict[str, str]:
        """Return the references of the release for the images that the overlay runs. Raises NotFound for others."""
        return {name: release.reference(release.image(name)) for name in self._used()}

    def require_ready(self) -> None:
        """Require what a deployment needs: the namespace, and the Secrets of its pods.

        Raises:
            SettingsError: it is missing; the message names it, and no value.
        """
        namespace = self.cluster.namespace
        if not self.cluster.has_namespace():
            raise SettingsError(
                f"the cluster has no namespace {namespace}: create it and its Secrets as in "
                "docs/how-to/deploy-on-kubernetes.md, and deploy for the first time with --install."
            )
        smoke = manifests.parse(kustomize.render(kustomize.SMOKE))
        for name, keys in sorted(manifests.required_secrets([*self._manifests({}), *smoke]).items()):
            found = self._secret_keys(name)
            missing = sorted(keys - (found or set()))
            if missing or found is None:
                raise SettingsError(
                    f"the Secret {name} of the namespace {namespace} lacks {', '.join(missing) or 'everything'}: "
                    "create it as in docs/how-to/deploy-on-kubernetes.md, and deploy again."
                )

    def apply(self, images: Mapping[str, str]) -> None:
        """Apply the overlay with these images."""
        found = self._manifests(images)
        own = found if self.install else [one for one in found if self._is_own(one)]
        listed = {"apiVersion": "v1", "kind": "List", "items": own}
        run("kubectl", "apply", "--filename", "-", stdin=json.dumps(listed, default=str))

    def wait(self) -> None:
        """Wait until every pod of each Deployment is new and ready."""
        for name in manifests.deployments(filter(self._is_own, self._manifests({}))):
            try:
                self.cluster.wait_for_rollout(name, ROLLOUT_SECONDS)
            except ServiceError as error:
                pods = self.cluster.get("pods", "--selector", f"app.kubernetes.io/name={name}")["items"]
                raise ServiceError(f"{str(error).rstrip('.')}. {waiting(pods)}".strip()) from None

    def smoke(self, images: Mapping[str, str]) -> str:
        """Run the smoke test as a Job, with the image of the service."""
        folder = self.folder / "smoke"
        serving = [one for one in self._rendered if one["metadata"]["name"] == manifests.SERVING]
        service = next(name for name in manifests.images(serving) if name.startswith("slipway-serving"))
        kustomize.write(kustomize.SMOKE, folder, {SMOKE_IMAGE: images[service]}, self.cluster.namespace)
        return smoke_job.run(self.cluster, folder)

    @cached_property
    def _rendered(self) -> list[Manifest]:
        return manifests.parse(kustomize.render(self.overlay))

    def _used(self) -> dict[str, str]:
        return manifests.images(filter(self._is_own, self._manifests({})))

    def _manifests(self, images: Mapping[str, str]) -> list[Manifest]:
        """Render the overlay; `images` maps the names of images to references, and leaves out those that stay."""
        named = {
            manifests.repository(reference): images[name]
            for name, reference in manifests.images(self._rendered).items()
            if name in images
        }
        if not named and not self.override:
            return self._rendered
        folder = self.folder / "overlay"
        kustomize.write(self.overlay, folder, named, self.override)
        return manifests.parse(kustomize.render(folder))

    def _is_own(self, manifest: Manifest) -> bool:
        return manifest["metadata"].get("namespace") == self.cluster.namespace

    def _secret_keys(self, name: str) -> set[str] | None:
        """Return the names of a Secret's keys; None if it is missing. Its values stay in the cluster."""
        template = "go-template={{range $key, $_ := .data}}{{$key}} {{end}}."
        found = self.cluster.run("get", "secret", name, "--ignore-not-found", "--output", template)
        return set(found.rstrip(".").split()) if found else None


def waiting(pods: list[dict[str, Any]]) -> str:
    """Say why pods are not ready, as far as Kubernetes knows; empty if it does not.

    >>> container = {"name": "service", "state": {"waiting": {"reason": "ErrImagePull"}}}
    >>> waiting([{"status": {"containerStatuses": [container]}}])
    'Its container service waits: ErrImagePull.'
    """
    for pod in pods:
        status = pod["status"]
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            name, state = container["name"], container["state"]
            if (found := state.get("waiting")) and found.get("reason") not in _BEGINNING:
                detail = f" ({found['message'][:200]})" if found.get("message") else ""
                return f"Its container {name} waits: {found['reason']}{detail}."
            if code := state.get("terminated", {}).get("exitCode"):
                return f"Its container {name} ended with exit code {code}."
    return ""
