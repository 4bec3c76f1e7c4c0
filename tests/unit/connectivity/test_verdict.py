"""A single answer: the rule that decides it, what always holds, and what it depends on."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tenantprofile.connectivity.settings import Settings
from tenantprofile.connectivity.verdict import verdict
from tenantprofile.connectivity.world import World
from unit.connectivity.manifests import pod
from unit.connectivity.small_worlds import policy


def ask(objects, source, destination, port=80, protocol="TCP", settings=None):
    world = World.from_objects(objects)
    ends = [world.find(t)[0] if "/" in t else ip_address(t) for t in (source, destination)]
    return verdict(world, *ends, protocol, port, *([settings] if settings else []))


DENY = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
TO_BLOCK = {
    "podSelector": {},
    "policyTypes": ["Egress"],
    "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
}


def test_the_rule_that_allows_is_named_down_to_peer_and_port():
    spec = {
        "podSelector": {},
        "ingress": [
            {"ports": [{"port": 1}]},
            {
                "from": [{"podSelector": {"matchLabels": {"app": "no"}}}, {"namespaceSelector": {}}],
                "ports": [{"port": 9}, {"port": 80, "endPort": 90}],
            },
        ],
    }
    found = ask([pod("red/a"), pod("red/b"), policy(0, "red", spec)], "red/a", "red/b", 85)
    (match,) = found.ingress.matches
    assert (str(match.policy), match.direction, match.rule, match.peer, match.port) == (
        "red/policy-0",
        "Ingress",
        1,
        1,
        1,
    )
    assert match.path == "spec.ingress[1].from[1]"
    assert found.allowed
    assert not found.egress.isolated_by


def test_what_stops_a_connection_is_named_on_its_side():
    found = ask(
        [pod("red/a"), pod("blue/b"), policy(0, "red", DENY), policy(1, "red", DENY)], "red/a", "blue/b"
    )
    assert not found.allowed
    assert [str(p) for p in found.egress.isolated_by] == ["red/policy-0", "red/policy-1"]
    assert found.ingress.allowed
    assert found.depends == ()


def test_a_pod_always_reaches_itself():
    found = ask([pod("red/a"), policy(0, "red", DENY)], "red/a", "red/a")
    assert (found.allowed, found.always) == (True, "itself")


def test_the_own_node_always_reaches_its_pods():
    objects = [pod("red/a", ip="10.0.0.1", node="192.168.0.1"), policy(0, "red", DENY)]
    assert ask(objects, "192.168.0.1", "red/a").always == "own node"
    assert not ask(objects, "192.168.0.2", "red/a").allowed


def test_whether_a_pod_reaches_its_own_node_depends_on_a_setting():
    objects = [pod("red/a", ip="10.0.0.1", node="192.168.0.1"), policy(0, "red", DENY)]
    found = ask(objects, "red/a", "192.168.0.1")
    assert (found.allowed, found.depends) == (True, ("egress_to_own_node",))


def test_host_network_pods_are_their_node():
    host = pod("red/host", {"app": "a"}, node="192.168.0.1", hostNetwork=True)
    objects = [host, pod("red/b", ip="10.0.0.2", node="192.168.0.2"), policy(0, "red", DENY)]
    inward = {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "a"}}}]}]}
    found = ask([*objects, policy(1, "red", inward)], "red/host", "red/b")
    assert not found.egress.isolated_by
    assert not found.allowed
    as_pods = ask(
        [*objects, policy(1, "red", inward)], "red/host", "red/b", settings=Settings(host_network="pod")
    )
    assert as_pods.egress.isolated_by
    by_address = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "192.168.0.0/24"}}]}]}
    assert ask([*objects, policy(1, "red", by_address)], "red/host", "red/b").allowed
    same = pod("red/c", ip="10.0.0.3", node="192.168.0.1")
    assert ask([*objects, same], "red/host", "red/c").always == "own node"


def test_an_address_of_a_pod_is_that_pod():
    found = ask([pod("red/a", ip="10.0.0.1"), pod("blue/b", ip="10.0.0.2")], "10.0.0.1", "blue/b")
    assert str(found.source) == "red/a"


def test_a_block_matches_pods_and_the_answer_says_that_it_depends():
    objects = [pod("red/a", ip="10.0.0.1"), pod("blue/b", ip="10.0.0.2"), policy(0, "red", TO_BLOCK)]
    found = ask(objects, "red/a", "blue/b")
    assert (found.allowed, found.depends) == (True, ("ip_blocks_match_pods",))
    other = ask(objects, "red/a", "blue/b", settings=Settings(ip_blocks_match_pods=False))
    assert (other.allowed, other.depends) == (False, ("ip_blocks_match_pods",))


@pytest.mark.parametrize(
    ("block", "allowed"),
    [
        ({"cidr": "0.0.0.0/0"}, True),
        ({"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}, True),
        ({"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}, False),
        ({"cidr": "10.1.0.0/16"}, False),
        ({"cidr": "::/0"}, True),
    ],
)
def test_a_pod_without_an_address_is_matched_only_by_a_block_that_covers_wherever_it_may_be(block, allowed):
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": block}]}]}
    found = ask([pod("red/a"), pod("blue/b"), policy(0, "red", spec)], "red/a", "blue/b")
    assert found.allowed == allowed
    assert ("address unknown" in found.depends) == (block != {"cidr": "0.0.0.0/0"})


def test_a_named_port_towards_a_block_never_matches_but_at_the_policys_own_pods_it_does():
    container = {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 80}]}]}
    objects = [pod("red/a", ip="10.0.0.1", **container), pod("blue/b", ip="10.0.0.2", **container)]
    block, ports = [{"ipBlock": {"cidr": "10.0.0.0/8"}}], [{"port": "web"}]
    out = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": block, "ports": ports}]}
    assert not ask([*objects, policy(0, "red", out)], "red/a", "blue/b").allowed
    into = {"podSelector": {}, "ingress": [{"from": block, "ports": ports}]}
    assert ask([*objects, policy(0, "red", into)], "blue/b", "red/a").allowed
    assert ask([*objects, policy(0, "red", into)], "10.9.9.9", "red/a").allowed


def test_rules_of_a_direction_that_is_not_listed_are_ignored():
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"ports": [{"port": 1}]}]}
    found = ask([pod("red/a"), pod("blue/b"), policy(0, "red", spec)], "red/a", "blue/b")
    assert found.allowed
    assert not found.egress.isolated_by


@pytest.mark.parametrize(("protocol", "port"), [("TCP", 0), ("ICMP", 1)])
def test_a_question_about_no_port_is_refused(protocol, port):
    with pytest.raises(ValueError, match="expected"):
        ask([pod("red/a"), pod("red/b")], "red/a", "red/b", port, protocol)
