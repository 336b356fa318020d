"""Installation of Slipway in the cluster: the overlay `local` with the scenario's images and its Secrets."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from infra.delivery.deployment import smoke_job
from scenarios.kubernetes.cluster import Cluster, names, ready
from scenarios.kubernetes.credentials import secret
from scenarios.kubernetes.images import Images
from scenarios.kubernetes.mlflow_users import MlflowUsers
from slipway import api_keys
from slipway.clients.prefect import AUTH_STRING
from slipway.settings import settings

KUBERNETES = Path(__file__).resolve().parents[2] / "infra" / "kubernetes"
OVERLAY, SMOKE = KUBERNETES / "overlays" / "local", KUBERNETES / "smoke"
NAMESPACE = KUBERNETES / "base" / "namespace.yaml"
USECASE = "credit_risk"  # the one that the overlay serves
SERVING, SERVICE_PORT = "serving", 3000


class Installation:
    """Installation in one namespace; `key` is an API key with every scope, `folder` has the applied kustomizations."""

    def __init__(self, cluster: Cluster, images: Images) -> None:
        self.cluster = cluster
        self.images = images
        self.folder = settings().var.resolve() / "cluster"
        self.key = ""
        self.mlflow_users = MlflowUsers()

    def apply(self) -> None:
        """Apply the Secrets, which pods read when they start, and then the overlay."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.cluster.run("apply", "--filename", str(NAMESPACE))
        logins = {user: password.encode() for user, password in self.mlflow_users.secret.items()}
        self.cluster.apply(secret("slipway", self._credentials()), secret("slipway-mlflow", logins))
        self.cluster.apply_kustomization(self._kustomized(OVERLAY))

    def smoke(self) -> str:
        """Run the smoke test as a Job and return the last line of its log.

        Raises:
            ServiceError: a check of it failed.
        """
        return smoke_job.run(self.cluster, self._kustomized(SMOKE))

    def serving_pods(self) -> list[dict[str, Any]]:
        """List the ready pods of the service."""
        return [pod for pod in self.cluster.pods(SERVING) if ready(pod)]

    def replicas(self) -> int:
        """Return the number of pods that the deployment asks for."""
        return self.cluster.get("deployment", SERVING)["spec"]["replicas"]

    def pod_names(self) -> list[str]:
        """Return the names of the ready pods of the service."""
        return names(self.serving_pods())

    def _credentials(self) -> dict[str, bytes]:
        """Make the key file, an API key and Prefect's login, which this process uses as well, beside the mask key that
        the packaged model was trained with."""
        path = self.folder / "keys.json"
        _, self.key = api_keys.create(path, f"trial-{secrets.token_hex(4)}", ["admin"], "", None)
        login = os.environ[AUTH_STRING] = f"slipway:{secrets.token_urlsafe(24)}"
        return {
            "keys.json": path.read_bytes(),
            "api-key": self.key.encode(),
            "mask-key": settings().mask_secret(),
            "prefect-login": login.encode(),
        }

    def _kustomized(self, base: Path) -> Path:
        """Write a kustomization with the scenario's images, and return its folder."""
        folder = self.folder / base.name
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(json.dumps(self._kustomization(base, folder), indent=2))
        return folder

    def _kustomization(self, base: Path, folder: Path) -> dict[str, Any]:
        named = (image.partition(":") for image in self.images.all())
        replaced = [{"name": name, "newTag": tag} for name, _, tag in named]
        return {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(base, folder)],
            "images": replaced,
        }
