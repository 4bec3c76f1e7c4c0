"""Lint judges whatever it is given: nonsense is a finding, and never a crash."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.input.objects import Origin, SourceObject, read_text
from tenantprofile.linting.catalogue import RULES
from tenantprofile.linting.data import as_data
from tenantprofile.linting.judge import lint
from tenantprofile.linting.sarif import as_sarif
from tenantprofile.linting.text import as_markdown, as_text
from unit.linting.judged import TODAY

KINDS = (
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("extensions/v1beta1", "NetworkPolicy"),
    ("tenantprofile.dev/v1alpha1", "TenantProfile"),
    ("tenantprofile.dev/v1alpha1", "PolicyTemplate"),
    ("v1", "Namespace"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
)
FIELDS = (
    *("name", "namespace", "labels", "annotations", "tenantprofile.dev/lint-waive", "podSelector"),
    *("policyTypes", "ingress", "egress", "from", "to", "ports", "port", "endPort", "protocol"),
    *("namespaceSelector", "matchLabels", "matchExpressions", "ipBlock", "cidr", "except", "key"),
    *("operator", "values", "policies", "template", "parameters", "owner", "purpose", "suspend"),
    *("description", "selectAllNamespaces", "selector", "clusterIP", "clusterIPs", "containers"),
    *("cidrs", "tenantprofile.dev/profile", "app.kubernetes.io/managed-by", "metadata", "spec"),
)
WORDS = (
    *("default-deny", "cidr-egress", "dns-egress", "Ingress", "Egress", "In", "NotIn", "shop", "web"),
    *("10.0.0.0/8", "0.0.0.0/0", "every-peer: x, until 2027-01-31", "tenantprofile-operator", "{{ x }}"),
    *("podSelector: {}", "object", "::/0", "http"),
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 70000)
    | st.sampled_from(WORDS)
    | st.text(alphabet="ab1-./:@{}", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=25,
)


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    version, kind = draw(st.sampled_from(KINDS))
    metadata = draw(
        anything
        | st.fixed_dictionaries(
            {"name": st.sampled_from(["a", "b", "A_"])},
            optional={
                "namespace": st.sampled_from(["shop", "web"]) | anything,
                "labels": anything,
                "annotations": anything,
            },
        )
    )
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": draw(anything)}


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(manifests(), max_size=5), st.booleans(), st.booleans())
def test_judging_never_fails_whatever_it_is_given(
    raws: list[dict[str, Any]], complete: bool, live: bool
) -> None:
    if live:
        objects = [SourceObject(raw, Origin("cluster")) for raw in raws]
    else:
        objects = [item for n, raw in enumerate(raws) for item in read_text(json.dumps(raw), f"{n}.json")]
    result = lint(objects, TODAY, frozenset(RULES), complete)
    assert as_text(result, show_waived=True)
    assert as_markdown(result)
    json.dumps([as_data(result), as_sarif(result, "0")])
