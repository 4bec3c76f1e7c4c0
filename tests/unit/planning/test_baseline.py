"""Which policy bears the mark of a complete baseline, and when."""

from __future__ import annotations

from typing import Any

import pytest

from tenantprofile.names import LABEL_COMPLETE
from tenantprofile.planning.baseline import Baseline
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan
from tenantprofile.planning.observed import Observed, observe
from tenantprofile.planning.profile import ProfileError, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import builtin_templates


def desired(*templates: str, name: str = "p") -> list[DesiredPolicy]:
    raw = {
        "metadata": {"name": name, "uid": "1"},
        "spec": {
            "namespaceSelector": {"matchLabels": {"a": "b"}},
            "policies": [{"template": template} for template in templates],
        },
    }
    items = ProfilePlan(parse_profile(raw), builtin_templates()).desired(NamespaceFacts("ns", {}, {}))
    return [item for item in items if isinstance(item, DesiredPolicy)]


def stored(policy: DesiredPolicy, **metadata: Any) -> Observed:
    body = policy.manifest("ns")
    body["metadata"] |= {"uid": "2", "resourceVersion": "3"} | metadata
    return observe(body)


def standing(*policies: DesiredPolicy) -> dict[str, Observed]:
    return {policy.name: stored(policy) for policy in policies}


def test_the_mark_is_a_label_that_counts_in_the_digest() -> None:
    (deny,) = desired("default-deny")
    marked = deny.with_mark()
    assert marked.manifest("ns")["metadata"]["labels"][LABEL_COMPLETE] == "true"
    assert LABEL_COMPLETE not in deny.manifest("ns")["metadata"]["labels"]
    assert stored(marked).digest == marked.digest == stored(marked).applied != deny.digest
    assert (marked.name, marked.profile, marked.entry, marked.closes) == (
        deny.name,
        deny.profile,
        deny.entry,
        deny.closes,
    )
    assert marked.with_mark() is marked
    back = marked.with_mark(False)
    assert (back.body(), back.digest, back.marked) == (deny.body(), deny.digest, False)


def test_both_formats_of_a_request_carry_the_mark() -> None:
    marked = desired("default-deny")[0].with_mark()
    assert LABEL_COMPLETE.encode() in marked.body("0" * 16)
    assert LABEL_COMPLETE.encode() in marked.wire("0" * 16)
    assert marked.wire() != marked.body()


def test_a_policy_that_isolates_bears_the_mark() -> None:
    policies = desired("same-namespace", "default-deny")
    assert Baseline(policies, whole=True, sealed=()).bearer == "p.default-deny"
    assert Baseline(policies[::-1], whole=True, sealed=()).bearer == "p.default-deny"


def test_without_a_policy_that_isolates_the_first_by_name_bears_it() -> None:
    assert Baseline(desired("same-namespace", "dns-egress"), whole=True, sealed=()).bearer == "p.dns-egress"
    assert Baseline((), whole=True, sealed=()).bearer == ""


def test_the_policy_that_has_the_mark_keeps_it() -> None:
    policies = desired("default-deny", "same-namespace") + desired("default-deny", name="a")
    assert Baseline(policies, whole=True, sealed=()).bearer == "a.default-deny"
    assert Baseline(policies, whole=True, sealed={"p.same-namespace"}).bearer == "p.same-namespace"


def test_a_baseline_stands_when_every_policy_of_every_profile_is_as_desired() -> None:
    policies = desired("default-deny", "same-namespace") + desired("dns-egress", name="q")
    baseline = Baseline(policies, whole=True, sealed=())
    found = standing(*policies)
    assert baseline.stands(found)
    assert baseline.stands(found | standing(policies[0].with_mark()))
    for name in found:
        assert not baseline.stands({key: seen for key, seen in found.items() if key != name})
    opened = policies[0].manifest("ns")
    opened["metadata"] |= {"uid": "2", "resourceVersion": "3"}
    opened["spec"]["ingress"] = [{}]
    assert not baseline.stands(found | {policies[0].name: observe(opened)})
    going = stored(policies[0], deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["example.com/x"])
    assert not baseline.stands(found | {policies[0].name: going})
    assert not Baseline(policies, whole=False, sealed=()).stands(found)
    assert not Baseline((), whole=True, sealed=()).stands(found)


def test_what_has_the_mark_keeps_it_while_something_else_is_missing() -> None:
    policies = desired("default-deny", "same-namespace")
    baseline = Baseline(policies, whole=False, sealed={"p.default-deny"})
    assert baseline.kept(standing(policies[0])) == {"p.default-deny"}
    assert baseline.kept({}) == frozenset()


def test_a_label_alone_is_not_kept() -> None:
    policies = desired("default-deny", "same-namespace")
    forged = standing(policies[0].with_mark())
    assert Baseline(policies, whole=True, sealed=()).kept(forged) == frozenset()


def test_a_baseline_that_stands_already_is_desired_with_its_mark_at_once() -> None:
    policies = desired("default-deny", "same-namespace")
    assert Baseline(policies, whole=True, sealed=()).kept(standing(*policies)) == {"p.default-deny"}


def test_nothing_has_the_mark_where_no_profile_requires_a_baseline() -> None:
    (deny,) = desired("default-deny")
    assert Baseline((), whole=True, sealed={deny.name}).kept(standing(deny.with_mark())) == frozenset()


def profile(**spec: Any) -> Any:
    return parse_profile(
        {
            "metadata": {"name": "p"},
            "spec": {
                "namespaceSelector": {"matchLabels": {"a": "b"}},
                "policies": [{"template": "x"}],
                **spec,
            },
        }
    )


def test_a_profile_says_when_its_pods_may_start_and_what_tenants_may_not_write() -> None:
    assert profile().pod_admission == "Immediate"
    assert profile().guardrails is None
    found = profile(
        podAdmission="RequireBaseline",
        guardrails={
            "refuse": ["Everybody", "NAT64"],
            "widestIPv4": 0,
            "widestIPv6": 48,
            "refusedPorts": [22, 3389],
        },
    )
    assert found.pod_admission == "RequireBaseline"
    assert found.guardrails.refuse == {"Everybody", "NAT64"}
    assert (found.guardrails.widest_ipv4, found.guardrails.widest_ipv6) == (0, 48)
    assert found.guardrails.refused_ports == {22, 3389}
    assert found.guardrails.max_peers == 500
    assert profile(guardrails={"maxPeers": 7, "ofANewerRelease": 1}).guardrails.max_peers == 7


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            {"podAdmission": "Later"},
            "spec.podAdmission: found 'Later'; expected Immediate or RequireBaseline",
        ),
        ({"guardrails": []}, "spec.guardrails: found []; expected a map with at least one field"),
        ({"guardrails": {}}, "spec.guardrails: found {}; expected a map with at least one field"),
        ({"guardrails": {"refuse": "Egress"}}, "spec.guardrails.refuse: found 'Egress'; expected a list"),
        (
            {"guardrails": {"refuse": ["Nobody", {}]}},
            "spec.guardrails.refuse: found 'Nobody'; expected some of",
        ),
        (
            {"guardrails": {"widestIPv4": 33}},
            "spec.guardrails.widestIPv4: found 33; expected a number from 0 to 32",
        ),
        ({"guardrails": {"widestIPv6": 16}}, "found 16; expected a number from 32 to 64"),
        ({"guardrails": {"maxPeers": True}}, "spec.guardrails.maxPeers: found True"),
        ({"guardrails": {"refusedPorts": [0]}}, "spec.guardrails.refusedPorts: found 0; expected numbers"),
    ],
)
def test_wrong_values_are_named(spec: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profile(**spec)
    assert any(complaint in str(one) for one in caught.value.complaints), caught.value.complaints
