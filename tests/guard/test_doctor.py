"""`tenantprofile doctor --guard` on a real API server: which parts are on, off or broken, by dry-runs alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import guardinstall
from actors import allowed_to, grant
from client import ALL_POLICIES, NAMESPACES, PROFILES, Client, eventually, policies_of
from controlplane import ControlPlane, is_write
from guard.conftest import control_plane
from operatorprocess import ROOT, install
from tenantprofile.cli.main import main
from tenantprofile.guard.manifests import PARTS
from tenantprofile.guard.probes import NAMESPACE, USER

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
BINDINGS = f"{ADMISSION}/validatingadmissionpolicybindings"


def set_up(plane: ControlPlane) -> None:
    """The probe's objects, by Kustomize, as the page says."""
    folder = plane.directory / "probe"
    folder.mkdir(exist_ok=True)
    component = os.path.relpath(ROOT / "deploy" / "components" / "guard-probe", folder.resolve())
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"components": [component]}))
    # The storage of a custom resource is made anew after every change of its CRD.
    eventually(
        lambda: not plane.kubectl("apply", "--server-side", "-k", str(folder), check=False).returncode,
        within=60.0,
    )


@pytest.fixture(scope="module")
def cp() -> Iterator[ControlPlane]:
    with control_plane() as plane:
        install(plane)
        set_up(plane)
        yield plane


@pytest.fixture(scope="module")
def admin(cp: ControlPlane) -> Client:
    return Client(cp.admin_kubeconfig)


def account(cp: ControlPlane, admin: Client, name: str, role: str) -> Path:
    """The kubeconfig of a new ServiceAccount with one ClusterRole."""
    admin.create(f"{NAMESPACES}/default/serviceaccounts", {"metadata": {"name": name}})
    user = f"system:serviceaccount:default:{name}"
    grant(admin, user, role)
    allowed_to(admin, user, "get", "tenantprofiles", group="tenantprofile.dev", name=NAMESPACE)
    return cp.service_account_kubeconfig("default", name)


@pytest.fixture(scope="module")
def somebody(cp: ControlPlane, admin: Client) -> Path:
    """Holds the one shipped ClusterRole and nothing else."""
    return account(cp, admin, "somebody", "tenantprofile-guard-doctor")


@pytest.fixture
def installed(cp: ControlPlane) -> Iterator[None]:
    guardinstall.install(cp)
    eventually(lambda: sound(cp.admin_kubeconfig), within=30.0)
    yield
    guardinstall.remove(cp)
    eventually(lambda: states(cp.admin_kubeconfig) == dict.fromkeys(PARTS, "off"), within=30.0)


def doctor(kubeconfig: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        main, ["doctor", "--guard", f"--kubeconfig={kubeconfig}", "-o", "json", *arguments]
    )


def sound(kubeconfig: Path) -> bool:
    return doctor(kubeconfig).exit_code == 0


def found(kubeconfig: Path) -> dict[str, dict[str, Any]]:
    done = doctor(kubeconfig)
    assert done.exit_code in (0, 1), done.output
    return {part["part"]: part for part in json.loads(done.stdout)["parts"]}


def states(kubeconfig: Path) -> dict[str, str]:
    return {name: part["state"] for name, part in found(kubeconfig).items() if name}


def test_without_the_guard_every_part_is_off_and_what_must_pass_does(cp: ControlPlane) -> None:
    assert states(cp.admin_kubeconfig) == dict.fromkeys(PARTS, "off")
    assert found(cp.admin_kubeconfig)[""]["state"] == "on"
    assert not sound(cp.admin_kubeconfig)


def test_with_it_every_part_is_on_and_nothing_is_written(
    cp: ControlPlane, admin: Client, installed: None, somebody: Path
) -> None:
    before = admin.items(ALL_POLICIES), admin.get(f"{NAMESPACES}/{NAMESPACE}")
    seen = len(list(cp.audit_events()))
    # No kind of another network plugin is served here, so that part cannot be tried.
    assert states(somebody) == dict.fromkeys(PARTS, "on") | {"other-kinds": "unproven"}
    assert sound(somebody)
    assert (admin.items(ALL_POLICIES), admin.get(f"{NAMESPACES}/{NAMESPACE}")) == before

    def written() -> bool:
        mine = [
            e
            for e in list(cp.audit_events())[seen:]
            if e.get("impersonatedUser", {}).get("username") == USER and is_write(e)
        ]
        assert all("dryRun=All" in e["requestURI"] for e in mine)
        return len(mine) > 8

    eventually(written)


def test_the_probes_own_account_needs_to_impersonate_nobody(
    cp: ControlPlane, admin: Client, installed: None
) -> None:
    """As a CronJob in that namespace would run it, with the role bound to the account itself."""
    grant(admin, USER, "tenantprofile-guard-doctor")
    allowed_to(admin, USER, "get", "tenantprofiles", group="tenantprofile.dev", name=NAMESPACE)
    kubeconfig = cp.service_account_kubeconfig(NAMESPACE, "tenantprofile-guard-probe")
    seen = len(list(cp.audit_events()))
    assert sound(kubeconfig)
    assert not [e for e in list(cp.audit_events())[seen:] if e.get("impersonatedUser")]


def test_a_kind_of_another_plugin_is_tried_where_it_is_served(
    cp: ControlPlane, admin: Client, installed: None, somebody: Path
) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {
        "kind": "CiliumNetworkPolicy",
        "plural": "ciliumnetworkpolicies",
        "singular": "ciliumnetworkpolicy",
    }
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "ciliumnetworkpolicies.cilium.io"},
        "spec": {
            "group": "cilium.io",
            "scope": "Namespaced",
            "names": names,
            "versions": [
                {"name": "v2", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    admin.create(path, crd)
    try:
        eventually(lambda: states(somebody)["other-kinds"] == "on", within=30.0)
    finally:
        admin.delete(f"{path}/ciliumnetworkpolicies.cilium.io")


@pytest.mark.parametrize(
    ("binding", "part"),
    [
        ("managed-policies-are-read-only", "managed-objects"),
        ("names-of-profiles-are-reserved", "managed-objects"),
        ("profile-membership", "membership"),
        ("namespace-subresources-keep-labels", "membership"),
        ("guardrails-deny", "guardrails"),
    ],
)
def test_a_binding_that_is_gone_is_noticed_and_the_cure_is_named(
    cp: ControlPlane, admin: Client, installed: None, somebody: Path, binding: str, part: str
) -> None:
    admin.delete(f"{BINDINGS}/{binding}.tenantprofile.dev")
    eventually(lambda: states(somebody)[part] == "broken", within=30.0)
    assert {name for name, state in states(somebody).items() if state == "broken"} == {part}
    assert f"guard render --part {part}" in found(somebody)[part]["fix"]


def test_a_binding_that_is_narrowed_is_noticed_by_the_dry_run(
    admin: Client, installed: None, somebody: Path
) -> None:
    narrow = {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"no": "namespace"}}}}}
    admin.merge(f"{BINDINGS}/guardrails-deny.tenantprofile.dev", narrow)
    eventually(
        lambda: "create a policy that lets everybody in: admitted" in found(somebody)["guardrails"]["seen"],
        within=30.0,
    )
    assert states(somebody)["guardrails"] == "broken"


def test_a_trial_is_told_from_protection(admin: Client, installed: None, somebody: Path) -> None:
    for actions in (["Warn", "Audit"], ["Audit"]):
        admin.merge(f"{BINDINGS}/guardrails-deny.tenantprofile.dev", {"spec": {"validationActions": actions}})
        eventually(lambda: states(somebody)["guardrails"] == "trial", within=30.0)
        assert not sound(somebody)


def test_a_gate_for_other_namespaces_is_unproven(admin: Client, installed: None, somebody: Path) -> None:
    selector = {"namespaceSelector": {"matchLabels": {"other": "namespaces"}}}
    path = f"{BINDINGS}/baseline-of-this-namespace-is-not-complete-yet.tenantprofile.dev"
    labels = {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": None}}}}
    admin.merge(path, labels)
    admin.merge(path, {"spec": {"matchResources": selector}})
    eventually(lambda: states(somebody)["pod-gate"] == "unproven", within=30.0)
    assert "namespaceSelector" in found(somebody)["pod-gate"]["fix"]


def test_a_baseline_that_is_complete_is_no_hole_in_the_gate(
    admin: Client, installed: None, somebody: Path
) -> None:
    body = {
        "metadata": {"name": "marked", "labels": {"tenantprofile.dev/complete": "true"}},
        "spec": {"podSelector": {}},
    }
    admin.create(policies_of(NAMESPACE), body)
    try:

        def unproven() -> bool:
            assert found(somebody)["pod-gate"]["state"] == "unproven", found(somebody)["pod-gate"]
            return True

        eventually(unproven, within=30.0)
    finally:
        admin.delete(f"{policies_of(NAMESPACE)}/marked")


def test_what_refuses_everything_is_broken(cp: ControlPlane, admin: Client, installed: None) -> None:
    path = f"{ADMISSION}/validatingadmissionpolicies/guardrails.tenantprofile.dev"
    policy = admin.get(path)
    policy["spec"]["validations"] = [{"expression": "false", "message": "no"}]
    admin.request("PUT", path, policy)
    eventually(lambda: found(cp.admin_kubeconfig)[""]["state"] == "broken", within=30.0)


def test_without_its_objects_or_rights_it_says_what_to_apply(
    cp: ControlPlane, admin: Client, somebody: Path
) -> None:
    done = doctor(account(cp, admin, "reader", "view"))
    assert done.exit_code == 2
    assert "bind the ClusterRole tenantprofile-guard-doctor" in done.output
    admin.delete(f"{PROFILES}/tenantprofile-probe")
    try:
        done = doctor(somebody)
        assert done.exit_code == 2
        assert "apply deploy/components/guard-probe" in done.output
    finally:
        set_up(cp)
