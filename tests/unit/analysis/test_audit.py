"""An audit names what is open, what covers the rest, and who widens it."""

from __future__ import annotations

import json

import pytest

from tenantprofile.analysis import audit as auditing
from tenantprofile.analysis.audit import audit
from tenantprofile.analysis.evidence import Circumstances, evidence, markdown, percent, rows, totals
from unit.analysis.texts import BASELINE, SHOP, assembled, pod

TENANTS = """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: own, namespace: shop}
    spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}
    """
OPEN_EGRESS = TENANTS.replace("Ingress", "Egress").replace(
    "ingress: [{from: [{podSelector: {}}]}]", "egress: [{}]"
)
HOST = """
    apiVersion: v1
    kind: Pod
    metadata: {name: agent, namespace: shop}
    spec: {hostNetwork: true}
    """


def test_pods_and_namespaces_are_covered_in_each_direction() -> None:
    only_ingress = TENANTS.replace("namespace: shop", "namespace: half")
    found = audit(
        assembled(SHOP, BASELINE, pod("a", "shop"), pod("b", "half"), pod("c", "bare"), only_ingress)
    )
    assert [str(p.workload) for p in found.open("Ingress")] == ["bare/c"]
    assert [str(p.workload) for p in found.open("Egress")] == ["bare/c", "half/b"]
    assert [space.name for space in found.unguarded("Egress")] == ["bare", "half"]
    assert not found.complete


def test_a_namespace_is_covered_only_by_what_isolates_pods_yet_to_come() -> None:
    some = TENANTS.replace(
        "podSelector: {}, policyTypes", "podSelector: {matchLabels: {app: a}}, policyTypes"
    )
    found = audit(assembled(pod("a", "shop", app="a"), some))
    assert not found.open("Ingress")
    assert [space.name for space in found.unguarded("Ingress")] == ["shop"]


def test_hostnetwork_pods_are_counted_apart_and_excluded_namespaces_not_at_all() -> None:
    found = audit(assembled(SHOP, BASELINE, HOST, pod("x", "kube-system")), excluded=["kube-system"])
    assert found.complete
    assert totals(found)["hostNetworkPods"] == 1
    assert totals(found)["pods"] == 0
    assert found.excluded == ("kube-system",)


@pytest.mark.parametrize(("limit", "method"), [(200_000, "connections"), (0, "rules")])
def test_a_policy_that_opens_what_a_profile_closes_is_named(
    limit: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "EXACT_UP_TO", limit)
    objects = (SHOP, BASELINE, pod("a", "shop"), pod("b", "shop"), pod("dns", "kube-system"))
    (one,) = audit(assembled(*objects, OPEN_EGRESS)).widenings
    assert (str(one.policy), one.method, one.source.managed) == ("shop/own", method, False)
    if method == "connections":
        assert one.gained > 0
        assert any(example.startswith("shop/a → ") for example in one.examples)


def test_a_policy_that_adds_nothing_widens_nothing() -> None:
    # Ingress from the own namespace is allowed by it, but no pod of the namespace may send there.
    assert not audit(assembled(SHOP, BASELINE, pod("a", "shop"), pod("b", "shop"), TENANTS)).widenings


@pytest.mark.parametrize(
    ("part", "whole", "shown"), [(0, 0, None), (2, 3, 66.6), (9999, 10000, 99.9), (3, 3, 100.0)]
)
def test_percentages_are_rounded_down(part: int, whole: int, shown: float) -> None:
    assert percent(part, whole) == shown


def test_evidence_is_the_same_for_the_same_input_and_tells_what_was_judged() -> None:
    texts = (SHOP, BASELINE, pod("a", "shop"), OPEN_EGRESS)
    circumstances = Circumstances("2026-01-01T00:00:00Z", "https://cluster", {"1.yaml": "abc"}, ["a note"])
    made = []
    for order in (texts, texts[::-1]):
        assembly = assembled(*order)
        data = evidence(assembly, audit(assembly), circumstances)
        data["widening"][0].pop("source")
        made.append(json.dumps(data["digests"]) + json.dumps(data["totals"]) + json.dumps(data["widening"]))
    assert made[0] == made[1]
    data = evidence(assembly, audit(assembly), circumstances)
    assert data["digests"]["count"] == 3
    assert set(data["digests"]["templates"]) == {"default-deny", "dns-egress"}
    assert data["namespaces"][0]["profiles"] == ["base"]
    page = markdown(data)
    for part in ("2026-01-01T00:00:00Z", "https://cluster", "`1.yaml` (SHA-256 `abc`)", "a note", "shop/own"):
        assert part in page


def test_csv_has_a_row_for_every_namespace_and_pod() -> None:
    assembly = assembled(SHOP, BASELINE, pod("a", "shop"), HOST)
    found = list(rows(assembly, audit(assembly)))
    assert [(row[0], row[2], row[3]) for row in found] == [
        ("Namespace", "shop", "restricted"),
        ("Pod", "a", "restricted"),
        ("Pod", "agent", "exempt"),
    ]
