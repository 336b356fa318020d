"""Manifests that kustomize renders: which Deployments, images and Secrets an environment consists of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from slipway.errors import SettingsError

Manifest = dict[str, Any]
SERVING = "serving"
_OWN = "slipway-"  # the names of our images begin with it


def parse(text: str) -> list[Manifest]:
    """Parse the documents that kustomize prints."""
    return [found for found in yaml.safe_load_all(text) if found]


def namespace(manifests: Iterable[Manifest]) -> str:
    """Return the namespace of the Deployment `serving`.

    Raises:
        SettingsError: there is none, so the overlay is none of Slipway's.
    """
    for found in manifests:
        if found["kind"] == "Deployment" and found["metadata"]["name"] == SERVING:
            return found["metadata"].get("namespace", "default")
    raise SettingsError(f"the overlay has no Deployment {SERVING!r}: is it one of infra/kubernetes/overlays?")


def deployments(manifests: Iterable[Manifest]) -> list[str]:
    """List the Deployments, by name."""
    return sorted(found["metadata"]["name"] for found in manifests if found["kind"] == "Deployment")


def images(manifests: Iterable[Manifest]) -> dict[str, str]:
    """Return Slipway's images that the pods run: the reference of each, by its name without registry and tag."""
    references = (one["image"] for found in manifests for one in _containers(_pod(found)))
    return {name: reference for reference in references if (name := image_name(reference)).startswith(_OWN)}


def image_name(reference: str) -> str:
    """Return the last part of a reference's repository.

    >>> image_name("registry.example.com:5000/team/slipway-ship:0.1.0@sha256:00")
    'slipway-ship'
    """
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]


def repository(reference: str) -> str:
    """Return a reference without its tag and digest.

    >>> repository("localhost:5000/slipway-ship:0.1.0")
    'localhost:5000/slipway-ship'
    """
    path, _, name = reference.partition("@")[0].rpartition("/")
    return f"{path}{'/' if path else ''}{name.partition(':')[0]}"


def required_secrets(manifests: Iterable[Manifest]) -> dict[str, set[str]]:
    """Return the Secrets without which a pod does not start, each with the keys that are needed of it."""
    required: dict[str, set[str]] = defaultdict(set)
    for found in manifests:
        pod = _pod(found)
        for name, keys, optional in (*_variables(_containers(pod)), *_volumes(pod)):
            if not optional:
                required[name].update(keys)
    return dict(required)


def _pod(manifest: Manifest) -> dict[str, Any]:
    """Return the specification of the pods that an object makes; an empty one if it makes none."""
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template = spec.get("template")
    return template.get("spec", {}) if isinstance(template, dict) else {}


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod.get("containers", ())]


def _variables(containers: Sequence[dict[str, Any]]) -> Iterator[tuple[str, set[str], bool]]:
    """Yield name, keys and whether it is optional of each Secret that variables come from."""
    for container in containers:
        for one in container.get("envFrom", ()):
            if found := one.get("secretRef"):
                yield found["name"], set(), found.get("optional", False)
        for one in container.get("env", ()):
            if found := (one.get("valueFrom") or {}).get("secretKeyRef"):
                yield found["name"], {found["key"]}, found.get("optional", False)


def _volumes(pod: dict[str, Any]) -> Iterator[tuple[str, set[str], bool]]:
    """Yield the same of each Secret that is mounted."""
    for volume in pod.get("volumes", ()):
        projected = (volume.get("projected") or {}).get("sources", ())
        for found in filter(None, (volume.get("secret"), *(source.get("secret") for source in projected))):
            keys = {item["key"] for item in found.get("items", ())}
            yield found.get("secretName") or found["name"], keys, found.get("optional", False)
