"""An audit that follows a cluster says what an audit from scratch says of the same objects."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantprofile.analysis.audit import audit
from tenantprofile.analysis.evidence import Circumstances, evidence
from tenantprofile.analysis.following import VERSIONS, Following, Found, Kind
from tenantprofile.analysis.suite import run
from tenantprofile.analysis.world import assemble
from tenantprofile.input.objects import Origin, SourceObject
from tenantprofile.linting.data import as_data
from tenantprofile.linting.judge import lint

DAY = "2026-11-25"
NAMESPACES = ("kube-system", "shop", "blog")
LABELS = ({"app": "web"}, {"app": "db"}, {})
SELECTORS: tuple[Any, ...] = ({}, {"matchLabels": {"app": "web"}}, {"matchLabels": {"app": "gone"}})
RULES: tuple[Any, ...] = (
    {"policyTypes": ["Ingress", "Egress"]},
    {"policyTypes": ["Ingress"], "ingress": [{}]},
    {"policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]},
    {
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]}],
    },
    {"policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}]}]},
)
MANAGED = {
    "app.kubernetes.io/managed-by": "tenantprofile-operator",
    "tenantprofile.dev/profile": "base",
    "tenantprofile.dev/policy": "default-deny",
}

Key = tuple[Kind, str, str]
name = st.sampled_from(("a", "b", "c"))
space = st.sampled_from(NAMESPACES)
phase = st.sampled_from(("Running", "Running", "Succeeded"))


@st.composite
def objects(draw: st.DrawFn) -> tuple[Key, dict[str, Any]]:
    kind: Kind = draw(
        st.sampled_from(
            ("Pod", "Pod", "NetworkPolicy", "NetworkPolicy", "Namespace", "Service", "TenantProfile")
        )
    )
    metadata: dict[str, Any] = {"name": draw(name), "namespace": draw(space)}
    if kind in ("Namespace", "TenantProfile"):
        metadata = {"name": metadata["namespace" if kind == "Namespace" else "name"]}
    raw: dict[str, Any] = {"metadata": metadata}
    if kind == "Namespace":
        metadata["labels"] = draw(st.sampled_from(({"team": "a"}, {"team": "b"})))
    elif kind == "Pod":
        metadata["labels"] = draw(st.sampled_from(LABELS))
        raw["spec"] = {"hostNetwork": draw(st.booleans()), "nodeName": "n1", "containers": []}
        last = draw(st.integers(1, 9))
        raw["status"] = {"phase": draw(phase), "podIP": f"10.0.0.{last}", "hostIP": "192.168.0.1"}
    elif kind == "NetworkPolicy":
        metadata["labels"] = draw(st.sampled_from((MANAGED, {})))
        raw["spec"] = {"podSelector": draw(st.sampled_from(SELECTORS)), **draw(st.sampled_from(RULES))}
    elif kind == "Service":
        raw["spec"] = {"clusterIP": "10.96.0.7", "selector": {"app": "web"}, "ports": [{"port": 80}]}
    else:
        raw["spec"] = {
            "namespaceSelector": {"matchLabels": {"team": draw(st.sampled_from("ab"))}},
            "policies": [{"template": "default-deny"}],
            "assertions": [
                {
                    "name": "closed",
                    "from": {"anything": True},
                    "to": {"everyPod": True},
                    "expect": draw(st.sampled_from(("allow", "deny"))),
                }
            ],
        }
    return (kind, metadata.get("namespace", ""), metadata["name"]), raw


def data(found: Found) -> dict[str, Any]:
    return {
        "audit": evidence(found.assembly, found.audit, Circumstances("now")),
        "lint": as_data(found.lint),
        "assertions": [outcome.data() for outcome in found.assertions],
        "notes": [*found.assembly.notes, *found.assembly.violations()],
    }


def from_scratch(there: dict[Key, dict[str, Any]]) -> dict[str, Any]:
    items = [
        SourceObject({"apiVersion": VERSIONS[kind], "kind": kind, **raw}, Origin("cluster"))
        for (kind, _, _), raw in there.items()
    ]
    assembly = assemble(items)
    return data(Found(assembly, audit(assembly), lint(items, DAY, complete=True), tuple(run(assembly))))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.tuples(objects(), st.booleans()), max_size=8), min_size=1, max_size=5))
def test_rounds_say_what_an_audit_from_scratch_says(
    rounds: list[list[tuple[tuple[Key, dict[str, Any]], bool]]],
) -> None:
    following = Following()
    there: dict[Key, dict[str, Any]] = {}
    for changes in rounds:
        for (key, raw), stays in changes:
            if stays or key not in there:
                following.put(*key, following.read(key[0], raw))
                there.pop(key, None)
                there[key] = raw
            else:
                following.remove(*key)
                del there[key]
        assert data(following.judge(following.snapshot(), DAY)) == from_scratch(there)


def test_replicas_share_what_they_have_in_common() -> None:
    following = Following()
    raw = {"metadata": {"namespace": "shop", "labels": {"app": "web"}}, "spec": {"containers": []}}
    first, second = (
        following.read(
            "Pod", {**raw, "metadata": {**raw["metadata"], "name": name, "labels": {"app": "web"}}}
        )
        for name in "ab"
    )
    assert first.labels is second.labels  # type: ignore[union-attr]
