"""Servers of the rehearsal beside MLflow and Prefect: Debian's docker-registry, and the key pair of cosign."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.clients import http
from slipway.errors import ServiceError
from slipway.system.files import write_text
from slipway.system.ports import free_port
from slipway.system.processes import Process

REGISTRY_PORT = 5050  # or the next one that is free; 5000 is MLflow's


@dataclass(frozen=True)
class Registry:
    """Registry of images on this machine; `store` outlives a rehearsal, so that a layer is pushed once."""

    store: Path
    log: Path
    port: int

    @property
    def host(self) -> str:
        """Its name in references to images: Docker, containerd and cosign speak HTTP to `localhost`."""
        return f"localhost:{self.port}"

    @property
    def process(self) -> Process:
        """The server.

        Raises:
            ServiceError: Debian's docker-registry is not installed.
        """
        program = shutil.which("docker-registry")
        if program is None:
            raise ServiceError("docker-registry is not installed: install Debian's package docker-registry.")
        configuration = self.store.parent / "registry.json"  # JSON is YAML
        write_text(configuration, json.dumps(self._configuration()), durable=False)
        url = f"http://127.0.0.1:{self.port}"
        return Process("registry", (program, "serve", str(configuration)), self.log, health_url=f"{url}/v2/", url=url)

    def repositories(self) -> list[str]:
        """Name the repositories that have an image.

        Raises:
            ServiceError: it does not respond.
        """
        return list(self._get("_catalog")["repositories"] or ())

    def tags(self) -> set[str]:
        """List every tag as `REPOSITORY:TAG`, without those of signatures and attestations. Raises as the former."""
        found = ((name, tag) for name in self.repositories() for tag in self._get(f"{name}/tags/list")["tags"] or ())
        return {f"{name}:{tag}" for name, tag in found if not tag.startswith("sha256-")}

    def _get(self, path: str) -> dict[str, Any]:
        response = http.request("GET", f"http://127.0.0.1:{self.port}/v2/{path}")
        return dict(response.read(dict))

    def _configuration(self) -> dict[str, Any]:
        return {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.store)}},
            "http": {"addr": f"127.0.0.1:{self.port}"},
        }


def registry(cache: Path, log: Path) -> Registry:
    """Choose the registry's port; its images are in the folder `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    return Registry(cache / "registry", log, free_port(REGISTRY_PORT))


@dataclass(frozen=True)
class KeyPair:
    """Key pair of cosign, as text; the private key is encrypted with the password."""

    private: str
    public: str
    password: str


def key_pair(folder: Path) -> KeyPair:
    """Make a key pair in a folder of its own.

    Raises:
        ServiceError: cosign is not installed, or refuses.
    """
    folder.mkdir(mode=0o700, parents=True)
    password = secrets.token_urlsafe(24)
    command = ["cosign", "generate-key-pair"]
    environment = {**os.environ, "COSIGN_PASSWORD": password}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ServiceError("cosign is not installed: see https://docs.sigstore.dev/cosign/installation/.") from None
    if done.returncode:
        raise ServiceError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-300:]}")
    return KeyPair((folder / "cosign.key").read_text(), (folder / "cosign.pub").read_text(), password)
