"""What a profile's own assertions say of pods that could exist is true of every pod that does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.assertions.check import check, check_groups
from tenantprofile.assertions.form import parse_assertions
from tenantprofile.assertions.hypothetical import stage
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.policies import parse_spec
from tenantprofile.connectivity.world import World
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan, Refusal
from tenantprofile.planning.profile import ProfileError, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import builtin_templates
from unit.analysis.texts import profile
from unit.connectivity.small_worlds import (
    LABELS,
    SELECTOR_PEERS,
    clusters,
    labels,
    of_kind,
    policies,
    policy,
)

DNS: dict[str, Any] = {
    "name": "DNS",
    "from": {"everyPod": True},
    "to": {"namespaces": ["kube-system"], "podLabels": {"k8s-app": "kube-dns"}},
    "ports": [53, "53/UDP"],
    "expect": "allow",
}
NO_DATABASE: dict[str, Any] = {
    "name": "no database",
    "from": {"podLabels": {"tier": "frontend"}},
    "to": {"podLabels": {"tier": "db"}},
    "expect": "deny",
}
SHOP = NamespaceFacts("shop", {"tenant": "x"})


def plan(*entries: Any, previous: ProfilePlan | None = None, assertions: Any = (DNS,)) -> ProfilePlan:
    spec = profile(*entries, assertions=list(assertions))
    return ProfilePlan(parse_profile(spec), builtin_templates(), previous)


def told(items: tuple[DesiredPolicy | Refusal, ...]) -> list[str]:
    return [item.message for item in items if isinstance(item, Refusal) and item.message]


def last_good(items: tuple[DesiredPolicy | Refusal, ...]) -> dict[str, str | None]:
    """What is kept up by name, for entries that are held back."""
    return {
        item.name: item.last_good.name if item.last_good else None
        for item in items
        if isinstance(item, Refusal) and item.entry
    }


# --- in a plan ---


def test_a_profile_whose_assertions_hold_is_as_without_them() -> None:
    with_them, without = plan("default-deny", "dns-egress"), plan("default-deny", "dns-egress", assertions=())
    assert with_them.refusals == ()
    assert with_them.desired(SHOP) == without.desired(SHOP)


def test_a_violated_assertion_holds_back_all_entries_and_is_told_once() -> None:
    found = plan("default-deny", "same-namespace").desired(SHOP)
    assert all(isinstance(item, Refusal) and item.reason == "AssertionFailed" for item in found)
    (message,) = told(found)
    assert message.startswith("DNS: a pod without labels → a pod with k8s-app=kube-dns in kube-system")
    assert "isolated for Egress by policy default-deny" in message


def test_the_last_good_policies_stay_also_those_that_the_change_leaves_out() -> None:
    good = plan("default-deny", "dns-egress")
    good.desired(SHOP)
    assert not good.refusals
    found = plan("default-deny", "same-namespace", previous=good).desired(SHOP)
    assert last_good(found) == {
        "p.default-deny": "p.default-deny",
        "p.same-namespace": None,
        "p.dns-egress": "p.dns-egress",
    }


def test_after_many_wrong_edits_the_last_good_policies_are_still_known() -> None:
    current = plan("default-deny", "dns-egress")
    for drift in ("Repair", "Report") * 5:
        spec = profile("default-deny", drift=drift, assertions=[DNS])
        current.desired(SHOP)
        assert current.refusals is not None
        current = ProfilePlan(parse_profile(spec), builtin_templates(), current)
    assert last_good(current.desired(SHOP))["p.dns-egress"] == "p.dns-egress"


def test_what_was_held_back_is_nothing_to_fall_back_on() -> None:
    good = plan("default-deny", "dns-egress")
    held = plan("default-deny", "same-namespace", previous=good)
    broken = plan("default-deny", "dns-egress", {"template": "gone", "name": "same-namespace"}, previous=held)
    (refusal,) = (item for item in broken.desired(SHOP) if isinstance(item, Refusal))
    assert refusal.reason == "TemplateNotFound"
    assert refusal.last_good is None


def test_a_problem_of_every_namespace_is_the_profiles_and_one_of_some_is_theirs() -> None:
    assert [r.reason for r in plan("default-deny").refusals] == ["AssertionFailed"]
    apart = {
        "name": "production is apart",
        "from": {"namespaceLabels": {"environment": "dev"}},
        "to": {"everyPod": True},
        "expect": "deny",
    }
    mixed = plan("default-deny", "environment-isolation", assertions=[apart])
    assert mixed.refusals == ()
    production = NamespaceFacts("a", {"tenant": "x", "environment": "production"})
    development = NamespaceFacts("b", {"tenant": "x", "environment": "dev"})
    assert not told(mixed.desired(production))
    assert told(mixed.desired(development))


def test_ten_thousand_namespaces_that_share_a_rendering_are_one_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = plan("default-deny", "dns-egress", "monitoring-scrape", assertions=[DNS, NO_DATABASE])
    assert not made.refusals
    monkeypatch.setattr("tenantprofile.assertions.profile.stage", None)
    for number in range(10_000):
        assert not told(made.desired(NamespaceFacts(f"shop-{number}", {"tenant": "x"})))


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (
            {"from": {"workload": "deployment/web"}},
            "spec.assertions[0].from.workload: found 'deployment/web'",
        ),
        ({"ports": ["http"]}, "spec.assertions[0].ports: found the name 'http'"),
        ({"from": {"namespaces": ["other"]}}, "leave the namespace out of one of them"),
        ({"expect": "perhaps"}, "spec.assertions[0].expect: found 'perhaps'"),
    ],
)
def test_what_cannot_be_decided_without_pods_is_refused(changed: Any, complaint: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(profile("default-deny", assertions=[DNS | changed]))
    assert complaint in str(caught.value)


def test_too_many_differences_are_a_violation_that_says_how_to_narrow_it() -> None:
    entries = [
        {
            "template": "allow-from-workload",
            "name": f"e{number}",
            "parameters": {
                "from": {"matchLabels": {f"a{number}": "x"}},
                "to": {"matchLabels": {f"b{number}": "x"}},
                "ports": [80],
            },
        }
        for number in range(8)
    ]
    (message,) = told(plan(*entries).desired(SHOP))
    assert "name podLabels to narrow it down" in message


# --- against pods that exist ---

OWN = st.one_of(
    st.just({"everyPod": True}),
    st.just({"anything": True}),
    st.builds(
        lambda inner: {"outside": inner}, st.fixed_dictionaries({"podLabels": labels(LABELS).filter(bool)})
    ),
)
OTHERS = st.one_of(
    OWN,
    st.just({"namespaces": ["green"]}),
    st.builds(
        lambda inner: {"outside": inner},
        st.fixed_dictionaries(
            {"namespaces": st.just(["green"])}, optional={"podLabels": labels(LABELS).filter(bool)}
        ),
    ),
)


def concrete(end: dict[str, Any]) -> dict[str, Any]:
    """The same end among objects: what a profile leaves out is its own namespace, here `red`."""
    if "outside" in end:
        return {"outside": concrete(end["outside"])}
    if end == {"everyPod": True}:
        return {"namespaces": ["red"]}
    if "anything" in end or "namespaces" in end:
        return end
    return {**end, "namespaces": ["red"]}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(policies(SELECTOR_PEERS), min_size=1, max_size=4),
    clusters(),
    OWN,
    OTHERS,
    st.booleans(),
    st.sampled_from(["allow", "deny"]),
    st.sampled_from([[80], [53, "53/UDP"], ["80-443"]]),
)
def test_an_assertion_that_holds_for_pods_that_could_exist_holds_for_those_that_do(
    drawn: list[Any], objects: list[Any], own: Any, other: Any, turned: bool, expect: str, ports: list[Any]
) -> None:
    specs = {f"policy-{index}": parse_spec(spec) for index, (_, spec) in enumerate(drawn)}
    spaces = {o["metadata"]["name"]: o["metadata"]["labels"] for o in of_kind(objects, "Namespace")}
    # Of a named namespace only what is stated is known; here nothing is, so it has no other labels.
    spaces["green"] = {}
    named = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": own_labels}}
        for name, own_labels in spaces.items()
    ]
    source, target = (other, own) if turned else (own, other)
    raw = {"name": "it", "expect": expect, "ports": ports}
    (asked,) = parse_assertions([{**raw, "from": source, "to": target}], ("a",))
    (real,) = parse_assertions([{**raw, "from": concrete(source), "to": concrete(target)}], ("a",))

    staged = stage(asked, specs, "red", spaces["red"])
    supposed = check_groups(ConnectionMap(staged.world), asked, staged.sources, staged.destinations)

    rules = [policy(index, "red", spec) for index, (_, spec) in enumerate(drawn)]
    world = World.from_objects([*named, *of_kind(objects, "Pod"), *rules])
    found = check(ConnectionMap(world), real)
    if supposed.status == "passed":
        assert found.status in ("passed", "error"), (supposed, found)
        assert found.violated == 0


@pytest.mark.parametrize("expect", ["allow", "deny"])
def test_a_named_port_may_have_any_number_so_neither_expectation_can_rely_on_it(expect: str) -> None:
    specs = {"named": parse_spec({"podSelector": {}, "ingress": [{"ports": [{"port": "web"}]}]})}
    raw = {
        "name": "it",
        "from": {"anything": True},
        "to": {"everyPod": True},
        "ports": [80],
        "expect": expect,
    }
    (asked,) = parse_assertions([raw], ("a",))
    staged = stage(asked, specs, "shop", {})
    result = check_groups(ConnectionMap(staged.world), asked, staged.sources, staged.destinations)
    assert result.status == "failed"
