"""Installation of Slipway in the cluster: the overlay `local` with the scenario's images and its Secrets."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from scenarios.kubernetes.cluster import Cluster, names, ready, wait_until
from scenarios.kubernetes.images import Images
from scenarios.kubernetes.mlflow_users import MlflowUsers
from slipway import api_keys
from slipway.clients.prefect import AUTH_STRING
from slipway.errors import ServiceError
from slipway.settings import settings

KUBERNETES = Path(__file__).resolve().parents[2] / "infra" / "kubernetes"
OVERLAY, SMOKE = KUBERNETES / "overlays" / "local", KUBERNETES / "smoke"
NAMESPACE = KUBERNETES / "base" / "namespace.yaml"
USECASE = "credit_risk"  # the one that the overlay serves
SMOKE_SECONDS = 200
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
        self.cluster.apply(self._secret("slipway", self._credentials()), self._mlflow_secret())
        self._apply(OVERLAY)

    def smoke(self) -> str:
        """Run the smoke test as a Job and return the last line of its log.

        Raises:
            ServiceError: a check of it failed.
        """
        self._apply(SMOKE)
        log: list[str] = []

        def ended() -> bool:
            status = self.cluster.get("job", "smoke")["status"]
            if status.get("succeeded") or status.get("failed"):
                log[:] = self.cluster.run("logs", "job/smoke").strip().splitlines()
            return bool(log)

        wait_until("the smoke test ends", ended, SMOKE_SECONDS)
        if not self.cluster.get("job", "smoke")["status"].get("succeeded"):
            raise ServiceError("the smoke test failed: " + " ".join(log[-5:]))
        return log[-1]

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

    def _mlflow_secret(self) -> dict[str, Any]:
        passwords = self.mlflow_users.secret
        return self._secret("slipway-mlflow", {name: password.encode() for name, password in passwords.items()})

    def _secret(self, name: str, values: dict[str, bytes]) -> dict[str, Any]:
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.cluster.namespace},
            "data": data,
        }

    def _apply(self, base: Path) -> None:
        """Apply a kustomization with the scenario's images, by an overlay of its own."""
        folder = self.folder / base.name
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(json.dumps(self._kustomization(base, folder), indent=2))
        self.cluster.apply_kustomization(folder)

    def _kustomization(self, base: Path, folder: Path) -> dict[str, Any]:
        named = (image.partition(":") for image in self.images.all())
        replaced = [{"name": name, "newTag": tag} for name, _, tag in named]
        return {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(base, folder)],
            "images": replaced,
        }
