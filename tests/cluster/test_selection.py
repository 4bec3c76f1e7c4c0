"""Which namespaces hold a profile's policies, and from when to when."""

from __future__ import annotations

import time

import pytest

from client import NAMESPACES, PROFILES, eventually
from cluster.conftest import World
from operatorprocess import OperatorProcess

pytestmark = pytest.mark.usefixtures("operator")


def test_a_new_namespace_gets_its_policies(world: World) -> None:
    profile = world.profile("default-deny", {"template": "dns-egress"})
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")
    status = world.is_ready()
    assert status["namespaces"] == {"selected": 1, "ready": 1, "failing": 0, "summary": "1/1"}
    assert status["policies"] == {"desired": 2, "ready": 2}


def test_a_namespace_that_exists_already_gets_its_policies(world: World) -> None:
    namespace = world.namespace()
    profile = world.profile("default-deny")
    world.has(namespace, f"{profile}.default-deny")


def test_labelling_a_namespace_selects_it_and_unlabelling_releases_it(world: World) -> None:
    profile = world.profile("default-deny", "dns-egress")
    namespace = world.namespace(tenant="")
    other = world.namespace()
    world.has(other, f"{profile}.default-deny", f"{profile}.dns-egress")
    assert world.names(namespace) == set()
    world.relabel(namespace, tenant=world.tag)
    world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")
    world.relabel(namespace, tenant=None)
    world.has(namespace)
    assert len(world.names(other)) == 2
    assert eventually(lambda: world.status()["namespaces"]["summary"] == "1/1")


def test_match_expressions_select_too(world: World) -> None:
    world.profile(
        "default-deny",
        namespaceSelector={
            "matchExpressions": [
                {"key": "tenant", "operator": "In", "values": [world.tag]},
                {"key": "frozen", "operator": "DoesNotExist"},
            ]
        },
    )
    chosen, frozen = world.namespace(), world.namespace(frozen="yes")
    world.has(chosen, f"{world.tag}.default-deny")
    assert world.names(frozen) == set()


def test_an_entry_that_is_removed_takes_its_policy_along(world: World) -> None:
    namespace = world.namespace()
    profile = world.profile("default-deny", "dns-egress", "same-namespace")
    world.has(namespace, *(f"{profile}.{name}" for name in ("default-deny", "dns-egress", "same-namespace")))
    world.profile("default-deny", "dns-egress")
    world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")


def test_a_changed_parameter_reaches_every_namespace_in_place(world: World) -> None:
    namespaces = [world.namespace() for _ in range(5)]
    entry = {"template": "default-deny", "parameters": {"directions": ["Ingress"]}}
    profile = world.profile(entry)
    name = f"{profile}.default-deny"
    for namespace in namespaces:
        world.has(namespace, name)
    before = {namespace: world.policy(namespace, name)["metadata"]["uid"] for namespace in namespaces}
    world.profile(entry | {"parameters": {"directions": ["Ingress", "Egress"]}})
    for namespace in namespaces:
        eventually(lambda n=namespace: world.policy(n, name)["spec"]["policyTypes"] == ["Ingress", "Egress"])
        assert world.policy(namespace, name)["metadata"]["uid"] == before[namespace]


def test_system_namespaces_and_the_operators_own_are_left_out_unless_named(world: World) -> None:
    profile = world.profile(
        {
            "template": "default-deny",
            "parameters": {"directions": ["Egress"], "podSelector": {"matchLabels": {"no": "pod"}}},
        },
        namespaceSelector={
            "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]
        },
        includedSystemNamespaces=["kube-public"],
    )
    world.has("kube-public", f"{profile}.default-deny")
    world.is_ready()
    for namespace in ("kube-system", "kube-node-lease", "default", "tenantprofile-system"):
        assert f"{profile}.default-deny" not in world.names(namespace)
    world.profile("default-deny")
    world.has("kube-public")


def test_excluded_namespaces_are_left_out(world: World) -> None:
    kept, left_out = world.namespace(), world.namespace()
    profile = world.profile("default-deny", excludedNamespaces=[left_out])
    world.has(kept, f"{profile}.default-deny")
    world.is_ready()
    assert world.names(left_out) == set()


def test_several_profiles_add_up_in_one_namespace(world: World) -> None:
    namespace = world.namespace()
    first = world.profile("default-deny")
    second = world.profile("default-deny", "dns-egress", name=f"{world.tag}-b")
    wanted = {f"{first}.default-deny", f"{second}.default-deny", f"{second}.dns-egress"}
    world.has(namespace, *wanted)
    world.client.delete(f"{PROFILES}/{second}")
    world.has(namespace, f"{first}.default-deny")


def test_purpose_owner_and_template_land_on_the_policy(world: World) -> None:
    namespace = world.namespace()
    world.profile({"template": "default-deny", "name": "base", "purpose": "PCI 1.2.1", "owner": "team-net"})
    world.has(namespace, f"{world.tag}.base")
    annotations = world.policy(namespace, f"{world.tag}.base")["metadata"]["annotations"]
    assert annotations["tenantprofile.dev/purpose"] == "PCI 1.2.1"
    assert annotations["tenantprofile.dev/owner"] == "team-net"
    assert annotations["tenantprofile.dev/template"] == "default-deny"


def test_a_namespace_with_policies_vanishes_without_us(
    world: World, operator: OperatorProcess, controller_manager: object
) -> None:
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    policy = world.policy(namespace, f"{profile}.default-deny")
    assert not policy["metadata"].get("finalizers")
    operator.kill()
    world.client.delete(f"{NAMESPACES}/{namespace}")
    eventually(lambda: world.client.find(f"{NAMESPACES}/{namespace}") is None, within=60)


def test_nothing_is_written_into_a_terminating_namespace(world: World) -> None:
    namespace = world.namespace(tenant="")
    world.client.merge(f"{NAMESPACES}/{namespace}", {"metadata": {"finalizers": ["example.com/hold"]}})
    world.client.delete(f"{NAMESPACES}/{namespace}")
    world.relabel(namespace, tenant=world.tag)
    other = world.namespace()
    profile = world.profile("default-deny")
    world.has(other, f"{profile}.default-deny")
    status = world.is_ready()
    assert world.names(namespace) == set()
    assert status["namespaces"]["summary"] == "1/1"
    world.client.merge(f"{NAMESPACES}/{namespace}", {"metadata": {"finalizers": None}})


def test_a_namespace_never_gets_a_finalizer_or_an_annotation(world: World) -> None:
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    time.sleep(0.5)
    metadata = world.client.get(f"{NAMESPACES}/{namespace}")["metadata"]
    assert not metadata.get("finalizers")
    assert not metadata.get("annotations")
    assert not world.client.get(f"{PROFILES}/{profile}")["metadata"].get("finalizers")
