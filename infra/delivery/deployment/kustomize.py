"""Kustomizations of a deployment: an overlay of the checkout, with the digests of a release."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.delivery.program import ROOT, run

KUBERNETES = ROOT / "infra" / "kubernetes"
OVERLAYS, SMOKE = KUBERNETES / "overlays", KUBERNETES / "smoke"
# The worker of Prefect gets the reference of its image as a variable, too.
_REFERENCES = KUBERNETES / "base" / "prefect" / "image-references.yaml"


def render(folder: Path) -> str:
    """Render a kustomization. Raises ServiceError with what kustomize says."""
    return run("kubectl", "kustomize", str(folder))


def write(base: Path, folder: Path, images: Mapping[str, str], namespace: str | None = None) -> None:
    """Write a kustomization of `base` into the folder, replacing what is there.

    `images` maps the name of an image, as `base` has it, to the reference that runs. A namespace is that of all
    objects; None leaves theirs.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(_REFERENCES, folder / _REFERENCES.name)
    content = kustomization(os.path.relpath(base, folder), images, namespace)
    (folder / "kustomization.yaml").write_text(json.dumps(content, indent=2) + "\n")


def kustomization(base: str, images: Mapping[str, str], namespace: str | None) -> dict[str, Any]:
    """Return the content of the kustomization."""
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [base],
        "configurations": [_REFERENCES.name],
        "images": [_replacement(name, reference) for name, reference in images.items()],
        **({"namespace": namespace} if namespace else {}),
    }


def _replacement(name: str, reference: str) -> dict[str, str]:
    """Replace an image by its reference, which has a digest or else a tag."""
    repository, at, digest = reference.partition("@")
    if at:
        return {"name": name, "newName": repository, "digest": digest}
    repository, _, tag = reference.rpartition(":")
    return {"name": name, "newName": repository, "newTag": tag}
