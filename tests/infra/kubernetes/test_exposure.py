"""Ways into the cluster are closed until an overlay opens them, and say for whom."""

from __future__ import annotations

import ipaddress

import pytest

from tests.infra.kubernetes.manifests import COMPONENTS, Manifest, of_kind, one

NOBODY = "192.0.2.0/32"  # RFC 5737: for documentation, routed nowhere
EVERYBODY = 2**24  # addresses: no single network of somebody is that large


def entrances(manifests: list[Manifest]) -> list[str]:
    """List the networks whose packets a policy lets into a pod."""
    return [
        peer["ipBlock"]["cidr"]
        for policy in of_kind(manifests, "NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        for peer in rule.get("from", [{"ipBlock": {"cidr": "0.0.0.0/0"}}])
        if "ipBlock" in peer
    ]


def test_no_overlay_has_a_load_balancer_or_a_port_of_the_node(overlay):
    assert {service["spec"].get("type", "ClusterIP") for service in of_kind(overlay, "Service")} == {"ClusterIP"}
    hard = one(overlay, "ResourceQuota", "slipway")["spec"]["hard"]
    assert (hard["services.loadbalancers"], hard["services.nodeports"]) == ("0", "0")
    assert entrances(overlay) == []


def test_the_load_balancer_is_closed_to_everyone_until_networks_are_named(with_components):
    manifests = with_components("local", "load-balancer")
    service = one(manifests, "Service", "serving-public")["spec"]
    assert (service["type"], service["loadBalancerSourceRanges"]) == ("LoadBalancer", [NOBODY])
    assert entrances(manifests) == [NOBODY]
    hard = one(manifests, "ResourceQuota", "slipway")["spec"]["hard"]
    assert (hard["services.loadbalancers"], hard["services.nodeports"]) == ("1", "1")


@pytest.mark.parametrize("component", [name for name in COMPONENTS if name != "shared-storage"])
def test_no_component_lets_everybody_in(with_components, component):
    manifests = with_components("local", component)
    ranges = [cidr for service in of_kind(manifests, "Service") for cidr in _ranges(service)]
    for cidr in (*entrances(manifests), *ranges):
        assert ipaddress.ip_network(cidr).num_addresses < EVERYBODY, cidr


def _ranges(service: Manifest) -> list[str]:
    everybody = ["0.0.0.0/0"] if service["spec"].get("type") == "LoadBalancer" else []
    return service["spec"].get("loadBalancerSourceRanges") or everybody


def test_the_example_of_the_docs_opens_it_to_its_networks_only(example):
    manifests = example("public")
    assert one(manifests, "Service", "serving-public")["spec"]["loadBalancerSourceRanges"] == ["198.51.100.0/24"]
    assert entrances(manifests) == ["10.20.0.0/16"]
