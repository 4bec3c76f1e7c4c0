"""The plan for one namespace, as values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan
from tenantprofile.planning.observed import Observed, observe
from tenantprofile.planning.plan import Create, Replace, plan
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


def names(policies: list[DesiredPolicy]) -> set[str]:
    return {policy.name for policy in policies}


def test_nothing_is_done_when_everything_is_as_desired() -> None:
    policies = desired(*NAMES)
    steps = plan(
        policies, {p.name: stored(p) for p in policies}, owned=names(policies), removable=names(policies)
    )
    assert steps.is_empty
    assert steps.holding == tuple(policies)


def test_allowances_are_written_before_denies_and_removed_after_them() -> None:
    policies = desired(*NAMES)
    steps = plan(policies, {}, owned=(), removable=())
    assert [[w.desired.entry for w in phase] for phase in steps.writes] == [
        ["dns-egress", "same-namespace", "monitoring-scrape"],
        ["default-deny"],
    ]
    removal = plan(
        [], {p.name: stored(p) for p in policies}, owned=names(policies), removable=names(policies)
    )
    assert [[d.name for d in phase] for phase in removal.deletes] == [
        ["p.default-deny"],
        ["p.dns-egress", "p.monitoring-scrape", "p.same-namespace"],
    ]


def test_in_a_namespace_where_nothing_runs_yet_everything_is_written_at_once() -> None:
    steps = plan(desired(*NAMES), {}, owned=(), removable=(), empty_before=True)
    assert [len(phase) for phase in steps.writes] == [4]


def test_a_change_by_others_is_drift_and_a_change_of_the_profile_is_not() -> None:
    (before,) = desired("default-deny")
    (after,) = desired({"template": "default-deny", "purpose": "new"})
    by_others = plan(
        [before], {before.name: stored(before, digest="other")}, owned={before.name}, removable=()
    )
    assert [w.drifted for p in by_others.writes for w in p if isinstance(w, Replace)] == [True]
    by_profile = plan([after], {before.name: stored(before)}, owned={before.name}, removable=())
    assert [w.drifted for p in by_profile.writes for w in p if isinstance(w, Replace)] == [False]


def test_a_policy_that_was_deleted_by_others_is_told_from_one_that_never_was() -> None:
    policies = desired("default-deny", "dns-egress")
    steps = plan(policies, {}, owned={"p.default-deny"}, removable=(), lost={"p.default-deny": ""})
    creates = [w for phase in steps.writes for w in phase if isinstance(w, Create)]
    assert {w.desired.entry: w.lost for w in creates} == {"default-deny": True, "dns-egress": False}


def test_what_is_not_ours_is_neither_replaced_nor_removed() -> None:
    (policy,) = desired("default-deny")
    foreign = stored(policy, digest="other")
    steps = plan([policy], {policy.name: foreign, "p.else": foreign}, owned=(), removable=())
    assert steps.is_empty
    assert steps.conflicts == (policy,)


def test_a_change_that_forges_the_applied_digest_is_drift_all_the_same() -> None:
    (policy,) = desired("default-deny")
    forged = stored(policy, digest="open", applied="open")
    steps = plan(
        [policy],
        {policy.name: forged},
        owned={policy.name},
        removable=(),
        written={policy.name: policy.digest},
    )
    assert [write.undoes_drift for phase in steps.writes for write in phase] == [True]


def test_a_lost_policy_of_which_the_profile_wants_another_form_is_no_drift() -> None:
    (before,) = desired("default-deny")
    (after,) = desired({"template": "default-deny", "purpose": "new"})
    lost = {before.name: before.digest}
    for policy, undoes in ((before, True), (after, False)):
        steps = plan([policy], {}, owned={policy.name}, removable=(), lost=lost)
        assert [write.undoes_drift for phase in steps.writes for write in phase] == [undoes]


def test_what_was_ours_and_lost_its_label_is_removed_by_its_name() -> None:
    steps = plan([], {}, owned={"p.default-deny"}, removable={"p.default-deny"})
    assert [(delete.name, delete.observed) for delete in steps.removals] == [("p.default-deny", None)]


@given(
    wanted=st.sets(st.sampled_from(NAMES)),
    there=st.dictionaries(st.sampled_from(NAMES), st.tuples(st.booleans(), st.booleans())),
    removable=st.sets(st.sampled_from([f"p.{name}" for name in NAMES])),
    kept=st.sets(st.sampled_from([f"p.{name}" for name in NAMES])),
)
def test_whatever_is_there_the_plan_leads_to_the_desired_state_and_spares_the_rest(
    wanted: set[str],
    there: dict[str, tuple[bool, bool]],
    removable: set[str],
    kept: set[str],
) -> None:
    everything = {p.entry: p for p in desired(*NAMES)}
    policies = [everything[name] for name in sorted(wanted) if f"p.{name}" not in kept]
    observed = {
        everything[name].name: stored(everything[name], **({} if intact else {"digest": "changed"}))
        for name, (_, intact) in there.items()
    }
    owned = {everything[name].name for name, (ours, _) in there.items() if ours}
    steps = plan(policies, observed, owned=owned, removable=removable, kept_names=kept)
    after = {name: seen.digest for name, seen in observed.items()}
    for phase in steps.writes:
        for write in phase:
            assert write.desired.name not in observed or write.desired.name in owned
            after[write.desired.name] = write.desired.digest
    for removal in steps.removals:
        assert removal.name in owned & removable
        assert removal.name not in kept
        del after[removal.name]
    conflicts = {policy.name for policy in steps.conflicts}
    for policy in policies:
        assert policy.name in conflicts or after[policy.name] == policy.digest
    for name in kept & set(observed):
        assert after[name] == observed[name].digest
