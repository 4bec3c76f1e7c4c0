"""Managed policies are read-only, whatever is tried; and deletion of namespaces and profiles never hangs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import guardinstall
from actors import acting
from client import NAMESPACES, PROFILES, Client, Object, Refused, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from guard.conftest import refused

LABELS = {"app.kubernetes.io/managed-by": "tenantprofile-operator", "tenantprofile.dev/policy": "deny"}
DENY: Object = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
OPEN: Object = {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}


def managed(operator: Client, namespace: str, profile: str, **metadata: Any) -> str:
    """A policy as the operator writes it; its path."""
    name = f"{profile}.deny"
    labels = LABELS | {"tenantprofile.dev/profile": profile} | metadata.pop("labels", {})
    body = {"metadata": {"name": name, "labels": labels, **metadata}, "spec": DENY}
    operator.request("POST", policies_of(namespace), body, fieldManager="tenantprofile-operator")
    return f"{policies_of(namespace)}/{name}"


@pytest.fixture
def target(world: World, operator: Client) -> str:
    """The path of a managed policy of profile `delegated`."""
    return managed(operator, world.namespace(), "delegated")


def patched(
    path: str, body: object, kind: str = "merge-patch+json", **query: str
) -> Callable[[Client], object]:
    return lambda client: client.request("PATCH", path, body, content_type=f"application/{kind}", **query)


def changed(admin: Client, path: str, change: Callable[[Object], None]) -> Callable[[Client], object]:
    def put(client: Client) -> object:
        body = copy.deepcopy(admin.get(path))
        change(body)
        return client.request("PUT", path, body)

    return put


WAYS: dict[str, Callable[[Client, str], Callable[[Client], object]]] = {
    "delete": lambda admin, path: lambda client: client.request("DELETE", path),
    "delete, dry-run": lambda admin, path: lambda client: client.request("DELETE", path, dryRun="All"),
    "deletecollection": lambda admin, path: lambda client: client.request("DELETE", path.rpartition("/")[0]),
    "merge patch": lambda admin, path: patched(path, {"spec": OPEN}),
    "strategic merge": lambda admin, path: patched(path, {"spec": OPEN}, "strategic-merge-patch+json"),
    "strip labels by null": lambda admin, path: patched(path, {"metadata": {"labels": None}}),
    "strip all at once": lambda admin, path: changed(
        admin,
        path,
        lambda body: body.update(
            metadata={"name": body["metadata"]["name"], "managedFields": [{}]}, spec=OPEN
        ),
    ),
    "forged manager": lambda admin, path: patched(
        path, {"spec": OPEN}, fieldManager="tenantprofile-operator"
    ),
    "forced apply": lambda admin, path: (
        lambda client: client.apply(
            path.rpartition("/")[0],
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": path.rpartition("/")[2]},
                "spec": OPEN,
            },
        )
    ),
    "finalizer": lambda admin, path: patched(path, {"metadata": {"finalizers": ["example.com/keep"]}}),
    "marker": lambda admin, path: patched(
        path, {"metadata": {"labels": {"tenantprofile.dev/complete": "true"}}}
    ),
    "a label of one's own": lambda admin, path: patched(path, {"metadata": {"labels": {"mine": "1"}}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_managed_policy_is_read_only(admin: Client, tenant: Client, target: str, way: str) -> None:
    before = admin.get(target)
    refused(lambda: WAYS[way](admin, target)(tenant), "managed-policies-are-read-only")
    assert admin.get(target) == before


CLAIMS: dict[str, Object] = {
    "profile label": {"labels": {"tenantprofile.dev/profile": "p"}},
    "marker": {"labels": {"tenantprofile.dev/complete": "true"}},
    "managed-by": {"labels": {"app.kubernetes.io/managed-by": "tenantprofile-operator"}},
    "annotation": {"annotations": {"tenantprofile.dev/applied-digest": "x"}},
    "owner": {
        "ownerReferences": [
            {"apiVersion": "tenantprofile.dev/v1alpha1", "kind": "TenantProfile", "name": "p", "uid": "u"}
        ]
    },
}


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("named", [{"name": "mine"}, {"generateName": "mine-"}])
def test_nobody_claims_to_be_the_operator(world: World, tenant: Client, claim: str, named: Object) -> None:
    body = {"metadata": named | CLAIMS[claim], "spec": DENY}
    refused(lambda: tenant.create(policies_of(world.namespace()), body), "only its operator may set")


def test_a_tenants_own_policies_are_free(world: World, tenant: Client) -> None:
    path = policies_of(world.namespace())
    adopt = {"tenantprofile.dev/adopt": "p"}
    tenant.create(path, {"metadata": {"name": "mine", "annotations": adopt}, "spec": DENY})
    tenant.merge(f"{path}/mine", {"spec": OPEN})
    tenant.request("DELETE", f"{path}/mine")


def test_names_of_profiles_are_reserved_and_older_squatters_can_only_go(
    world: World, tenant: Client, platform: Client
) -> None:
    namespace, profile = world.namespace(), world.tag
    path = policies_of(namespace)
    for name in ("deny", "allow"):
        tenant.create(path, {"metadata": {"name": f"{profile}.{name}"}, "spec": DENY})
    world.profile(suspend=True)
    body = {"metadata": {"name": f"{profile}.new"}, "spec": DENY}

    def reserved() -> bool:
        try:
            tenant.request("POST", path, body, dryRun="All")
        except Refused as error:
            return "is reserved" in str(error)
        return False

    eventually(reserved)
    refused(
        lambda: tenant.create(path, {"metadata": {"generateName": f"{profile}.x-"}, "spec": DENY}), "reserved"
    )
    refused(lambda: tenant.merge(f"{path}/{profile}.deny", {"spec": OPEN}), "reserved")
    tenant.merge(f"{path}/{profile}.deny", {"metadata": {"annotations": {"note": "hands off"}}})
    tenant.request("DELETE", f"{path}/{profile}.deny")
    platform.merge(f"{path}/{profile}.allow", {"spec": OPEN})


def test_a_delegate_stays_within_the_profile(
    world: World, delegate: Client, operator: Client, target: str
) -> None:
    other = managed(operator, world.namespace(), "other")
    delegate.merge(target, {"metadata": {"annotations": {"note": "mine to change"}}})
    refused(lambda: delegate.merge(other, {"spec": OPEN}), "read-only")
    into = {"metadata": {"labels": {"tenantprofile.dev/profile": "other"}}}
    refused(lambda: delegate.merge(target, into), "read-only")
    refused(
        lambda: delegate.merge(other, {"metadata": {"labels": {"tenantprofile.dev/profile": "delegated"}}})
    )
    refused(lambda: delegate.merge(target, {"metadata": {"labels": {"tenantprofile.dev/profile": None}}}))


def test_platform_operator_and_administrator_pass(
    admin: Client, platform: Client, operator: Client, target: str
) -> None:
    platform.merge(target, {"metadata": {"annotations": {"note": "1"}}})
    admin.merge(target, {"metadata": {"annotations": {"note": "2"}}})
    body = operator.get(target)
    body["spec"] = OPEN
    operator.request("PUT", target, body)


def replaced(cp: ControlPlane, change: Callable[[Object], None]) -> Iterator[None]:
    """The policy of managed objects with something changed, and as shipped again afterwards."""
    (policy,) = [
        d
        for d in guardinstall.rendered(cp, ["managed-objects"])
        if d["kind"] == "ValidatingAdmissionPolicy" and d["metadata"]["name"].startswith("managed-")
    ]
    other = copy.deepcopy(policy)
    change(other)
    guardinstall.apply(cp, [other])
    try:
        yield
    finally:
        guardinstall.apply(cp, [policy])


@pytest.fixture
def without_exemptions(cp: ControlPlane) -> Iterator[None]:
    yield from replaced(cp, lambda policy: policy["spec"].update(matchConditions=[]))


@pytest.fixture
def distrusting(cp: ControlPlane) -> Iterator[None]:
    def change(policy: Object) -> None:
        policy["spec"]["variables"][1]["expression"] = "['platform']"

    yield from replaced(cp, change)


def test_a_distrusted_user_does_not_pass_with_the_verb(
    distrusting: None, platform: Client, target: str
) -> None:
    def no() -> bool:
        try:
            platform.request(
                "PATCH",
                target,
                {"metadata": {"labels": {"x": "1"}}},
                content_type="application/merge-patch+json",
                dryRun="All",
            )
        except Refused:
            return True
        return False

    eventually(no)


def test_namespaces_and_garbage_go_with_the_guard_in_force(
    controller_manager: ControlPlane, world: World, admin: Client, operator: Client
) -> None:
    profile = world.profile(suspend=True)
    owner = admin.get(f"{PROFILES}/{profile}")
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": profile,
        "uid": owner["metadata"]["uid"],
    }
    gone, kept = world.namespace(), world.namespace()
    managed(operator, gone, profile)
    path = managed(operator, kept, profile, ownerReferences=[reference])
    admin.delete(f"{NAMESPACES}/{gone}")
    admin.delete(f"{PROFILES}/{profile}")
    eventually(lambda: admin.find(f"{NAMESPACES}/{gone}") is None, within=90.0)
    eventually(lambda: admin.find(path) is None, within=90.0)


def test_without_the_exemptions_namespaces_and_garbage_stay(
    controller_manager: ControlPlane, without_exemptions: None, world: World, admin: Client, operator: Client
) -> None:
    """Why they are there. The controllers are impersonated, so that nothing has to be waited for."""
    path = managed(operator, world.namespace(), world.tag)
    for name in ("namespace-controller", "generic-garbage-collector"):
        controller = acting(controller_manager, f"system:serviceaccount:kube-system:{name}")

        def no(controller: Client = controller) -> bool:
            try:
                controller.request("DELETE", path, dryRun="All")
            except Refused as error:
                return "managed-policies-are-read-only" in str(error)
            return False

        eventually(no)
    assert admin.find(path)


@pytest.mark.parametrize("name", ["namespace-controller", "generic-garbage-collector"])
def test_each_exemption_is_enough_for_its_controller(cp: ControlPlane, target: str, name: str) -> None:
    controller = acting(cp, f"system:serviceaccount:kube-system:{name}")
    eventually(lambda: controller.request("DELETE", target, dryRun="All"))
