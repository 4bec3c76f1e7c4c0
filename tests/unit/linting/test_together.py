"""Policies of one namespace beside each other."""

from __future__ import annotations

import pytest

from unit.linting.judged import found, places

MANAGED = "labels: {app.kubernetes.io/managed-by: tenantprofile-operator}"


def policy(name: str, spec: str, metadata: str = "namespace: shop") -> str:
    extra = "".join(f"\n  {line}" for line in metadata.split("; "))
    return f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {name}{extra}\nspec:\n  {spec}\n"


def ingress(name: str, rules: str, pods: str = "{}", **kwargs: str) -> str:
    return policy(name, f"{{podSelector: {pods}, policyTypes: [Ingress], ingress: {rules}}}", **kwargs)


def egress(name: str, rules: str, pods: str = "{}", **kwargs: str) -> str:
    return policy(name, f"{{podSelector: {pods}, policyTypes: [Egress], egress: {rules}}}", **kwargs)


WEB = "{podSelector: {matchLabels: {app: web}}}"
DNS = "ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]"
TO_DNS = (
    f"[{{to: [{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: kube-system}}}}}}], {DNS}}}]"
)


# --- contained ---


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (f"[{{from: [{WEB}], ports: [{{port: 80}}]}}]", f"[{{from: [{WEB}]}}]"),
        (
            f"[{{from: [{WEB}], ports: [{{port: 85}}]}}]",
            f"[{{from: [{WEB}], ports: [{{port: 80, endPort: 90}}]}}]",
        ),
        (f"[{{from: [{WEB}]}}]", "[{from: [{podSelector: {}}]}]"),
        (f"[{{from: [{WEB}]}}]", "[{from: [{namespaceSelector: {}}]}]"),
        (f"[{{from: [{WEB}]}}]", "[{}]"),
        (
            "[{from: [{podSelector: {matchLabels: {app: web}}, namespaceSelector: {matchLabels: {a: b}}}]}]",
            "[{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: Exists}]}}]}]",
        ),
        ("[{from: [{ipBlock: {cidr: 10.1.0.0/16}}]}]", "[{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]"),
        (
            "[{from: [{ipBlock: {cidr: 10.1.0.0/16}}]}]",
            "[{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.2.0.0/16]}}]}]",
        ),
    ],
)
def test_a_rule_that_another_contains_is_told_of_and_not_the_other(narrow: str, wide: str) -> None:
    for first, second in ((narrow, wide), (wide, narrow)):
        told = found("contained-rule", ingress("a", first), ingress("b", second))
        assert [placed.item.name for placed in told] == ["a" if first is narrow else "b"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"[{{from: [{WEB}], ports: [{{port: 80}}]}}]", f"[{{from: [{WEB}], ports: [{{port: 81}}]}}]"),
        (f"[{{from: [{WEB}], ports: [{{port: 80}}]}}]", f"[{{from: [{WEB}], ports: [{{port: http}}]}}]"),
        (
            f"[{{from: [{WEB}], ports: [{{port: 80, protocol: UDP}}]}}]",
            f"[{{from: [{WEB}], ports: [{{port: 80}}]}}]",
        ),
        (f"[{{from: [{WEB}]}}]", "[{from: [{namespaceSelector: {matchLabels: {a: b}}}]}]"),
        (
            "[{from: [{ipBlock: {cidr: 10.2.0.0/16}}]}]",
            "[{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.2.0.0/24]}}]}]",
        ),
        ("[{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "[{from: [{podSelector: {}}]}]"),
    ],
)
def test_rules_that_allow_different_things_are_left_alone(one: str, other: str) -> None:
    assert found("contained-rule", ingress("a", one), ingress("b", other)) == []


def test_of_two_rules_that_say_the_same_the_later_one_is_told_of() -> None:
    rule = f"[{{from: [{WEB}]}}]"
    (placed,) = found("contained-rule", ingress("a", rule), ingress("b", rule))
    assert placed.item.name == "b"
    assert placed.message == "the rule says the same as ingress[0] of a"


def test_a_rule_for_other_pods_or_another_namespace_is_not_contained() -> None:
    rule = f"[{{from: [{WEB}]}}]"
    some = ingress("a", rule, pods="{matchLabels: {tier: api}}")
    assert [p.item.name for p in found("contained-rule", some, ingress("b", rule))] == ["a"]
    assert found("contained-rule", some, ingress("b", rule, pods="{matchLabels: {tier: web}}")) == []
    assert found("contained-rule", ingress("a", rule), ingress("b", rule, metadata="namespace: other")) == []


def test_a_peer_that_another_peer_of_the_rule_contains() -> None:
    text = ingress("a", f"[{{from: [{{podSelector: {{}}}}, {WEB}]}}]")
    assert places("contained-rule", text) == ["7: spec.ingress[0].from[1]"]


def test_the_labels_of_the_own_namespace_count_where_they_are_known() -> None:
    own = ingress("a", f"[{{from: [{WEB}]}}]")
    by_label = ingress("b", "[{from: [{namespaceSelector: {matchLabels: {tenant: shop}}}]}]")
    space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {tenant: shop}}\n"
    assert found("contained-rule", own, by_label) == []
    assert [p.item.name for p in found("contained-rule", own, by_label, space)] == ["a"]


def test_what_a_tenant_allows_as_well_does_not_make_a_managed_rule_superfluous() -> None:
    rule = f"[{{from: [{WEB}]}}]"
    managed = ingress("baseline.web", rule, metadata=f"namespace: shop; {MANAGED}")
    assert found("contained-rule", managed, ingress("a", "[{}]")) == []
    (placed,) = found("contained-rule", managed, ingress("a", rule))
    assert placed.item.name == "a"


# --- DNS ---


def test_a_denied_egress_without_dns() -> None:
    assert places("egress-without-dns", egress("deny", "[]")) == ["7: spec.policyTypes"]


def test_dns_from_another_policy_is_dns() -> None:
    assert found("egress-without-dns", egress("deny", "[]"), egress("dns", TO_DNS)) == []


def test_dns_for_some_of_the_pods_is_not_dns_for_all() -> None:
    some = egress("dns", TO_DNS, pods="{matchLabels: {app: web}}")
    assert [p.item.name for p in found("egress-without-dns", egress("deny", "[]"), some)] == ["deny"]


def test_dns_in_another_namespace_does_not_count() -> None:
    other = egress("dns", TO_DNS, metadata="namespace: other")
    assert [p.item.name for p in found("egress-without-dns", egress("deny", "[]"), other)] == ["deny"]


@pytest.mark.parametrize(
    "rules",
    [
        "[{}]",
        "[{to: [{ipBlock: {cidr: 169.254.20.10/32}}]}]",
        "[{to: [{namespaceSelector: {}}], ports: [{port: 5353, protocol: UDP}]}]",
        "[{to: [{namespaceSelector: {}}], ports: [{port: dns, protocol: UDP}]}]",
    ],
)
def test_every_way_to_dns_is_one(rules: str) -> None:
    assert found("egress-without-dns", egress("a", rules)) == []


@pytest.mark.parametrize(
    "rules",
    [
        "[{to: [{podSelector: {}}]}]",
        "[{to: [{namespaceSelector: {}}], ports: [{port: 443}]}]",
        "[{to: [{namespaceSelector: {}}], ports: [{port: 53}]}]",
    ],
)
def test_own_pods_other_ports_and_tcp_alone_are_no_way_to_dns(rules: str) -> None:
    assert len(found("egress-without-dns", egress("a", rules))) == 1


def test_one_finding_for_all_pods_is_enough() -> None:
    narrow = egress("api", f"[{{to: [{WEB}]}}]", pods="{matchLabels: {app: api}}")
    assert [p.item.name for p in found("egress-without-dns", narrow, egress("deny", "[]"))] == ["deny"]


def test_with_pods_it_is_the_pods_that_are_cut_off_that_count() -> None:
    pods = "".join(
        f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\n"
        for name in ("web", "api")
    )
    some = egress("dns", TO_DNS, pods="{matchLabels: {app: web}}")
    (placed,) = found("egress-without-dns", egress("deny", "[]"), some, pods)
    assert "api" in placed.message
    assert "web" not in placed.message
    api = egress("dns-2", TO_DNS, pods="{matchLabels: {app: api}}")
    assert found("egress-without-dns", egress("deny", "[]"), some, api, pods) == []


# --- widening ---


BASELINE = ingress("baseline.default-deny", "[]", metadata=f"namespace: shop; {MANAGED}")


def test_a_tenants_own_policy_that_opens_the_baseline_to_others() -> None:
    own = ingress("open", "[{from: [{namespaceSelector: {}}]}]")
    (placed,) = found("widens-baseline", BASELINE, own)
    assert (placed.item.name, placed.field) == ("open", "spec.ingress[0]")


def test_opening_to_the_own_namespace_is_told_more_softly() -> None:
    for peer in (WEB, "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}"):
        own = ingress("open", f"[{{from: [{peer}]}}]")
        assert found("widens-baseline", BASELINE, own) == []
        assert len(found("widens-within", BASELINE, own)) == 1


def test_what_the_baseline_allows_anyway_does_not_widen() -> None:
    allowed = ingress("baseline.web", f"[{{from: [{WEB}]}}]", metadata=f"namespace: shop; {MANAGED}")
    own = ingress("open", f"[{{from: [{WEB}], ports: [{{port: 80}}]}}]")
    assert found("widens-within", BASELINE, allowed, own) == []


def test_without_a_baseline_in_this_namespace_and_direction_nothing_is_widened() -> None:
    own = egress("open", "[{}]")
    assert found("widens-baseline", BASELINE, own) == []
    assert found("widens-baseline", ingress("open", "[{}]")) == []


def test_pods_that_another_policy_lets_ask_are_not_said_to_be_cut_off() -> None:
    deny = policy("deny", "{podSelector: {}, policyTypes: [Ingress, Egress]}")
    (finding,) = found("egress-without-dns", deny, egress("dns", TO_DNS, pods="{matchLabels: {app: eso}}"))
    assert "some of the pods that it selects" in finding.message
    assert "without app=eso" in finding.message
