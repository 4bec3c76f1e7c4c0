"""The plan for one namespace, as values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan
from tenantprofile.planning.observed import Observed, observe
from tenantprofile.planning.plan import Create, Replace, difference
from tenantprofile.planning.profile import Profile, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import builtin_templates

NAMES = ["default-deny", "dns-egress", "same-namespace", "monitoring-scrape"]
NAMESPACE = NamespaceFacts("ns", {"kubernetes.io/metadata.name": "ns"}, {})


def profile(*entries: Any, name: str = "p", uid: str = "1", **spec: Any) -> Profile:
    policies = [{"template": e} if isinstance(e, str) else e for e in entries]
    return parse_profile(
        {
            "metadata": {"name": name, "uid": uid},
            "spec": {"namespaceSelector": {"matchLabels": {"a": "b"}}, "policies": policies, **spec},
        }
    )


def desired(*entries: Any, **options: Any) -> list[DesiredPolicy]:
    items = ProfilePlan(profile(*entries, **options), builtin_templates()).desired(NAMESPACE)
    assert all(isinstance(item, DesiredPolicy) for item in items), items
    return list(items)  # type: ignore[arg-type]


def stored(policy: DesiredPolicy, **changes: Any) -> Observed:
    """A desired policy as the API server would hand it back, with some facts changed."""
    body = policy.manifest("ns")
    body["metadata"] |= {
        "uid": "u-" + policy.name,
        "resourceVersion": "1",
        "managedFields": [{"manager": "tenantprofile-operator"}],
    }
    return replace(observe(body), **changes)


def test_nothing_is_done_when_everything_is_as_desired() -> None:
    policies = desired(*NAMES)
    plan = difference(policies, {p.name: stored(p) for p in policies}, removable={"p"})
    assert plan.is_empty
    assert plan.holding == tuple(policies)


def test_allowances_are_written_before_denies_and_removed_after_them() -> None:
    policies = desired(*NAMES)
    plan = difference(policies, {}, removable={"p"})
    assert [[w.desired.entry for w in phase] for phase in plan.writes] == [
        ["dns-egress", "same-namespace", "monitoring-scrape"],
        ["default-deny"],
    ]
    removal = difference([], {p.name: stored(p) for p in policies}, removable={"p"})
    assert [[d.name for d in phase] for phase in removal.deletes] == [
        ["p.default-deny"],
        ["p.dns-egress", "p.same-namespace", "p.monitoring-scrape"],
    ]


def test_in_a_namespace_where_nothing_runs_yet_everything_is_written_at_once() -> None:
    plan = difference(desired(*NAMES), {}, removable={"p"}, empty_before=True)
    assert [len(phase) for phase in plan.writes] == [4]


def test_a_change_by_others_is_drift_and_a_change_of_the_profile_is_not() -> None:
    (before,) = desired("default-deny")
    (after,) = desired({"template": "default-deny", "purpose": "new"})
    by_others = difference([before], {before.name: stored(before, digest="other")}, removable=())
    assert [w.drifted for p in by_others.writes for w in p if isinstance(w, Replace)] == [True]
    by_profile = difference([after], {before.name: stored(before)}, removable=())
    assert [w.drifted for p in by_profile.writes for w in p if isinstance(w, Replace)] == [False]


def test_a_policy_that_was_deleted_by_others_is_told_from_one_that_never_was() -> None:
    policies = desired("default-deny", "dns-egress")
    plan = difference(policies, {}, removable=(), lost={"p.default-deny"})
    creates = [w for phase in plan.writes for w in phase if isinstance(w, Create)]
    assert {w.desired.entry: w.lost for w in creates} == {"default-deny": True, "dns-egress": False}


def test_what_is_not_ours_is_neither_replaced_nor_removed() -> None:
    (policy,) = desired("default-deny")
    foreign = stored(policy, ours=False, digest="other")
    plan = difference([policy], {policy.name: foreign, "p.else": foreign}, removable={"p"})
    assert plan.is_empty
    assert plan.conflicts == (policy,)


@given(
    wanted=st.sets(st.sampled_from(NAMES)),
    there=st.dictionaries(
        st.sampled_from(NAMES), st.tuples(st.booleans(), st.booleans(), st.sampled_from(["p", "q"]))
    ),
    removable=st.sets(st.sampled_from(["p", "q"])),
    kept=st.sets(st.sampled_from([f"p.{name}" for name in NAMES])),
)
def test_whatever_is_there_the_plan_leads_to_the_desired_state_and_spares_the_rest(
    wanted: set[str],
    there: dict[str, tuple[bool, bool, str]],
    removable: set[str],
    kept: set[str],
) -> None:
    everything = {p.entry: p for p in desired(*NAMES)}
    policies = [everything[name] for name in sorted(wanted) if f"p.{name}" not in kept]
    observed = {
        everything[name].name: stored(
            everything[name],
            ours=ours,
            profile=owner,
            **({} if intact else {"digest": "changed"}),
        )
        for name, (ours, intact, owner) in there.items()
    }
    plan = difference(policies, observed, removable=removable, kept_names=kept)
    after = {name: seen.digest for name, seen in observed.items()}
    for phase in plan.writes:
        for write in phase:
            assert observed.get(write.desired.name) is None or observed[write.desired.name].ours
            after[write.desired.name] = write.desired.digest
    for phase in plan.deletes:
        for removal in phase:
            assert removal.observed.ours
            assert removal.observed.profile in removable
            assert removal.name not in kept
            del after[removal.name]
    conflicts = {policy.name for policy in plan.conflicts}
    for policy in policies:
        assert policy.name in conflicts or after[policy.name] == policy.digest
    for name in kept & set(observed):
        assert after[name] == observed[name].digest
