"""The example of docs/how-to/deploy-on-kubernetes.md works: a second service next to the first."""

from __future__ import annotations

from tests.infra.kubernetes.manifests import COMPONENTS, FOLDER, Manifest, Pod, of_kind, one, pods

PAGE = (FOLDER.parents[1] / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text()


def named(manifests: list[Manifest], start: str) -> list[Pod]:
    return [pod for pod in pods(manifests) if pod.name.startswith(start)]


def selectors(manifests: list[Manifest], start: str) -> list[dict]:
    """Of the Deployment whose name starts so, its Services, its budget, and its spread over nodes."""
    found = [manifest for manifest in manifests if manifest["metadata"]["name"].startswith(start)]
    services = [service["spec"]["selector"] for service in of_kind(found, "Service")]
    others = [other["spec"]["selector"] for other in of_kind(found, "Deployment", "PodDisruptionBudget")]
    for pod in named(found, start):
        others += [constraint["labelSelector"] for constraint in pod.spec.get("topologySpreadConstraints", [])]
    return services + [other["matchLabels"] for other in others]


def test_a_second_service_has_names_pods_and_images_of_its_own(second, rendered):
    first = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered("local")}
    assert not first & {(manifest["kind"], manifest["metadata"]["name"]) for manifest in second}
    services = {manifest["metadata"]["name"] for manifest in of_kind(second, "Service")}
    assert services == {"serving-digits", "serving-pods-digits", "watch-digits"}
    (serving,), (watch,) = named(second, "serving"), named(second, "watch")
    images = {container["name"]: container["image"] for container in serving.containers}
    assert images["service"] == images["follow"] == "slipway-serving-digits:1"
    for container in (*serving.containers, *watch.containers):
        if container["name"] != "ship":
            assert {"name": "SLIPWAY_SERVE", "value": "digits"} in container["env"], container["name"]


def test_neither_selects_the_other_ones_pods(second, rendered):
    for start in ("serving", "watch"):
        (mine,), (theirs,) = named(second, start), named(rendered("local"), start)
        for manifests, own, other in ((second, mine, theirs), (rendered("local"), theirs, mine)):
            assert len(selectors(manifests, start)) >= 2
            for selector in selectors(manifests, start):
                assert selector.items() <= own.labels.items()
                assert not selector.items() <= other.labels.items(), f"{selector} selects {other.name}, too"


def test_a_second_service_is_under_the_first_ones_network_policies(second, rendered):
    for start in ("serving", "watch"):
        (pod,) = named(second, start)
        policy = one(rendered("local"), "NetworkPolicy", start)["spec"]["podSelector"]["matchLabels"]
        assert policy.items() <= pod.labels.items()


def test_the_page_names_every_component():
    assert {name for name in COMPONENTS if f"`{name}`" in PAGE} == set(COMPONENTS)
