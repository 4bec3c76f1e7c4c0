"""Whatever anybody does to a managed policy, it ends as the profile wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from client import Object, eventually, policies_of
from cluster.conftest import World, quiet
from operatorprocess import OperatorProcess
from referee import Referee

pytestmark = pytest.mark.usefixtures("operator")

DENY = "default-deny"


@pytest.fixture
def policy(world: World) -> tuple[str, str]:
    """A namespace with a default deny and a DNS allowance; its name and the deny's."""
    profile = world.profile(DENY, "dns-egress")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.{DENY}", f"{profile}.dns-egress")
    world.is_ready()
    return namespace, f"{profile}.{DENY}"


def essence(body: Object) -> Object:
    """What is ours in a policy."""
    metadata = body["metadata"]
    return {
        "spec": body["spec"],
        "labels": metadata.get("labels"),
        "annotations": metadata.get("annotations"),
        "ownerReferences": metadata.get("ownerReferences"),
        "uid": metadata["uid"],
    }


@pytest.mark.parametrize(
    "edit",
    [
        {"spec": {"egress": [{}]}},
        {"spec": {"ingress": [{}]}},
        {"spec": {"ingress": [{"from": []}], "egress": [{}]}},
        {"spec": {"policyTypes": ["Egress"]}},
        {"spec": {"podSelector": {"matchLabels": {"never": "there"}}}},
        {"metadata": {"labels": {"tenantprofile.dev/profile": None}}},
        {"metadata": {"labels": {"tenantprofile.dev/profile": "another", "tenantprofile.dev/policy": "x"}}},
        {"metadata": {"labels": None}},
        {"metadata": {"annotations": None}},
        {"metadata": {"annotations": {"tenantprofile.dev/applied-digest": "0" * 24}}},
        {"metadata": {"ownerReferences": None}},
        {"metadata": {"labels": None, "annotations": None}, "spec": {"egress": [{}]}},
    ],
    ids=str,
)
def test_an_edit_is_undone(world: World, policy: tuple[str, str], edit: Any) -> None:
    namespace, name = policy
    before = essence(world.policy(namespace, name))
    world.client.merge(f"{policies_of(namespace)}/{name}", edit, manager="kubectl-edit")
    eventually(lambda: essence(world.policy(namespace, name)) == before)


def test_a_key_added_by_another_applier_is_undone(world: World, policy: tuple[str, str]) -> None:
    # Server-side apply leaves what others added; the repair replaces the whole spec instead.
    namespace, name = policy
    before = essence(world.policy(namespace, name))
    intent = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, "egress": [{}], "policyTypes": ["Ingress", "Egress"]},
    }
    world.client.apply(policies_of(namespace), intent, manager="tenant-tool")
    eventually(lambda: essence(world.policy(namespace, name)) == before)


def test_a_deleted_policy_comes_back(world: World, policy: tuple[str, str]) -> None:
    namespace, name = policy
    before = essence(world.policy(namespace, name))
    world.client.delete(f"{policies_of(namespace)}/{name}")
    after = eventually(lambda: essence(world.policy(namespace, name)))
    assert {**after, "uid": 0} == {**before, "uid": 0}


def test_all_policies_deleted_at_once_come_back(world: World, policy: tuple[str, str]) -> None:
    namespace, _ = policy
    names = world.names(namespace)
    world.client.request("DELETE", policies_of(namespace))
    eventually(lambda: world.names(namespace) == names)


def test_foreign_labels_and_annotations_are_kept(world: World, policy: tuple[str, str]) -> None:
    namespace, name = policy
    foreign = {"labels": {"cost-centre": "42"}, "annotations": {"note": "reviewed"}}
    world.client.merge(f"{policies_of(namespace)}/{name}", {"metadata": foreign, "spec": {"ingress": [{}]}})
    eventually(lambda: "ingress" not in world.policy(namespace, name)["spec"])
    metadata = world.policy(namespace, name)["metadata"]
    assert metadata["labels"]["cost-centre"] == "42"
    assert metadata["annotations"]["note"] == "reviewed"
    # and a change of the profile keeps them as well
    world.profile({"template": DENY, "purpose": "changed"}, "dns-egress")
    eventually(
        lambda: (
            world.policy(namespace, name)["metadata"]["annotations"]["tenantprofile.dev/purpose"] == "changed"
        )
    )
    assert world.policy(namespace, name)["metadata"]["labels"]["cost-centre"] == "42"


def test_foreign_metadata_alone_is_no_drift(world: World, policy: tuple[str, str], referee: Referee) -> None:
    namespace, name = policy
    world.client.merge(f"{policies_of(namespace)}/{name}", {"metadata": {"labels": {"cost-centre": "42"}}})
    seen = quiet(referee, 1.5)
    assert [s.manager for s in referee.of(namespace)] == ["someone"], seen


def test_status_and_events_tell_who_changed_what(world: World, policy: tuple[str, str]) -> None:
    namespace, name = policy
    world.client.merge(f"{policies_of(namespace)}/{name}", {"spec": {"egress": [{}]}}, manager="kubectl-edit")
    drift = eventually(lambda: world.status()["drift"]["repaired"] and world.status()["drift"])
    assert drift["repaired"] == 1
    assert drift["lastRepair"] == f"{namespace}/{name}: spec.egress changed by kubectl-edit"
    events = eventually(lambda: world.events(namespace, "PolicyRepaired"))
    assert "spec.egress changed by kubectl-edit" in events[0]["message"]
    events = eventually(
        lambda: [e for e in world.events("default", "PolicyRepaired") if namespace in e["message"]]
    )
    assert events[0]["involvedObject"]["name"] == world.tag


def test_with_report_drift_is_told_and_left(world: World, referee: Referee) -> None:
    profile = world.profile(DENY, "dns-egress", drift="Report")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.{DENY}", f"{profile}.dns-egress")
    world.is_ready()
    world.client.merge(
        f"{policies_of(namespace)}/{profile}.{DENY}", {"spec": {"egress": [{}]}}, manager="kubectl"
    )
    status = world.is_degraded("Drifted")
    assert "spec.egress changed by kubectl" in status["problems"][0]["message"]
    assert status["problems"][0]["policy"] == DENY
    world.client.delete(f"{policies_of(namespace)}/{profile}.dns-egress")
    eventually(lambda: world.status()["problemsTotal"] == 2)
    assert not [s for s in quiet(referee, 1.0) if s.manager == "tenantprofile-operator"]
    # The profile itself may still change the policies, and Repair takes the drift away again.
    world.profile(DENY, "dns-egress", drift="Repair")
    world.has(namespace, f"{profile}.{DENY}", f"{profile}.dns-egress")
    eventually(lambda: "egress" not in world.policy(namespace, f"{profile}.{DENY}")["spec"])
    world.is_ready()


def test_a_suspended_profile_writes_nothing(world: World, policy: tuple[str, str], referee: Referee) -> None:
    namespace, name = policy
    world.profile(DENY, "dns-egress", suspend=True)
    eventually(lambda: world.condition("Ready")["reason"] == "Suspended")
    world.client.merge(f"{policies_of(namespace)}/{name}", {"spec": {"egress": [{}]}}, manager="kubectl")
    another = world.namespace()
    assert not [s for s in quiet(referee, 1.5) if s.manager == "tenantprofile-operator"]
    world.profile(DENY, "dns-egress", suspend=False)
    eventually(lambda: "egress" not in world.policy(namespace, name)["spec"])
    eventually(lambda: len(world.names(another)) == 2)


def test_two_writers_that_fight_are_noticed_and_named(world: World, policy: tuple[str, str]) -> None:
    namespace, name = policy

    def fight() -> bool:
        world.client.merge(
            f"{policies_of(namespace)}/{name}", {"spec": {"egress": [{}]}}, manager="other-tool"
        )
        eventually(lambda: "egress" not in world.policy(namespace, name)["spec"] or contested())
        return contested()

    def contested() -> bool:
        return any(p["reason"] == "Contested" for p in world.status().get("problems") or [])

    eventually(fight, within=30)
    problem = next(p for p in world.status()["problems"] if p["reason"] == "Contested")
    assert "other-tool" in problem["message"]
    # It is put right at once all the same, and when the fight is over the profile is Ready again.
    eventually(lambda: "egress" not in world.policy(namespace, name)["spec"], within=5)
    world.is_ready(within=60)


def test_drift_while_the_operator_was_down_is_repaired(
    world: World, policy: tuple[str, str], start: Callable[..., OperatorProcess], operator: OperatorProcess
) -> None:
    namespace, name = policy
    operator.stop()
    world.client.delete(f"{policies_of(namespace)}/{world.tag}.dns-egress")
    world.client.merge(f"{policies_of(namespace)}/{name}", {"spec": {"egress": [{}]}})
    another = world.namespace()
    start()
    world.has(namespace, name, f"{world.tag}.dns-egress")
    world.has(another, name, f"{world.tag}.dns-egress")
    eventually(lambda: "egress" not in world.policy(namespace, name)["spec"])
