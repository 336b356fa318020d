"""The component `elasticsearch`: who reaches the server, and with which key."""

from __future__ import annotations

import re

import pytest

from slipway.settings import Settings
from tests.infra.kubernetes.manifests import FOLDER, Manifest, Pod, of_kind, one, pods

SECRET = "slipway-elasticsearch"
KEYS = {("serving", "ship"): "shipper", ("watch", "watch"): "eraser"}  # by pod and container, the role


@pytest.fixture(scope="module")
def manifests(with_components) -> list[Manifest]:
    return with_components("production", "elasticsearch", "log-lines")


def values(manifests: list[Manifest], container: Manifest) -> dict[str, str]:
    """The container's own variables, with those of ConfigMaps."""
    found = {}
    for entry in container.get("env", []):
        reference = entry.get("valueFrom", {}).get("configMapKeyRef")
        if reference and not reference.get("optional"):
            found[entry["name"]] = one(manifests, "ConfigMap", reference["name"])["data"][reference["key"]]
        elif "value" in entry:
            found[entry["name"]] = entry["value"]
    return found


def mounted(pod: Pod, container: Manifest) -> dict[str, str]:
    """The keys of the Secret that the container has, by path."""
    volumes = {v["name"]: v["secret"] for v in pod.spec["volumes"] if v.get("secret", {}).get("secretName") == SECRET}
    return {
        f"{mount['mountPath']}/{item['path']}": item["key"]
        for mount in container.get("volumeMounts", [])
        if mount["name"] in volumes
        for item in volumes[mount["name"]]["items"]
    }


def test_the_shipper_and_the_watch_have_the_key_of_their_role_and_nobody_else_any(manifests):
    containers = {(pod.name, c["name"]): (pod, c) for pod in pods(manifests) for c in pod.containers}
    for place, role in KEYS.items():
        pod, container = containers.pop(place)
        given, files = values(manifests, container), mounted(pod, container)
        assert files[given["ELASTICSEARCH_API_KEY_FILE"]] == role
        assert files[given["ELASTICSEARCH_CA_CERTS"]] == "ca.crt"
        assert set(files.values()) == {role, "ca.crt"}
        assert Settings(ELASTICSEARCH_URL=given["ELASTICSEARCH_URL"]).elasticsearch_url.startswith("https://")
    for pod, container in containers.values():
        assert not mounted(pod, container), f"{pod.name}/{container['name']}"
        assert not any("ELASTICSEARCH" in entry["name"] for entry in container.get("env", []))


def test_pods_start_without_the_secret(manifests):
    for pod in pods(manifests):
        for volume in pod.spec.get("volumes", []):
            if volume.get("secret", {}).get("secretName") == SECRET:
                assert volume["secret"]["optional"], pod.name


def test_a_public_authority_needs_no_file(monkeypatch):
    monkeypatch.setenv("ELASTICSEARCH_CA_CERTS", "")
    assert Settings().elasticsearch_ca_certs is None


def test_those_two_alone_reach_the_server(manifests):
    policies = [p for p in of_kind(manifests, "NetworkPolicy") if p["metadata"]["name"].endswith("-to-elasticsearch")]
    selected = {policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for policy in policies}
    assert selected == {pod for pod, _ in KEYS}
    for policy in policies:
        (rule,) = policy["spec"]["egress"]
        assert {port["port"] for port in rule["ports"]} == {443, 9200}
        assert rule["to"][0]["ipBlock"]["except"] == ["169.254.169.254/32"]


def test_the_docs_make_the_secret_with_these_keys():
    page = (FOLDER.parents[1] / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text()
    (command,) = re.findall(rf"create secret generic {SECRET} (.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    files = re.findall(r"--from-file=(?:(\S+)=)?(\S+)", command)
    assert {name or path.rpartition("/")[2] for name, path in files} == {"ca.crt", *KEYS.values()}


def test_an_overlay_names_its_server(example):
    manifests = example("searchable")
    (shipper,) = [c for pod in pods(manifests) for c in pod.containers if c["name"] == "ship"]
    assert values(manifests, shipper)["ELASTICSEARCH_URL"] == "https://search.example.com:9200"
