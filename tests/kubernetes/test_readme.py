"""What infra/kubernetes/README.md shows, it can do: a second service beside the first."""

from __future__ import annotations

import re

import pytest

from tests.kubernetes.manifests import COMPONENTS, FOLDER, Pod, of_kind, one, pods, render

README = (FOLDER / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def second(needs, tmp_path_factory) -> list[dict]:
    """The overlay of the section on several use cases, beside a copy of the base that it names."""
    needs("kustomize")
    (text,) = [code for language, code in BLOCKS if language == "yaml"]
    root = tmp_path_factory.mktemp("kubernetes")
    (root / "base").symlink_to(FOLDER / "base")
    folder = root / "overlays" / "local-digits"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(text)
    return render(folder)


def test_a_second_service_has_names_pods_and_images_of_its_own(second, rendered):
    first = {(m["kind"], m["metadata"]["name"]) for m in rendered("local")}
    assert not first & {(manifest["kind"], manifest["metadata"]["name"]) for manifest in second}
    assert {m["metadata"]["name"] for m in of_kind(second, "Service")} == {"serving-digits", "serving-pods-digits"}
    (pod,) = pods(second)
    images = {container["name"]: container["image"] for container in pod.containers}
    assert images["service"] == images["follow"] == "slipway-serving-digits:1"
    for container in pod.containers:
        if container["name"] in ("service", "follow"):
            assert {"name": "SLIPWAY_SERVE", "value": "digits"} in container["env"]


def test_neither_service_selects_the_other_ones_pods(second, rendered):
    (mine,) = pods(second)
    (theirs,) = [pod for pod in pods(rendered("local")) if pod.name == "serving"]
    for manifests, own, other in ((second, mine, theirs), (rendered("local"), theirs, mine)):
        for selector in selectors(manifests):
            assert selector.items() <= own.labels.items()
            assert not selector.items() <= other.labels.items()


def selectors(manifests: list[dict]) -> list[dict]:
    """Of the Deployment, its Services, its budget, and of the spread over nodes."""
    deployment = next(m for m in of_kind(manifests, "Deployment") if m["metadata"]["name"].startswith("serving"))
    budget = next(m for m in of_kind(manifests, "PodDisruptionBudget"))
    services = [m for m in of_kind(manifests, "Service") if m["metadata"]["name"].startswith("serving")]
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    labelled = [deployment["spec"]["selector"], budget["spec"]["selector"], *(s["labelSelector"] for s in spread)]
    return [one["matchLabels"] for one in labelled] + [service["spec"]["selector"] for service in services]


def test_a_second_service_is_under_the_first_ones_network_policies(second, rendered):
    (pod,) = pods(second)
    policy = one(rendered("local"), "NetworkPolicy", "serving")["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= pod.labels.items()
    assert isinstance(pod, Pod) and pod.namespace == "slipway"


def test_the_readme_names_every_component():
    assert {name for name in COMPONENTS if f"`{name}`" in README} == set(COMPONENTS)
