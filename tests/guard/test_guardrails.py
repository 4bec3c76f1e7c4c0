"""What tenants' own policies may not contain: each refusal, what stays allowed beside it, and the modes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client import PROFILES, Client, Object, Refused, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from guard.conftest import refused

PARTS = ("ingress", "egress")
PEERS = {"ingress": "from", "egress": "to"}


def policy(name: str = "own", **spec: Any) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, **spec},
    }


def peers(*given: Object, ports: list[Object] | None = None) -> Object:
    """Ingress from these peers, each in a rule of its own."""
    rules = [{"from": [peer], **({"ports": ports} if ports else {})} for peer in given]
    return {"ingress": rules}


def blocks(*cidrs: str, **more: Any) -> Object:
    return peers(*({"ipBlock": {"cidr": cidr, **more}} for cidr in cidrs))


def namespaces(**selector: Any) -> Object:
    return peers({"namespaceSelector": selector})


def term(operator: str, *values: str) -> Object:
    return {"key": "tier", "operator": operator, **({"values": list(values)} if values else {})}


def port(number: int | str, **more: Any) -> Object:
    """One peer, and this port."""
    return peers({"podSelector": {}}, ports=[{"port": number, **more}])


POD: Object = {"podSelector": {}}
ONE = {"metadata": ["169.254.0.0/16", "100.100.100.200/32"], "six": ["fd00:ec2::/32", "fd20:ce::/32"]}

CASES: dict[str, tuple[Object, str, dict[str, Object], dict[str, Object]]] = {
    # guardrails, words of the refusal, refused, allowed
    "everybody": (
        {"refuse": ["Everybody"]},
        "a rule without from or to allows everybody",
        {
            "no from": {"ingress": [{}]},
            "no to": {"egress": [{}]},
            "an empty from": {"ingress": [{"from": []}]},
            "ports alone": {"ingress": [{"ports": [{"port": 80}]}]},
            "one rule of two": {"ingress": [{"from": [POD]}, {}]},
        },
        {"a peer": peers(POD), "no rule": {"policyTypes": ["Ingress"]}, "no egress rule": {"egress": []}},
    ),
    "all namespaces": (
        {"refuse": ["AllNamespaces"]},
        "allows every namespace",
        {
            "empty": namespaces(),
            "empty with pods": peers({"namespaceSelector": {}, "podSelector": {"matchLabels": {"a": "b"}}}),
            "empty terms": namespaces(matchExpressions=[], matchLabels={}),
            "outward": {"egress": [{"to": [{"namespaceSelector": {}}]}]},
        },
        {"by a label": namespaces(matchLabels={"a": "b"}), "pods": peers(POD)},
    ),
    "open selectors": (
        {"refuse": ["OpenNamespaceSelectors"]},
        "namespaces that nobody named",
        {
            "NotIn": namespaces(matchExpressions=[term("NotIn", "x")]),
            "DoesNotExist": namespaces(matchExpressions=[term("DoesNotExist")]),
            "Exists": namespaces(matchExpressions=[term("Exists")]),
            "two of them": namespaces(matchExpressions=[term("Exists"), term("NotIn", "x")]),
        },
        {
            "In": namespaces(matchExpressions=[term("In", "x")]),
            "In and NotIn": namespaces(matchExpressions=[term("NotIn", "x"), term("In", "y")]),
            "a label": namespaces(matchLabels={"a": "b"}, matchExpressions=[term("Exists")]),
        },
    ),
    "width of IPv4": (
        {"widestIPv4": 16},
        "wider than a /16",
        {
            "one": blocks("10.0.0.0/15"),
            "everything": blocks("0.0.0.0/0"),
            "two halves": blocks("0.0.0.0/1", "128.0.0.0/1"),
            "256 eighths": {
                "ingress": [{"from": [{"ipBlock": {"cidr": f"{n}.0.0.0/8"}} for n in range(1, 39)]}]
            },
            "a sum over rules": blocks("10.0.0.0/16", "10.1.0.0/32"),
            "a sum over directions": {
                "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/16"}}]}],
                "egress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
            },
            "an exception does not count": blocks("10.0.0.0/15", **{"except": ["10.0.0.0/16"]}),
        },
        {
            "as wide": blocks("10.0.0.0/16"),
            "two halves of it": blocks("10.0.0.0/17", "10.0.128.0/17"),
            "of the other family": blocks("::/0"),
        },
    ),
    "width of IPv6": (
        {"widestIPv6": 48},
        "wider than a /48",
        {
            "everything": blocks("::/0"),
            "two halves": blocks("::/1", "8000::/1"),
            "one": blocks("2001:db8::/47"),
            "a sum": blocks("2001:db8::/48", "2001:db8:1::/128"),
        },
        {
            "as wide": blocks("2001:db8::/48"),
            "narrow ones": blocks("2001:db8::1/128", "2001:db8::2/128"),
            "of the other family": blocks("0.0.0.0/0"),
        },
    ),
    "metadata": (
        {"refuse": ["MetadataAddresses"]},
        "cloud metadata service",
        {
            "itself": blocks("169.254.169.254/32"),
            "link-local": blocks("169.254.0.0/16"),
            "everything": blocks("0.0.0.0/0"),
            "half": blocks("128.0.0.0/1"),
            "not enough of an exception": blocks("0.0.0.0/0", **{"except": ["169.254.169.254/32"]}),
            "IPv6": blocks("fd00:ec2::254/128"),
            "its range": blocks("fd00:ec2::/32"),
            "all of IPv6": blocks("::/0"),
            "outward": {"egress": [{"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}]}]},
        },
        {
            "private": blocks("10.0.0.0/8"),
            "all but that": blocks("0.0.0.0/0", **{"except": ONE["metadata"]}),
            "all of IPv6 but that": blocks("::/0", **{"except": ONE["six"]}),
        },
    ),
    "NAT64": (
        {"refuse": ["NAT64"]},
        "NAT64",
        {
            "the prefix": blocks("64:ff9b::/96"),
            "a metadata address in it": blocks("64:ff9b::a9fe:a9fe/128"),
            "the local prefix": blocks("64:ff9b:1::/48"),
            "all of IPv6": blocks("::/0"),
            "half of an exception": blocks("::/0", **{"except": ["64:ff9b::/96"]}),
        },
        {
            "another prefix": blocks("2001:db8::/32"),
            "all but that": blocks("::/0", **{"except": ["64:ff9b::/32"]}),
            "IPv4": blocks("0.0.0.0/0"),
        },
    ),
    "all ports": (
        {"refuse": ["AllPorts"]},
        "allows all of them",
        {
            "no ports": peers(POD),
            "a protocol alone": peers(POD, ports=[{"protocol": "TCP"}]),
            "a range": port(1, endPort=65535),
            "two ranges": peers(
                POD, ports=[{"port": 1, "endPort": 30000}, {"port": 30001, "endPort": 65535}]
            ),
        },
        {"a port": port(443), "a named one": port("https"), "a range": port(8000, endPort=8100)},
    ),
    "some ports": (
        {"refusedPorts": [22, 3389]},
        "one of the ports 22, 3389",
        {"itself": port(22), "a range": port(20, endPort=30), "no ports": peers(POD), "the other": port(3389)},
        {"another": port(443), "a range beside it": port(23, endPort=3388), "by a name": port("ssh")},
    ),
    "egress": (
        {"refuse": ["Egress"]},
        "it allows egress",
        {"a rule": {"egress": [{"to": [POD]}]}, "everything": {"egress": [{}]}},
        {"none": {"policyTypes": ["Ingress", "Egress"]}, "ingress": {"ingress": [{}]}},
    ),
}  # fmt: skip


def many(count: int) -> Object:
    found = [{"ipBlock": {"cidr": f"10.{n // 256 % 256}.{n % 256}.0/24"}} for n in range(count)]
    return policy(ingress=[{"from": found}])


def guarded(world: World, tenant: Client, guardrails: Object) -> str:
    """A namespace whose profile's guardrails the API server goes by already."""
    namespace = world.namespace()
    world.profile(suspend=True, guardrails={"maxPeers": 40, **guardrails})
    eventually(lambda: "the most that" in _told(tenant, namespace, many(41)))
    return namespace


def _told(client: Client, namespace: str, body: Object) -> str:
    try:
        client.request("POST", policies_of(namespace), body, dryRun="All")
    except Refused as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", CASES)
def test_what_a_guardrail_names_is_refused_and_nothing_else(world: World, tenant: Client, case: str) -> None:
    guardrails, words, wrong, right = CASES[case]
    namespace = guarded(world, tenant, guardrails)
    told = {name: _told(tenant, namespace, policy(**spec)) for name, spec in wrong.items()}
    assert {name for name, text in told.items() if words not in text} == set(), told
    for text in told.values():
        assert f"TenantProfile {world.tag}" in text or case == "everybody", text
        assert f"NetworkPolicy {namespace}/own: " in text
    assert {name: _told(tenant, namespace, policy(**spec)) for name, spec in right.items()} == dict.fromkeys(
        right, ""
    )


def test_size_is_bounded_before_anything_is_counted(world: World, tenant: Client) -> None:
    namespace = guarded(world, tenant, {"widestIPv4": 8, "refuse": ["MetadataAddresses", "NAT64"]})
    assert _told(tenant, namespace, many(39)) == ""
    for count in (41, 10_000):
        told = _told(tenant, namespace, many(count))
        assert f"it has {count + 1} rules and peers; 40 are the most" in told
        assert "cost" not in told


def test_the_most_peers_that_can_be_allowed_stay_within_the_cost_limits(world: World, tenant: Client) -> None:
    everything: list[str] = ["Everybody", "AllNamespaces", "OpenNamespaceSelectors", "MetadataAddresses"]
    guardrails = {"maxPeers": 2000, "widestIPv4": 8, "widestIPv6": 32, "refuse": [*everything, "NAT64"]}
    namespace = world.namespace()
    world.profile(suspend=True, guardrails={**guardrails, "refusedPorts": [22]})
    eventually(lambda: "the most that" in _told(tenant, namespace, many(2001)))
    body = many(1999)
    body["spec"]["ingress"][0]["ports"] = [{"port": 443}]
    assert _told(tenant, namespace, body) == ""


def test_who_passes_and_what_stays_free(
    world: World, admin: Client, tenant: Client, platform: Client, operator: Client
) -> None:
    namespace, outside = world.namespace(), world.namespace(tenant="")
    wide = policy("older", ingress=[{}])
    tenant.create(policies_of(namespace), wide)
    world.profile(suspend=True, guardrails={"maxPeers": 40, "refuse": ["Everybody"]})
    eventually(lambda: "the most that" in _told(tenant, namespace, many(41)))
    assert _told(tenant, outside, wide) == ""
    assert _told(platform, namespace, policy(ingress=[{}])) == ""
    assert _told(operator, namespace, policy(ingress=[{}])) == ""
    # An older policy can be labelled and deleted; its spec cannot be changed to something else that is refused.
    path = f"{policies_of(namespace)}/older"
    tenant.merge(path, {"metadata": {"labels": {"team": "a"}}})
    worse = {"spec": {"egress": [{}]}}
    refused(lambda: tenant.merge(path, worse), "allows everybody")
    tenant.merge(path, {"spec": {"ingress": [{"from": [POD]}]}})
    tenant.request("DELETE", path)


def test_a_profile_without_guardrails_refuses_nothing(world: World, tenant: Client) -> None:
    namespace = guarded(world, tenant, {})
    assert _told(tenant, namespace, policy(ingress=[{}], egress=[{}])) == ""


@pytest.mark.parametrize("mode", ["warn", "audit"])
def test_a_profiles_label_turns_refusals_into_warnings_or_audit_entries(
    cp: ControlPlane, world: World, admin: Client, tenant: Client, mode: str
) -> None:
    namespace = guarded(world, tenant, {"refuse": ["Everybody"]})
    admin.merge(f"{PROFILES}/{world.tag}", {"metadata": {"labels": {"tenantprofile.dev/guardrails": mode}}})
    body = policy("wide", ingress=[{}])
    body["metadata"]["namespace"] = namespace
    eventually(lambda: _told(tenant, namespace, body) == "")
    seen = len(list(cp.audit_events()))
    done = cp.kubectl("create", "-f", "-", input=json.dumps(body), user="tenant")
    assert ("Warning: " in done.stderr and "allows everybody" in done.stderr) == (mode == "warn")

    def recorded() -> bool:
        key = "validation.policy.admission.k8s.io/validation_failure"
        found = [e for e in list(cp.audit_events())[seen:] if key in (e.get("annotations") or {})]
        return any("allows everybody" in e["annotations"][key] for e in found)

    eventually(recorded)


def test_two_profiles_are_both_held_to(world: World, tenant: Client) -> None:
    namespace = guarded(world, tenant, {"refuse": ["Everybody"]})
    world.profile(name=f"{world.tag}-2", suspend=True, guardrails={"refuse": ["Egress"]})
    eventually(lambda: "allows egress" in _told(tenant, namespace, policy(egress=[{"to": [POD]}])))
    assert "allows everybody" in _told(tenant, namespace, policy(ingress=[{}]))
