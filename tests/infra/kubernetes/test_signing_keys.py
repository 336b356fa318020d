"""Signatures in the cluster: who has which key, and that nothing unsigned is served where they are on."""

from __future__ import annotations

import re

import pytest

from tests.infra.kubernetes.manifests import FOLDER, Manifest, Pod, pods

PRIVATE, PUBLIC = "slipway-signing", "slipway-trusted"
SIGNED = ("staging", "production")


def mounted(manifests: list[Manifest], secret: str) -> dict[str, dict[str, str]]:
    """Map pods that have the Secret to its mount path in each container."""
    found = {}
    for pod in pods(manifests):
        sources = {volume["name"]: volume.get("secret", {}).get("secretName") for volume in pod.spec["volumes"]}
        names = {name for name, source in sources.items() if source == secret}
        paths = {c["name"]: m["mountPath"] for c in pod.containers for m in c["volumeMounts"] if m["name"] in names}
        found |= {pod.name: paths} if names else {}
    return found


def setting(manifests: list[Manifest], pod: Pod, container: str, name: str) -> str | None:
    """Return the setting's value in a container, from the ConfigMap that it references."""
    (found,) = [c for c in pod.containers if c["name"] == container]
    (entry,) = [entry for entry in found["env"] if entry["name"] == name]
    reference = entry["valueFrom"]["configMapKeyRef"]
    assert reference["optional"] is True
    named = [m for m in manifests if m["kind"] == "ConfigMap" and m["metadata"]["name"] == reference["name"]]
    return named[0]["data"][reference["key"]] if named else None


def pod_of(manifests: list[Manifest], name: str) -> Pod:
    (found,) = [pod for pod in pods(manifests) if pod.name == name]
    return found


@pytest.mark.parametrize("name", SIGNED)
def test_flow_runs_sign_with_the_private_key(rendered, name):
    manifests = rendered(name)
    path = setting(manifests, pod_of(manifests, "flow-run"), "prefect-job", "SLIPWAY_SIGNING_KEY")
    assert path == f"{mounted(manifests, PRIVATE)['flow-run']['prefect-job']}/signing.pem"


@pytest.mark.parametrize("name", SIGNED)
def test_whatever_serves_a_bundle_or_lets_it_be_served_trusts_the_public_key_only(rendered, name):
    manifests = rendered(name)
    for name, container in (("serving", "service"), ("serving", "follow"), ("mlflow", "mlflow")):
        path = setting(manifests, pod_of(manifests, name), container, "SLIPWAY_TRUSTED_KEYS")
        assert path == f"{mounted(manifests, PUBLIC)[name][container]}/signing.pub.pem"


def test_nobody_but_flow_runs_has_the_private_key(overlay):
    assert mounted(overlay, PRIVATE).keys() == {"flow-run"}
    assert mounted(overlay, PUBLIC).keys() == {"serving", "mlflow"}


def test_a_cluster_without_the_component_signs_nothing_and_asks_for_no_signature(rendered):
    manifests = rendered("local")
    assert setting(manifests, pod_of(manifests, "flow-run"), "prefect-job", "SLIPWAY_SIGNING_KEY") is None
    assert setting(manifests, pod_of(manifests, "serving"), "service", "SLIPWAY_TRUSTED_KEYS") is None
    assert setting(manifests, pod_of(manifests, "mlflow"), "mlflow", "SLIPWAY_TRUSTED_KEYS") is None


def test_a_second_service_trusts_the_same_keys(second, rendered):
    (pod,) = [pod for pod in pods(second) if pod.name.startswith("serving")]
    assert setting(rendered("staging"), pod, "service", "SLIPWAY_TRUSTED_KEYS")


def test_the_docs_make_the_keys_under_the_names_that_are_mounted():
    page = (FOLDER.parents[1] / "docs" / "how-to" / "sign-bundles.md").read_text()
    made = dict(re.findall(r"create secret generic (\S+) --from-file=(\S+)", page))
    assert made == {PRIVATE: "signing.pem", PUBLIC: "signing.pub.pem"}
    component = (FOLDER / "components" / "signing" / "kustomization.yaml").read_text()
    assert set(re.findall(r"SLIPWAY_\w+=/\S+/(\S+)", component)) == set(made.values())
