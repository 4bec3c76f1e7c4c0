"""Every rule finds what it is for, and stays quiet beside it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.policy.addresses import cover_a_family, parse_cidr
from tenantprofile.policy.rules import RULES, check_spec, field_path, refused

GOOD: dict[str, Any] = {
    "podSelector": {"matchLabels": {"app": "web"}},
    "policyTypes": ["Ingress"],
    "ingress": [
        {
            "from": [{"podSelector": {"matchLabels": {"app": "api"}}}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        }
    ],
}


def ingress(**rule: Any) -> dict[str, Any]:
    """The good spec with parts of its rule replaced; a part that is `...` is removed."""
    spec = copy.deepcopy(GOOD)
    for field, value in rule.items():
        key = field.removesuffix("_")
        if value is ...:
            del spec["ingress"][0][key]
        else:
            spec["ingress"][0][key] = value
    return spec


def spec(**fields: Any) -> dict[str, Any]:
    changed = {**copy.deepcopy(GOOD), **fields}
    return {field: value for field, value in changed.items() if value is not ...}


def port(**fields: Any) -> dict[str, Any]:
    return ingress(ports=[{"protocol": "TCP", **fields}])


def block(cidr: Any, *exceptions: Any) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, **({"except": list(exceptions)} if exceptions else {})}}


def egress(*peers: Any) -> dict[str, Any]:
    return spec(policyTypes=["Egress"], ingress=..., egress=[{"to": list(peers)}])


def egress_ports(*ports: Any, to: list[Any], protocol: str = "TCP") -> dict[str, Any]:
    rule = {"to": to, "ports": [{"port": number, "protocol": protocol} for number in ports]}
    return spec(policyTypes=["Egress"], ingress=..., egress=[rule])


def peer_of(namespaces: dict[str, Any]) -> dict[str, Any]:
    return {"namespaceSelector": namespaces}


def peer(**selectors: Any) -> dict[str, Any]:
    return ingress(from_=[selectors])


def expression(operator: Any, *values: Any, key: str = "k") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
NEARBY = ("100.64.0.0/10", "169.254.0.0/16")
LABELLED = {"matchLabels": {"team": "a"}}

# rule: specs in which it finds something (with the field), specs in which it must not.
CASES: dict[str, tuple[list[tuple[dict[str, Any], str]], list[dict[str, Any]]]] = {
    "wrong-type": (
        [
            (spec(podSelector=[]), "podSelector"),
            (spec(ingress={}), "ingress"),
            (ingress(from_={}), "ingress[0].from"),
            (port(port=True), "ingress[0].ports[0].port"),
            (port(port=80.0), "ingress[0].ports[0].port"),
            (port(port=80, endPort="90"), "ingress[0].ports[0].endPort"),
            (ingress(from_=[block("10.0.0.0/8", 5)]), "ingress[0].from[0].ipBlock.except[0]"),
            (spec(policyTypes="Ingress"), "policyTypes"),
        ],
        [GOOD],
    ),
    "unknown-field": (
        [
            (spec(podselector={}), "podselector"),
            (ingress(to=[{"podSelector": {}}]), "ingress[0].to"),
            (peer(podSelector={"app": "web"}), "ingress[0].from[0].podSelector.app"),
            (
                ingress(from_=[{"ipBlock": {"cidr": "10.0.0.0/8", "excpet": []}}]),
                "ingress[0].from[0].ipBlock.excpet",
            ),
            (port(ports=80), "ingress[0].ports[0].ports"),
        ],
        [GOOD],
    ),
    "label-key": (
        [
            (spec(podSelector={"matchLabels": {"a b": "x"}}), "podSelector.matchLabels['a b']"),
            (
                peer(podSelector=expression("Exists", key="-a")),
                "ingress[0].from[0].podSelector.matchExpressions[0].key",
            ),
            (
                spec(podSelector={"matchExpressions": [{"operator": "Exists"}]}),
                "podSelector.matchExpressions[0].key",
            ),
        ],
        [spec(podSelector={"matchLabels": {"app.kubernetes.io/name": ""}})],
    ),
    "label-value": (
        [
            (spec(podSelector={"matchLabels": {"a": "x" * 64}}), "podSelector.matchLabels.a"),
            (spec(podSelector={"matchLabels": {"a": True}}), "podSelector.matchLabels.a"),
            (
                peer(podSelector=expression("In", "x\n")),
                "ingress[0].from[0].podSelector.matchExpressions[0].values[0]",
            ),
        ],
        [spec(podSelector={"matchLabels": {"a": "x" * 63}})],
    ),
    "selector-expression": (
        [
            (spec(podSelector=expression("In")), "podSelector.matchExpressions[0].values"),
            (spec(podSelector=expression("Exists", "x")), "podSelector.matchExpressions[0].values"),
            (spec(podSelector=expression("in", "x")), "podSelector.matchExpressions[0].operator"),
            (spec(podSelector=expression(None)), "podSelector.matchExpressions[0].operator"),
        ],
        [spec(podSelector=expression("NotIn", "x")), spec(podSelector=expression("DoesNotExist"))],
    ),
    "peer-empty": (
        [
            (ingress(from_=[{}]), "ingress[0].from[0]"),
            (ingress(from_=[None]), "ingress[0].from[0]"),
            (peer(podSelector=None), "ingress[0].from[0]"),
        ],
        [peer(podSelector={})],
    ),
    "peer-mixed": (
        [(ingress(from_=[{**block("10.0.0.0/8"), "podSelector": {}}]), "ingress[0].from[0]")],
        [ingress(from_=[block("10.0.0.0/8"), {"podSelector": {}, "namespaceSelector": {}}])],
    ),
    "cidr": (
        [
            (ingress(from_=[block("10.0.0.0")]), "ingress[0].from[0].ipBlock.cidr"),
            (ingress(from_=[block("10.0.0.0/33")]), "ingress[0].from[0].ipBlock.cidr"),
            (ingress(from_=[block("10.0.0.0/255.0.0.0")]), "ingress[0].from[0].ipBlock.cidr"),
            (ingress(from_=[block("fe80::%eth0/64")]), "ingress[0].from[0].ipBlock.cidr"),
            (ingress(from_=[{"ipBlock": {}}]), "ingress[0].from[0].ipBlock.cidr"),
            (ingress(from_=[block("10.0.0.0/8", "x")]), "ingress[0].from[0].ipBlock.except[0]"),
        ],
        [ingress(from_=[block("10.0.0.0/8"), block("2001:db8::/32")])],
    ),
    "except-outside": (
        [
            (ingress(from_=[block("10.0.0.0/8", "10.0.0.0/8")]), "ingress[0].from[0].ipBlock.except[0]"),
            (ingress(from_=[block("10.0.0.0/8", "11.0.0.0/16")]), "ingress[0].from[0].ipBlock.except[0]"),
            (ingress(from_=[block("10.0.0.0/8", "2001:db8::/64")]), "ingress[0].from[0].ipBlock.except[0]"),
        ],
        [ingress(from_=[block("10.0.0.0/8", "10.255.0.0/16"), block("2001:db8::/32", "2001:db8::/64")])],
    ),
    "port-number": (
        [(port(port=0), "ingress[0].ports[0].port"), (port(port=65536), "ingress[0].ports[0].port")],
        [port(port=1), port(port=65535)],
    ),
    "port-name": (
        [
            (port(port=""), "ingress[0].ports[0].port"),
            (port(port="a--b"), "ingress[0].ports[0].port"),
            (port(port="-a"), "ingress[0].ports[0].port"),
            (port(port="HTTP"), "ingress[0].ports[0].port"),
            (port(port="1-2"), "ingress[0].ports[0].port"),
            (port(port="a" * 16), "ingress[0].ports[0].port"),
        ],
        [port(port="http"), port(port="1a"), port(port="a" * 15)],
    ),
    "numeric-string-port": ([(port(port="8080"), "ingress[0].ports[0].port")], [port(port=8080)]),
    "end-port": (
        [
            (port(endPort=90), "ingress[0].ports[0].endPort"),
            (port(port="http", endPort=90), "ingress[0].ports[0].endPort"),
            (port(port=100, endPort=90), "ingress[0].ports[0].endPort"),
            (port(port=100, endPort=65536), "ingress[0].ports[0].endPort"),
        ],
        [port(port=90, endPort=90), port(port=1, endPort=65535)],
    ),
    "protocol": (
        [
            (port(protocol="tcp"), "ingress[0].ports[0].protocol"),
            (port(protocol=""), "ingress[0].ports[0].protocol"),
        ],
        [port(protocol="SCTP")],
    ),
    "policy-types": (
        [
            (spec(policyTypes=["ingress"]), "policyTypes[0]"),
            (spec(policyTypes=["Ingress", "Egress", "Ingress"]), "policyTypes"),
        ],
        [spec(policyTypes=["Ingress", "Egress"])],
    ),
    "empty-peers": (
        [
            (ingress(from_=[]), "ingress[0].from"),
            (spec(policyTypes=["Egress"], ingress=..., egress=[{"to": []}]), "egress[0].to"),
        ],
        [GOOD, ingress(from_=...)],
    ),
    "empty-ports": ([(ingress(ports=[]), "ingress[0].ports")], [ingress(ports=...)]),
    "empty-except": (
        [
            (
                ingress(from_=[{"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}]),
                "ingress[0].from[0].ipBlock.except",
            )
        ],
        [ingress(from_=[block("10.0.0.0/8")])],
    ),
    "empty-selector-terms": (
        [
            (spec(podSelector={"matchLabels": {}}), "podSelector"),
            (peer(namespaceSelector={"matchLabels": None}), "ingress[0].from[0].namespaceSelector"),
            (peer(podSelector={"matchLabels": {}, "matchExpressions": []}), "ingress[0].from[0].podSelector"),
        ],
        [spec(podSelector={}), spec(podSelector={"matchLabels": {}, **expression("Exists")})],
    ),
    "null-value": (
        [
            (ingress(from_=None), "ingress[0].from"),
            (peer(podSelector=LABELLED, namespaceSelector=None), "ingress[0].from[0].namespaceSelector"),
            (spec(ingress=[None]), "ingress[0]"),
        ],
        [GOOD],
    ),
    "direction-ignored": (
        [(spec(policyTypes=["Egress"]), "ingress"), (spec(egress=[{}]), "egress")],
        [spec(policyTypes=["Ingress"], egress=[]), spec(policyTypes=..., egress=[{}])],
    ),
    "policy-types-missing": (
        [(spec(policyTypes=...), ""), (spec(policyTypes=[]), "policyTypes")],
        [GOOD],
    ),
    "pod-selector-missing": ([(spec(podSelector=...), "")], [spec(podSelector={})]),
    "host-bits": (
        [
            (ingress(from_=[block("10.0.1.5/24")]), "ingress[0].from[0].ipBlock.cidr"),
            (ingress(from_=[block("10.0.0.0/8", "10.1.1.1/24")]), "ingress[0].from[0].ipBlock.except[0]"),
            (ingress(from_=[block("2001:db8::1/64")]), "ingress[0].from[0].ipBlock.cidr"),
        ],
        [ingress(from_=[block("10.0.1.5/32"), block("2001:db8::1/128")])],
    ),
    "leading-zeros": (
        [
            (ingress(from_=[block("010.0.0.0/8")]), "ingress[0].from[0].ipBlock.cidr"),
            (ingress(from_=[block("10.0.0.0/08")]), "ingress[0].from[0].ipBlock.cidr"),
        ],
        [ingress(from_=[block("0.0.0.0/8"), block("2001:0db8::/32")])],
    ),
    "mapped-address": (
        [(ingress(from_=[block("::ffff:10.0.0.0/104")]), "ingress[0].from[0].ipBlock.cidr")],
        [ingress(from_=[block("2001:db8::/32")])],
    ),
    "every-peer": ([(ingress(from_=...), "ingress[0]"), (ingress(from_=None), "ingress[0]")], [GOOD]),
    "every-namespace": (
        [(peer(namespaceSelector={}), "ingress[0].from[0].namespaceSelector")],
        [peer(namespaceSelector=LABELLED), peer(podSelector={})],
    ),
    "every-address": (
        [
            (egress(block("0.0.0.0/0", "10.0.0.0/8")), "egress[0].to[0].ipBlock.cidr"),
            (egress(block("::/0")), "egress[0].to[0].ipBlock.cidr"),
            (egress(block("0.0.0.0/1"), block("128.0.0.0/1")), "egress[0].to"),
            (egress(block("0.0.0.0/0", *PRIVATE)), "egress[0].to[0].ipBlock.cidr"),
        ],
        [
            egress(block("0.0.0.0/1")),
            egress(block("0.0.0.0/0", *PRIVATE, *NEARBY)),
            egress(
                block("0.0.0.0/1", "10.0.0.0/8", "100.64.0.0/10"),
                block("128.0.0.0/1", *PRIVATE[1:], NEARBY[1]),
            ),
            egress(block("::/0", "fc00::/7")),
            ingress(from_=[block("0.0.0.0/0", *PRIVATE)]),
        ],
    ),
    "negative-peer": (
        [
            (
                peer(namespaceSelector=expression("NotIn", "x")),
                "ingress[0].from[0].namespaceSelector.matchExpressions[0]",
            ),
            (
                peer(podSelector=expression("DoesNotExist")),
                "ingress[0].from[0].podSelector.matchExpressions[0]",
            ),
        ],
        [peer(podSelector=expression("In", "x")), spec(podSelector=expression("NotIn", "x"))],
    ),
    "metadata-address": (
        [
            (egress(block("169.254.0.0/16")), "egress[0].to[0].ipBlock"),
            (egress(block("fd00::/8")), "egress[0].to[0].ipBlock"),
            (egress(block("169.254.169.254/32")), "egress[0].to[0].ipBlock"),
            (egress_ports(53, 80, to=[block("169.254.169.254/32")]), "egress[0].to[0].ipBlock"),
            (egress_ports(53, None, to=[block("169.254.169.254/32")]), "egress[0].to[0].ipBlock"),
        ],
        [
            egress_ports(53, to=[block("169.254.169.254/32")]),
            egress_ports(53, 443, to=[block("0.0.0.0/0")]),
            egress(block("0.0.0.0/2")),
            egress(block("128.0.0.0/1", "169.254.0.0/16")),
            ingress(from_=[block("169.254.0.0/16")]),
        ],
    ),
    "free-namespace-label": (
        [
            (
                peer(namespaceSelector={"matchLabels": {"name": "ingress"}}),
                "ingress[0].from[0].namespaceSelector.matchLabels.name",
            ),
            (
                peer(namespaceSelector=expression("In", "x", key="namespace")),
                "ingress[0].from[0].namespaceSelector.matchExpressions[0].key",
            ),
        ],
        [peer(namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "x"}})],
    ),
    "both-directions": (
        [
            (spec(policyTypes=["Ingress", "Egress"], egress=[{"to": [{"podSelector": {}}]}]), "policyTypes"),
            (spec(policyTypes=["Ingress", "Egress"], podSelector={}), "policyTypes"),
            (spec(policyTypes=["Ingress", "Egress"], ingress=[{}]), "policyTypes"),
        ],
        [
            GOOD,
            spec(policyTypes=["Ingress", "Egress"], egress=[]),
            spec(policyTypes=["Ingress", "Egress"], ingress=[{}], egress=[{}]),
            spec(
                policyTypes=["Ingress", "Egress"],
                podSelector={},
                ingress=[{"from": [{"namespaceSelector": LABELLED}]}],
            ),
        ],
    ),
    "never-matches": (
        [
            (
                spec(podSelector={**LABELLED, **expression("NotIn", "a", key="team")}),
                "podSelector",
            ),
            (
                peer(namespaceSelector={**LABELLED, **expression("DoesNotExist", key="team")}),
                "ingress[0].from[0].namespaceSelector",
            ),
            (
                egress(block("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9")),
                "egress[0].to[0].ipBlock",
            ),
            (egress_ports("http", to=[block("10.0.0.0/8")]), "egress[0].to[0]"),
        ],
        [
            peer(podSelector={**LABELLED, **expression("NotIn", "b", key="team")}),
            egress(block("10.0.0.0/8", "10.0.0.0/9")),
            egress_ports("http", 80, to=[block("10.0.0.0/8")]),
            ingress(from_=[block("10.0.0.0/8")], ports=[{"port": "http", "protocol": "TCP"}]),
        ],
    ),
    "dns-without-tcp": (
        [(egress_ports(53, protocol="UDP", to=[peer_of(LABELLED)]), "egress[0].ports[0]")],
        [
            egress_ports(53, to=[peer_of(LABELLED)]),
            egress_ports(123, protocol="UDP", to=[peer_of(LABELLED)]),
            spec(
                policyTypes=["Egress"],
                ingress=...,
                egress=[{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}],
            ),
        ],
    ),
    "port-range": ([(port(port=80, endPort=90), "ingress[0].ports[0].endPort")], [port(port=80, endPort=80)]),
    "named-port": ([(port(port="http"), "ingress[0].ports[0].port")], [port(port=80)]),
    "overlapping-ranges": (
        [
            (
                egress(block("10.1.0.0/16"), block("10.0.0.0/8", "10.2.0.0/16")),
                "egress[0].to[0].ipBlock",
            )
        ],
        [
            egress(block("10.1.0.0/16"), block("10.0.0.0/8")),
            egress(block("11.0.0.0/16"), block("10.0.0.0/8", "10.2.0.0/16")),
        ],
    ),
}


def test_the_good_spec_has_no_findings() -> None:
    assert check_spec(GOOD) == []


def test_every_rule_has_cases() -> None:
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_what_it_is_for_at_its_field(rule: str) -> None:
    for wrong, field in CASES[rule][0]:
        fields = [finding.field_path for finding in check_spec(wrong) if finding.rule.id == rule]
        assert field in fields, (wrong, fields)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_stays_quiet_beside_what_it_is_for(rule: str) -> None:
    for right in CASES[rule][1]:
        assert [str(finding) for finding in check_spec(right) if finding.rule.id == rule] == []


def test_everything_wrong_is_told_at_once() -> None:
    wrong = spec(
        podSelector={"matchLabels": {"a b": "x y"}}, policyTypes=["ingress"], ingress=[{"from": [{}]}]
    )
    assert {"label-key", "label-value", "policy-types", "peer-empty"} <= {
        f.rule.id for f in check_spec(wrong)
    }


def test_what_is_only_wide_is_not_refused_in_templates() -> None:
    wide = spec(
        policyTypes=["Ingress", "Egress"],
        ingress=[{}, {"from": [{"namespaceSelector": {}}, {"podSelector": expression("NotIn", "x")}]}],
        egress=[{"to": [block("0.0.0.0/0")]}],
    )
    findings = check_spec(wide)
    assert {"every-peer", "every-namespace", "negative-peer", "every-address"} <= {
        f.rule.id for f in findings
    }
    assert refused(findings) == []


FIELDS = (
    *(
        "podSelector",
        "namespaceSelector",
        "ipBlock",
        "matchLabels",
        "matchExpressions",
        "from",
        "to",
        "ports",
    ),
    *("port", "endPort", "cidr", "except", "key", "operator", "values", "ingress", "egress"),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(["podSelector", "policyTypes", "ingress", "egress"]), anything) | anything
)
def test_judging_never_fails_whatever_it_is_given(value: Any) -> None:
    for finding in check_spec(value):
        assert finding.rule.id in RULES
        assert str(finding)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("010.0.0.1/08", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::ffff:010.0.0.0/104", "::ffff:a00:0/104"),
    ],
)
def test_ranges_are_read_as_gos_sloppy_parser_reads_them(text: str, network: str) -> None:
    found = parse_cidr(text)
    assert found is not None
    assert str(found.network) == network


@pytest.mark.parametrize(
    "text", ["", "/", "10.0.0.0", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/٣", "a/8", "1.2.3.4/8/8"]
)
def test_what_is_no_range_is_none(text: str) -> None:
    assert parse_cidr(text) is None


def test_two_halves_are_the_whole_address_space() -> None:
    assert cover_a_family(["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"])
    assert cover_a_family(["10.0.0.0/8", "::/0"])
    assert not cover_a_family(["0.0.0.0/1", "8000::/1"])


def test_a_path_is_written_as_the_api_documentation_writes_it() -> None:
    path = ("ingress", 0, "from", 2, "podSelector", "matchLabels", "app.kubernetes.io/name")
    assert field_path(path) == "ingress[0].from[2].podSelector.matchLabels['app.kubernetes.io/name']"
