"""Groups, ranges and links say what the engine says, no more and no less."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.ports import NO_PORTS, PortSet
from tenantprofile.drawing import topology as module
from tenantprofile.drawing.ranges import by_ports, named, spelled
from tenantprofile.drawing.reasons import Reasons
from tenantprofile.drawing.topology import Group, Range, TooLargeError, Topology
from tenantprofile.drawing.view import view
from unit.drawing.worlds import deployment, drawn, estate, namespace, of, policy, shop, tcp


def links(found: Topology) -> dict[tuple[str, str], list[tuple[str, str]]]:
    told: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for link in found.links:
        told[link.source.key, link.destination.key].append((str(link.ports), link.governance))
    return dict(told)


def test_workloads_that_are_alike_are_one_group():
    found = drawn(shop())
    batch = next(group for group in found.groups if len(group.members) > 1)
    assert [party.name for party in batch.members] == ["nightly", "weekly"]
    assert batch.key == "shop/Deployment/nightly"
    assert found.workloads == 7


def test_alike_workloads_under_different_policies_are_two_groups():
    objects = [
        deployment("shop/a", {"app": "a"}),
        deployment("shop/b", {"app": "b"}),
        policy("shop/deny-a", {"app": "a"}),
        policy("shop/deny-b", {"app": "b"}),
    ]
    assert len(drawn(objects).groups) == 2


def test_coverage_is_told_for_each_direction():
    coverage = {group.key: group.coverage for group in drawn(shop()).groups}
    assert coverage == {
        "bare/Deployment/agent": "node",
        "bare/Deployment/lab": "uncovered",
        "edge/Deployment/proxy": "open egress",
        "shop/Deployment/api": "covered",
        "shop/Deployment/nightly": "covered",
        "shop/Deployment/web": "covered",
    }
    half = [deployment("a/a", {}), policy("a/p", policyTypes=["Egress"])]
    assert [group.coverage for group in drawn(half).groups] == ["open ingress"]


def test_links_carry_ports_and_whether_a_policy_governs_them():
    told = links(drawn(shop()))
    assert told["shop/Deployment/web", "shop/Deployment/api"] == [("TCP 8443", "ruled")]
    assert told["edge/Deployment/proxy", "shop/Deployment/web"] == [("TCP 8080", "half")]
    assert told["shop/Deployment/api", "10.50.0.0/24"] == [("TCP 5432", "ruled")]
    assert told["bare/Deployment/lab", "0.0.0.0/0,::/0"] == [("all", "open")]
    assert ("shop/Deployment/api", "shop/Deployment/web") not in told


@pytest.mark.parametrize("objects", [shop(), estate(8)], ids=["shop", "estate"])
def test_links_are_exactly_the_connections_of_the_engine(objects):
    found = drawn(objects)
    group_of = {
        (party.namespace, party.kind, party.name): group.key
        for group in found.groups
        for party in group.members
    }
    expected: dict[tuple[str, str], dict[str, object]] = defaultdict(dict)
    outside: dict[str, PortSet] = {}
    for connection in found.connections.connections():
        one, other = connection.source, connection.destination
        if isinstance(one, AddressSet) or isinstance(other, AddressSet):
            pod, scope = (other, "in") if isinstance(one, AddressSet) else (one, "out")
            key = f"{scope} {group_of[pod.namespace, pod.kind, pod.name]}"
            outside[key] = outside.get(key, NO_PORTS) | connection.ports
            continue
        ends = (
            group_of[one.namespace, one.kind, one.name],
            group_of[other.namespace, other.kind, other.name],
        )
        expected[ends][str(connection.ports)] = True
    assert all(len(ports) == 1 for ports in expected.values()), "a group is not alike"
    pods = [
        link for link in found.links if isinstance(link.source, Group) and isinstance(link.destination, Group)
    ]
    assert {(li.source.key, li.destination.key): str(li.ports) for li in pods} == {
        ends: next(iter(ports)) for ends, ports in expected.items()
    }
    drawn_outside: dict[str, PortSet] = {}
    for link in found.links:
        key = f"in {link.destination.key}" if isinstance(link.source, Range) else f"out {link.source.key}"
        if isinstance(link.source, Range) or isinstance(link.destination, Range):
            drawn_outside[key] = drawn_outside.get(key, NO_PORTS) | link.ports
    assert drawn_outside == outside


def test_a_range_that_one_rule_opens_stays_whole_where_another_opens_more():
    inner, everything = AddressSet.block("10.0.0.0/24"), AddressSet.block("0.0.0.0/0")
    https, sql = PortSet.of("TCP", 443), PortSet.of("TCP", 5432)
    parts = {https | sql: inner, https: everything - inner}
    assert by_ports(parts) == [(everything, https), (inner, sql)]


@pytest.mark.parametrize(
    ("addresses", "title", "detail"),
    [
        (AddressSet.block("0.0.0.0/0") | AddressSet.block("::/0"), "Any address", "0.0.0.0/0 and ::/0"),
        (
            AddressSet.block("0.0.0.0/0", ["10.0.0.0/8", "192.168.0.0/16"]),
            "Internet",
            "0.0.0.0/0 except 10.0.0.0/8, 192.168.0.0/16",
        ),
        (AddressSet.block("10.50.0.0/24"), "Private range", "10.50.0.0/24"),
        (AddressSet.block("169.254.169.254/32"), "Cloud metadata", "169.254.169.254"),
        (AddressSet.block("203.0.113.0/24"), "Address range", "203.0.113.0/24"),
        (AddressSet.block("2001:db8::/32"), "Address range", "2001:db8::/32"),
    ],
)
def test_ranges_are_called_as_people_call_them(addresses, title, detail):
    assert (named(addresses).title, named(addresses).detail) == (title, detail)


def test_many_ranges_are_counted():
    many = AddressSet()
    for number in range(0, 20, 2):
        many |= AddressSet.block(f"10.0.{number}.0/24")
    assert spelled(many) == "10.0.0.0/24, 10.0.2.0/24, 10.0.4.0/24 and 7 more"


def test_the_reason_names_policy_and_rule_on_both_sides():
    found = drawn(shop())
    link = next(li for li in found.links if li.destination.key == "shop/Deployment/api")
    reasons = Reasons(found)
    out, into = reasons.leaving(link), reasons.arriving(link)
    assert [(str(rule.policy), rule.path) for rule in out.rules] == [("shop/web-out", "spec.egress[0].to[0]")]
    assert [(str(rule.policy), rule.path, str(rule.ports)) for rule in into.rules] == [
        ("shop/api", "spec.ingress[1].from[1]", "TCP 8443")
    ]


def test_an_end_without_rules_says_why():
    found = drawn(shop())
    reasons = Reasons(found)
    by_ends = {(link.source.key, link.destination.key): link for link in found.links}
    proxy = by_ends["edge/Deployment/proxy", "shop/Deployment/web"]
    database = by_ends["shop/Deployment/api", "10.50.0.0/24"]
    node = by_ends["bare/Deployment/agent", "bare/Deployment/lab"]
    assert reasons.leaving(proxy).state == "open"
    assert reasons.arriving(database).state == "outside"
    assert reasons.leaving(node).state == "node"


@pytest.mark.parametrize("objects", [shop(), estate(6)], ids=["shop", "estate"])
def test_rules_together_open_all_ports_of_their_flow(objects):
    found = drawn(objects)
    reasons = Reasons(found)
    for link in found.links:
        for side in (reasons.leaving(link), reasons.arriving(link)):
            if side.state == "rules":
                together = NO_PORTS
                for rule in side.rules:
                    together |= rule.ports
                assert together == link.ports, (link.source.key, link.destination.key)


def test_ports_that_different_rules_open_are_told_apart():
    rules = [{"from": [of("b")], "ports": tcp(80)}, {"from": [of("b")], "ports": tcp(443)}]
    named_port = [{"from": [of("b")], "ports": [{"port": "web", "protocol": "TCP"}]}]
    target = deployment("a/a", {})
    target["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 8080}]
    objects = [target, deployment("b/b", {}), policy("a/p", ingress=rules), policy("a/q", ingress=named_port)]
    found = drawn(objects)
    link = next(li for li in found.links if str(li.ports) == "TCP 80,443,8080")
    told = [(rule.policy.name, rule.path, str(rule.ports)) for rule in Reasons(found).arriving(link).rules]
    assert told == [
        ("p", "spec.ingress[0].from[0]", "TCP 80"),
        ("p", "spec.ingress[1].from[0]", "TCP 443"),
        ("q", "spec.ingress[0].from[0]", "TCP 8080"),
    ]


def test_an_address_of_a_pod_is_not_taken_for_the_range_around_it():
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "b"},
        "spec": {"containers": []},
        "status": {"podIP": "10.0.0.0"},
    }
    out = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/30"}}], "ports": tcp(80)}]
    found = drawn([deployment("a/a", {}), pod, policy("a/p", policyTypes=["Egress"], egress=out)])
    link = next(li for li in found.links if li.destination.key == "10.0.0.0/30")
    assert [rule.path for rule in Reasons(found).leaving(link).rules] == ["spec.egress[0].to[0]"]


def test_one_namespace_alone_keeps_what_policies_connect_it_with():
    found = drawn(shop(), only={"shop"})
    assert found.namespaces == ("edge", "shop")
    assert {group.namespace for group in found.groups} == {"edge", "shop"}
    assert ("edge/Deployment/proxy", "shop/Deployment/web") in links(found)


def test_too_many_groups_are_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(module, "MAX_GROUPS", 5)
    with pytest.raises(TooLargeError, match="--namespace"):
        drawn(shop())


def test_many_ungoverned_flows_are_left_out_and_counted():
    shown, hidden = view(drawn(shop()), ungoverned="show"), view(drawn(estate(6)))
    assert shown.left_out == 0
    assert hidden.left_out == sum(link.governance == "open" for link in drawn(estate(6)).links)
    assert all(line.governance != "open" for line in hidden.lines)


def test_many_workloads_are_drawn_as_namespaces():
    found = drawn(estate(6))
    assert view(found).detail == "namespaces"
    assert view(found, "workloads").detail == "workloads"
    assert view(drawn(shop())).detail == "workloads"
    aggregated = next(line for line in view(found).lines if line.source == "monitoring")
    assert all(link.source.namespace == "monitoring" for link in aggregated.links)


def test_a_namespace_without_workloads_is_named_and_not_drawn():
    drawing = view(drawn([*shop(), namespace("later")]))
    assert drawing.empty == ("empty", "later")
    assert {box.key for box in drawing.boxes} >= {"shop", "edge", "bare", "10.50.0.0/24"}
    assert "later" not in {box.key for box in drawing.boxes}
