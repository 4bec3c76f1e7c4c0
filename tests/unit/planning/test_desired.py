"""Desired policies are a pure function of profile, templates and namespace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan, Refusal
from tenantprofile.planning.observed import observe
from tenantprofile.planning.profile import Profile, ProfileError, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import builtin_templates, load_policy_template

BUILT_IN = builtin_templates()


def raw(*entries: Any, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "uid": "1"},
        "spec": {
            "namespaceSelector": {"matchLabels": {"a": "b"}},
            "policies": [{"template": e} if isinstance(e, str) else e for e in entries],
            **spec,
        },
    }


def plan(*entries: Any, previous: ProfilePlan | None = None, **spec: Any) -> ProfilePlan:
    return ProfilePlan(parse_profile(raw(*entries, **spec)), BUILT_IN, previous)


def facts(name: str = "ns", **labels: str) -> NamespaceFacts:
    return NamespaceFacts(name, {"kubernetes.io/metadata.name": name} | labels, {})


def bodies(items: tuple[DesiredPolicy | Refusal, ...]) -> list[bytes]:
    assert all(isinstance(item, DesiredPolicy) for item in items), items
    return [item.body() for item in items if isinstance(item, DesiredPolicy)]


def shuffled(value: Any, order: int) -> Any:
    """The same data with its keys in another order."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: hash((key, order)))
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


@given(order=st.integers(), labels=st.permutations([("x", "1"), ("y", "2"), ("environment", "dev")]))
def test_the_same_input_gives_the_same_bytes_in_any_order(order: int, labels: list[tuple[str, str]]) -> None:
    spec = raw(
        {"template": "default-deny", "parameters": {"podSelector": {"matchLabels": {"a": "1", "b": "2"}}}},
        "environment-isolation",
        {"template": "dns-egress", "purpose": "names", "owner": "me"},
    )
    one = ProfilePlan(parse_profile(spec), BUILT_IN).desired(facts(x="1", y="2", environment="dev"))
    other = ProfilePlan(parse_profile(shuffled(spec, order)), dict(reversed(BUILT_IN.items()))).desired(
        NamespaceFacts("ns", dict([*labels, ("kubernetes.io/metadata.name", "ns")]), {})
    )
    assert bodies(one) == bodies(other)


def test_what_is_sent_is_what_is_recognised_when_it_comes_back() -> None:
    for deletion_policy in ("Delete", "Retain"):
        items = plan("default-deny", "dns-egress", deletionPolicy=deletion_policy).desired(facts())
        for item in items:
            assert isinstance(item, DesiredPolicy)
            body = item.manifest("ns")
            body["metadata"] |= {"uid": "u", "resourceVersion": "7"}
            seen = observe(body)
            assert seen.digest == seen.applied == item.digest
            sent = json.loads(item.body("0123456789abcdef", "7"))["metadata"]
            assert sent["resourceVersion"] == "7"
            assert sent["annotations"]["tenantprofile.dev/seal"] == "0123456789abcdef"
            assert "ownerReferences" not in sent
            assert seen.owner_uid is None


def test_a_template_that_uses_nothing_of_the_namespace_is_rendered_once() -> None:
    made = plan("default-deny", "dns-egress")
    assert made.desired(facts("one")) is made.desired(facts("two", x="y"))


def test_a_template_that_uses_labels_follows_them() -> None:
    made = plan("environment-isolation")
    dev, prod = (bodies(made.desired(facts(environment=name))) for name in ("dev", "prod"))
    assert dev != prod
    assert bodies(made.desired(facts("another", environment="dev"))) == dev


def test_no_two_profiles_meet_in_one_object_name() -> None:
    # a.b + c and a + b.c cannot both be: an entry's name has no dots.
    with pytest.raises(ProfileError, match=r"b\.c"):
        parse_profile(raw({"template": "default-deny", "name": "b.c"}))


def test_a_refused_entry_falls_back_on_what_it_yielded_before() -> None:
    good = plan("default-deny", {"template": "dns-egress", "parameters": {"provider": ["kube-dns"]}})
    (_, before) = good.desired(facts())
    wrong = {"template": "dns-egress", "parameters": {"provider": ["nonsense"]}}
    worse = plan("default-deny", wrong, previous=good)
    for _ in range(6):  # however often it is edited without being mended
        worse = plan("default-deny", wrong, previous=worse)
        (deny, refusal) = worse.desired(facts())
        assert isinstance(deny, DesiredPolicy)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "InvalidParameters"
        assert refusal.last_good == before
    assert worse.refusals
    mended = plan("default-deny", "dns-egress", previous=worse)
    assert not mended.refusals


def test_parameters_of_the_profile_are_defaults_for_its_entries() -> None:
    entry = {"template": "dns-egress", "parameters": {"provider": ["openshift"]}}
    shared = bodies(plan("dns-egress", parameters={"provider": ["openshift"]}).desired(facts()))
    assert shared == bodies(plan(entry).desired(facts()))
    assert shared == bodies(plan(entry, parameters={"provider": ["kube-dns"]}).desired(facts()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"namespaceSelector": {}}, ["spec.namespaceSelector", "selectAllNamespaces"]),
        ({"namespaceSelector": None}, ["spec.namespaceSelector", "selectAllNamespaces"]),
        (
            {"namespaceSelector": {"matchLabels": {"a": 1}}},
            ["spec.namespaceSelector", "matchLabels", "1", "63"],
        ),
        ({"policies": []}, ["spec.policies"]),
        ({"policies": [{"template": "x"}, {"template": "y", "name": "x"}]}, ["'x' a second time"]),
        ({"drift": "Ignore"}, ["spec.drift", "'Ignore'", "Repair or Report"]),
        ({"suspend": "yes"}, ["spec.suspend", "'yes'"]),
        ({"excludedNamespaces": "x"}, ["spec.excludedNamespaces", "list"]),
    ],
    ids=str,
)
def test_a_wrong_profile_names_field_value_and_remedy(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ProfileError) as error:
        parse_profile(raw("default-deny", **change))
    for word in words:
        assert word in str(error.value)


def test_a_profile_name_that_is_no_label_value_is_refused() -> None:
    document = raw("default-deny")
    document["metadata"]["name"] = "a" * 64
    with pytest.raises(ProfileError, match="63"):
        parse_profile(document)


def selects(profile: Profile, namespace: str, **labels: str) -> bool:
    return profile.selects(namespace, labels, operator_namespace="tenantprofile-system")


def test_system_namespaces_are_selected_only_by_name() -> None:
    everything = parse_profile(raw("default-deny", namespaceSelector={}, selectAllNamespaces=True))
    assert selects(everything, "any")
    for system in ("kube-system", "default", "tenantprofile-system"):
        assert not selects(everything, system)
    named = parse_profile(
        raw(
            "default-deny",
            namespaceSelector={},
            selectAllNamespaces=True,
            includedSystemNamespaces=["default"],
            excludedNamespaces=["any"],
        )
    )
    assert selects(named, "default")
    assert not selects(named, "any")
    assert not selects(named, "kube-system")


def test_a_template_of_the_cluster_is_judged_like_a_built_in() -> None:
    own = load_policy_template(
        {
            "metadata": {"name": "own"},
            "spec": {"description": "", "template": "podSelector: {}\ningress: [{}]\n"},
        }
    )
    made = ProfilePlan(parse_profile(raw("own")), {**BUILT_IN, "own": own})
    (refusal,) = made.refusals
    assert refusal.reason == "PolicyRefused"
    assert "policyTypes" in refusal.message


def test_what_an_entry_falls_back_on_is_each_namespace_s_own() -> None:
    """A template that printed the namespace's name, and cannot be used any more."""
    own = load_policy_template(
        {
            "metadata": {"name": "own"},
            "spec": {
                "template": "podSelector:\n  matchLabels: {ns: {{ namespace.name }}}\npolicyTypes: [Ingress]\n"
            },
        }
    )
    before = ProfilePlan(parse_profile(raw("own")), {"own": own})
    (one,), (other,) = before.desired(facts("one")), before.desired(facts("other"))
    after = ProfilePlan(parse_profile(raw("own")), {}, before, {"own": "broken"})
    for namespace, was in (("one", one), ("other", other), ("one", one)):
        (refusal,) = after.desired(facts(namespace))
        assert isinstance(refusal, Refusal)
        assert refusal.last_good == was
