"""An object that is not the operator's is never touched, unless it is handed over."""

from __future__ import annotations

import pytest

from client import Object, eventually, policies_of
from cluster.conftest import World

pytestmark = pytest.mark.usefixtures("operator")


def foreign(name: str, **metadata: object) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, **metadata},
        "spec": {"podSelector": {"matchLabels": {"app": "theirs"}}, "policyTypes": ["Ingress"]},
    }


def test_a_foreign_policy_of_the_same_name_is_left_alone_and_named(world: World) -> None:
    namespace = world.namespace(tenant="")
    name = f"{world.tag}.default-deny"
    world.client.apply(policies_of(namespace), foreign(name), manager="tenant-ci")
    before = world.policy(namespace, name)
    profile = world.profile("default-deny", "dns-egress")
    healthy = world.namespace()
    world.relabel(namespace, tenant=world.tag)
    status = world.is_degraded("Conflict")
    assert f"{namespace}/{name}" in status["problems"][0]["message"]
    assert "tenant-ci" in status["problems"][0]["message"]
    assert status["problems"][0]["namespace"] == namespace
    # The others of the namespace, and the other namespaces, are not held up.
    eventually(lambda: f"{profile}.dns-egress" in world.names(namespace))
    world.has(healthy, f"{profile}.default-deny", f"{profile}.dns-egress")
    assert world.policy(namespace, name) == before
    assert eventually(lambda: world.events(namespace, "Conflict"))


def test_a_foreign_policy_is_adopted_when_its_owner_says_so(world: World) -> None:
    namespace = world.namespace(tenant="")
    name = f"{world.tag}.default-deny"
    world.client.apply(
        policies_of(namespace),
        foreign(
            name, annotations={"tenantprofile.dev/adopt": world.tag, "note": "kept"}, labels={"kept": "yes"}
        ),
    )
    uid = world.policy(namespace, name)["metadata"]["uid"]
    world.profile("default-deny")
    world.relabel(namespace, tenant=world.tag)
    world.is_ready()
    after = eventually(lambda: world.policy(namespace, name))
    assert after["metadata"]["uid"] == uid
    assert after["spec"]["podSelector"] == {}
    assert after["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert after["metadata"]["labels"]["kept"] == "yes"
    assert after["metadata"]["annotations"]["note"] == "kept"
    assert eventually(
        lambda: [e for e in world.events("default", "PolicyAdopted") if namespace in e["message"]]
    )


def copy_of_ours(world: World, name: str, **metadata: object) -> Object:
    """What a restored backup leaves: our labels, and neither ledger nor seal."""
    labels = {
        "app.kubernetes.io/managed-by": "tenantprofile-operator",
        "tenantprofile.dev/profile": world.tag,
        "tenantprofile.dev/policy": "default-deny",
    }
    return foreign(name, labels=labels, **metadata)


def test_a_copy_of_one_of_ours_is_adopted_when_its_owner_says_so(world: World) -> None:
    namespace = world.namespace(tenant="")
    name = f"{world.tag}.default-deny"
    world.client.apply(policies_of(namespace), copy_of_ours(world, name))
    uid = world.policy(namespace, name)["metadata"]["uid"]
    world.profile("default-deny")
    world.relabel(namespace, tenant=world.tag)
    world.is_degraded("Conflict")
    assert world.policy(namespace, name)["spec"]["podSelector"] == {"matchLabels": {"app": "theirs"}}

    world.client.merge(
        f"{policies_of(namespace)}/{name}",
        {"metadata": {"annotations": {"tenantprofile.dev/adopt": world.tag}}},
    )

    world.is_ready()
    assert world.policy(namespace, name)["spec"]["podSelector"] == {}
    assert world.policy(namespace, name)["metadata"]["uid"] == uid


def test_a_copy_of_one_of_ours_is_replaced_when_the_profile_says_so(world: World) -> None:
    namespace = world.namespace(tenant="")
    name = f"{world.tag}.default-deny"
    world.client.apply(policies_of(namespace), copy_of_ours(world, name))
    world.profile("default-deny", conflicts="Replace")
    world.relabel(namespace, tenant=world.tag)
    world.is_ready()
    assert world.policy(namespace, name)["spec"]["podSelector"] == {}
    assert "theirs" in world.policy(namespace, name)["metadata"]["annotations"]["tenantprofile.dev/replaced"]


def test_a_policy_meant_for_another_profile_is_not_adopted(world: World) -> None:
    namespace = world.namespace()
    name = f"{world.tag}.default-deny"
    world.client.apply(
        policies_of(namespace), foreign(name, annotations={"tenantprofile.dev/adopt": "another"})
    )
    world.profile("default-deny")
    world.is_degraded("Conflict")
    assert world.policy(namespace, name)["spec"]["podSelector"] == {"matchLabels": {"app": "theirs"}}


def test_a_copy_of_our_label_on_a_foreign_policy_does_not_get_it_removed(world: World) -> None:
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    labels = world.policy(namespace, f"{profile}.default-deny")["metadata"]["labels"]
    world.client.apply(policies_of(namespace), foreign("theirs", labels=labels))
    other = world.namespace()
    world.has(other, f"{profile}.default-deny")
    # A pass over the namespace (its deny deleted and brought back) leaves the copy where it is.
    world.client.delete(f"{policies_of(namespace)}/{profile}.default-deny")
    world.has(namespace, "theirs", f"{profile}.default-deny")


def test_when_the_conflict_is_removed_the_policy_arrives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = world.namespace()
    name = f"{world.tag}.default-deny"
    world.client.apply(policies_of(namespace), foreign(name))
    world.profile("default-deny")
    world.is_degraded("Conflict")
    world.client.delete(f"{policies_of(namespace)}/{name}")
    world.is_ready(within=60)
    assert world.policy(namespace, name)["spec"]["podSelector"] == {}
