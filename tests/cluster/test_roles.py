"""The shipped roles for people, held by ServiceAccounts and tried on the API server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from actors import acting, allowed_to, grant, may
from client import NAMESPACES, PROFILES, TEMPLATES, Client, Refused, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from operatorprocess import ROOT, OperatorProcess
from tenantprofile.cli.main import main

GROUP = "tenantprofile.dev"
SHIPPED = {
    role["metadata"]["name"]: role
    for role in yaml.safe_load_all((ROOT / "deploy" / "base" / "rbac-people.yaml").read_text())
}


@pytest.fixture(autouse=True)
def _filled(controller_manager: ControlPlane) -> None:
    """Aggregated roles are filled by a controller."""


def with_role(cp: ControlPlane, admin: Client, user: str, role: str, namespace: str = "") -> Client:
    grant(admin, user, role, namespace)
    return acting(cp, user)


def account(cp: ControlPlane, admin: Client, name: str, *roles: tuple[str, str]) -> Path:
    """The kubeconfig of a ServiceAccount with roles, each for a namespace or (`""`) for the cluster."""
    admin.create(f"{NAMESPACES}/default/serviceaccounts", {"metadata": {"name": name}})
    for role, namespace in roles:
        grant(admin, f"system:serviceaccount:default:{name}", role, namespace)
    return cp.service_account_kubeconfig("default", name)


def command(kubeconfig: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, f"--kubeconfig={kubeconfig}"])


def test_nobody_is_bound_to_a_role_for_people(cp: ControlPlane) -> None:
    bindings = cp.get("clusterrolebindings")["items"] + cp.get("rolebindings", "--all-namespaces")["items"]
    bound = {
        b["roleRef"]["name"] for b in bindings if not b["metadata"]["name"].startswith(("t-", "system-"))
    }
    assert not bound & SHIPPED.keys()


def test_the_platform_team_writes_profiles_and_has_the_guards_verbs(
    cp: ControlPlane, world: World, admin: Client
) -> None:
    platform = with_role(cp, admin, "t-platform", "tenantprofile-platform")
    for verb in ("override", "enter", "leave"):
        allowed_to(admin, "t-platform", verb, "tenantprofiles", group=GROUP)
    allowed_to(admin, "t-platform", "create", "tenantprofiles", group=GROUP)
    body = world.body("default-deny", suspend=True)
    platform.create(PROFILES, body)
    platform.merge(f"{PROFILES}/{world.tag}", {"spec": {"drift": "Report"}})
    template = {"metadata": {"name": world.tag}, "spec": {"description": "x", "template": "podSelector: {}"}}
    platform.create(TEMPLATES, {"apiVersion": f"{GROUP}/v1alpha1", "kind": "PolicyTemplate", **template})
    platform.request("DELETE", f"{PROFILES}/{world.tag}")
    for resource, group in (("networkpolicies", "networking.k8s.io"), ("secrets", ""), ("namespaces", "")):
        assert not may(admin, "t-platform", "create", resource, group=group)
    assert not may(admin, "t-platform", "patch", "tenantprofiles/status", group=GROUP)


@pytest.mark.parametrize("verb", ["override", "enter", "leave"])
def test_each_verb_has_a_role_of_its_own(admin: Client, verb: str) -> None:
    user = f"t-{verb}"
    grant(admin, user, f"tenantprofile-{verb}")
    allowed_to(admin, user, verb, "tenantprofiles", group=GROUP)
    others = {"override", "enter", "leave", "get", "update", "delete"} - {verb}
    assert not [other for other in others if may(admin, user, other, "tenantprofiles", group=GROUP)]


def test_view_edit_and_admin_of_the_cluster_read_profiles_and_write_none(
    cp: ControlPlane, admin: Client
) -> None:
    for role in ("view", "edit", "admin"):
        user = f"t-cluster-{role}"
        grant(admin, user, role)
        allowed_to(admin, user, "list", "tenantprofiles", group=GROUP)
        for verb in ("create", "update", "patch", "delete", "override", "enter", "leave"):
            assert not may(admin, user, verb, "tenantprofiles", group=GROUP), (role, verb)


def test_a_tenant_reads_why_its_namespace_is_as_it_is_and_changes_nothing(
    cp: ControlPlane, world: World, admin: Client, operator: OperatorProcess
) -> None:
    namespace, other = world.namespace(), world.namespace(tenant="")
    world.profile("default-deny")
    world.is_ready()
    name = f"tenant-{world.tag}"
    kubeconfig = account(cp, admin, name, ("edit", namespace), ("tenantprofile-viewer", ""))
    allowed_to(admin, f"system:serviceaccount:default:{name}", "list", "tenantprofiles", group=GROUP)
    done = command(kubeconfig, "status", "-n", namespace, "-o", "json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["namespaces"]
    (answer,) = found["profiles"]
    assert answer["state"] == "protected"

    client = Client(kubeconfig)
    assert client.items(policies_of(namespace))
    assert client.items(f"{NAMESPACES}/{namespace}/events") is not None
    for forbidden in (
        lambda: client.merge(f"{PROFILES}/{world.tag}", {"spec": {"suspend": True}}),
        lambda: client.request("DELETE", f"{PROFILES}/{world.tag}"),
        lambda: client.items(policies_of(other)),
    ):
        with pytest.raises(Refused) as caught:
            forbidden()
        assert caught.value.status == 403


def test_a_role_in_a_namespace_alone_reads_no_profiles(cp: ControlPlane, world: World, admin: Client) -> None:
    namespace = world.namespace()
    tenant = with_role(cp, admin, f"t-{world.tag}", "admin", namespace)
    eventually(lambda: tenant.items(policies_of(namespace)) is not None)
    with pytest.raises(Refused) as caught:
        tenant.items(PROFILES)
    assert caught.value.status == 403


def test_an_auditor_runs_every_reading_command_and_writes_nothing(
    cp: ControlPlane, world: World, admin: Client, operator: OperatorProcess
) -> None:
    namespace = world.namespace()
    world.profile("default-deny")
    world.is_ready()
    name = f"auditor-{world.tag}"
    kubeconfig = account(cp, admin, name, ("tenantprofile-auditor", ""))
    user = f"system:serviceaccount:default:{name}"
    allowed_to(admin, user, "list", "validatingadmissionpolicies", group="admissionregistration.k8s.io")
    allowed_to(admin, user, "list", "tenantprofiles", group=GROUP)
    for words in (
        ("audit",),
        ("lint",),
        ("status",),
        ("status", "-n", namespace),
        ("guard", "status"),
        ("doctor",),
    ):
        done = command(kubeconfig, *words)
        assert done.exit_code in (0, 1), (words, done.output)
        for word in ("forbidden", "unknown", "cannot be listed"):
            assert word not in done.output, (words, done.output)
    rules = admin.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/tenantprofile-auditor")["rules"]
    assert rules
    writes = [r for r in rules if set(r["verbs"]) - {"get", "list", "watch"}]
    assert [r["resources"] for r in writes] == [["subjectaccessreviews"]]
    assert not [r for r in rules if {"secrets", "configmaps", "*"} & set(r["resources"])]
