"""Kinds of other network plugins: refused to tenants as soon as they exist, and before."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import guardinstall
from actors import acting, grant
from client import Client, Object, Refused, eventually
from cluster.conftest import World
from controlplane import ControlPlane
from guard.conftest import refused

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "other-network-policy-kinds"
KINDS = {
    # plural and group: version, kind, whether it is of a namespace
    "ciliumnetworkpolicies.cilium.io": ("v2", "CiliumNetworkPolicy", True),
    "ciliumclusterwidenetworkpolicies.cilium.io": ("v2", "CiliumClusterwideNetworkPolicy", False),
    "networkpolicies.crd.antrea.io": ("v1beta1", "AntreaNetworkPolicy", True),
    "globalnetworkpolicies.projectcalico.org": ("v3", "GlobalNetworkPolicy", False),
    "adminnetworkpolicies.policy.networking.k8s.io": ("v1alpha1", "AdminNetworkPolicy", False),
    "kindsofthefuture.policy.networking.k8s.io": ("v1", "KindOfTheFuture", True),
}


def definition(name: str) -> Object:
    version, kind, namespaced = KINDS[name]
    plural, _, group = name.partition(".")
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    annotations = {"api-approved.kubernetes.io": "unapproved, for a test"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


def place(name: str, namespace: str) -> str:
    version, _, namespaced = KINDS[name]
    plural, _, group = name.partition(".")
    return f"/apis/{group}/{version}/{f'namespaces/{namespace}/' if namespaced else ''}{plural}"


def body(name: str) -> Object:
    version, kind, _ = KINDS[name]
    return {
        "apiVersion": f"{name.partition('.')[2]}/{version}",
        "kind": kind,
        "metadata": {"name": "open"},
        "spec": {},
    }


@pytest.fixture(scope="module")
def kinds(cp: ControlPlane, admin: Client) -> Iterator[None]:
    for name in KINDS:
        admin.create(CRDS, definition(name))
    for name in KINDS:
        eventually(lambda name=name: admin.items(place(name, "default")) is not None, within=60.0)  # type: ignore[misc]
    yield
    for name in KINDS:
        admin.delete(f"{CRDS}/{name}")


def test_the_policy_is_there_before_the_kinds_are(cp: ControlPlane) -> None:
    """Ahead of `kinds`, which is made for the tests below."""
    document = json.dumps(body("ciliumnetworkpolicies.cilium.io"))
    done = cp.kubectl("create", "-f", "-", input=document, user="tenant", check=False)
    assert "no matches for kind" in done.stderr


@pytest.mark.parametrize("name", KINDS)
def test_tenants_cannot_write_it_and_the_platform_team_can(
    kinds: None, world: World, admin: Client, tenant: Client, platform: Client, name: str
) -> None:
    path = place(name, world.namespace())
    refused(lambda: tenant.create(path, body(name)), NAME, "can allow traffic", "verb override")
    refused(lambda: tenant.apply(path, body(name)), NAME)
    made = {**body(name), "metadata": {"generateName": "open-"}}
    refused(lambda: tenant.create(path, made), NAME)
    platform.create(path, body(name))
    one = f"{path}/open"
    refused(lambda: tenant.merge(one, {"spec": {"a": 1}}), NAME)
    refused(lambda: tenant.request("DELETE", one), NAME)
    refused(lambda: tenant.request("DELETE", path), NAME)
    assert tenant.get(one)
    platform.request("DELETE", one)


def test_controllers_in_kube_system_pass(kinds: None, cp: ControlPlane, world: World, admin: Client) -> None:
    """The network plugins themselves write such objects. Any other namespace's accounts do not pass."""
    name = "ciliumnetworkpolicies.cilium.io"
    path = place(name, world.namespace())
    for namespace, passes in (("kube-system", True), ("default", False)):
        admin.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "plugin"}})
        grant(admin, f"system:serviceaccount:{namespace}:plugin", "test-tenant")
        client = Client(cp.service_account_kubeconfig(namespace, "plugin"))
        eventually(lambda client=client: client.items(path) is not None)  # type: ignore[misc]
        if passes:
            client.request("POST", path, body(name), dryRun="All")
        else:
            refused(lambda client=client: client.create(path, body(name)), NAME)  # type: ignore[misc]


@contextmanager
def replaced(cp: ControlPlane, client: Client, path: str, **options: Any) -> Iterator[None]:
    """The part with another variable or action, by which a tenant passes; as shipped again afterwards."""
    shipped = guardinstall.rendered(cp, ["other-kinds"])
    changed = copy.deepcopy(shipped)
    for document in changed:
        for variable in document["spec"].get("variables") or ():
            if variable["name"] in options:
                variable["expression"] = options[variable["name"]]
        if "validationActions" in document["spec"] and "actions" in options:
            document["spec"]["validationActions"] = options["actions"]
    guardinstall.apply(cp, changed)

    def told() -> str:
        name = "ciliumnetworkpolicies.cilium.io"
        try:
            client.request("POST", path, body(name), dryRun="All")
        except Refused:
            return "refused"
        return "passed"

    try:
        eventually(lambda: told() == "passed")
        yield
    finally:
        guardinstall.apply(cp, shipped)
        eventually(lambda: told() == "refused")


def test_a_kind_can_be_allowed_by_value(kinds: None, cp: ControlPlane, world: World, tenant: Client) -> None:
    path = place("ciliumnetworkpolicies.cilium.io", world.namespace())
    with replaced(cp, tenant, path, allowed="['cilium.io/ciliumnetworkpolicies']"):
        other = "ciliumclusterwidenetworkpolicies.cilium.io"
        refused(lambda: tenant.create(place(other, ""), body(other)), NAME)


@pytest.mark.parametrize("actions", [["Warn", "Audit"], ["Audit"]])
def test_a_trial_lets_it_through_and_tells(
    kinds: None, cp: ControlPlane, world: World, tenant: Client, actions: list[str]
) -> None:
    path = place("ciliumnetworkpolicies.cilium.io", world.namespace())
    with replaced(cp, tenant, path, actions=actions):
        seen = len(list(cp.audit_events()))
        tenant.request("POST", path, body("ciliumnetworkpolicies.cilium.io"), dryRun="All")
        key = "validation.policy.admission.k8s.io/validation_failure"

        def recorded() -> bool:
            return any(key in (e.get("annotations") or {}) for e in list(cp.audit_events())[seen:])

        eventually(recorded)


def test_a_distrusted_user_does_not_pass_with_the_verb(
    kinds: None, cp: ControlPlane, world: World, tenant: Client
) -> None:
    path = place("ciliumnetworkpolicies.cilium.io", world.namespace())
    platform = acting(cp, "platform")
    shipped = guardinstall.rendered(cp, ["other-kinds"])
    changed = copy.deepcopy(shipped)
    changed[0]["spec"]["variables"][1]["expression"] = "['platform']"
    guardinstall.apply(cp, changed)
    try:

        def no() -> bool:
            try:
                platform.request("POST", path, body("ciliumnetworkpolicies.cilium.io"), dryRun="All")
            except Refused as error:
                return NAME in str(error)
            return False

        eventually(no)
    finally:
        guardinstall.apply(cp, shipped)
