"""`tenantprofile guard` on a real API server: installed, looked at, broken, removed in the right and the wrong order.

A control plane of its own, because the guard comes and goes here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import guardinstall
from client import NAMESPACES, Client, Refused, eventually, policies_of
from controlplane import ControlPlane
from guard.conftest import control_plane
from operatorprocess import ROOT, install
from tenantprofile.cli.main import main
from tenantprofile.guard.manifests import PARTS

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
KEEPER = "network-policies-stay-followed.tenantprofile.dev"
GATE_POLICY = "pods-need-a-network-baseline.tenantprofile.dev"
BINDINGS = f"{ADMISSION}/validatingadmissionpolicybindings"
POLICIES = f"{ADMISSION}/validatingadmissionpolicies"


@pytest.fixture(scope="module")
def cp() -> Iterator[ControlPlane]:
    with control_plane() as plane:
        yield plane


@pytest.fixture(scope="module")
def admin(cp: ControlPlane) -> Client:
    return Client(cp.admin_kubeconfig)


@pytest.fixture(autouse=True)
def _fresh(cp: ControlPlane) -> Iterator[None]:
    install(cp)
    guardinstall.remove(cp)
    yield
    guardinstall.remove(cp)


def guard(cp: ControlPlane, *arguments: str) -> Result:
    return CliRunner().invoke(
        main,
        ["guard", *arguments, *([] if arguments[0] == "render" else [f"--kubeconfig={cp.admin_kubeconfig}"])],
    )


def installed(cp: ControlPlane, *arguments: str) -> None:
    """As the documentation says: rendered, and applied with kubectl."""
    done = guard(cp, "render", *arguments)
    assert done.exit_code == 0, done.output
    cp.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=done.stdout)


def parts(cp: ControlPlane, *arguments: str) -> dict[str, dict[str, Any]]:
    done = guard(cp, "status", "-o", "json", *arguments)
    return {part["part"]: part for part in json.loads(done.stdout)["parts"]}


def all_parts() -> list[str]:
    return [f"--part={part}" for part in PARTS]


def left(admin: Client) -> tuple[list[str], list[str]]:
    """Names of the guard's bindings and policies that are there, without what the pod gate leaves behind."""
    selector = {"labelSelector": f"{guardinstall.LABEL},!{guardinstall.LABEL}-stays"}
    found = [[i["metadata"]["name"] for i in admin.items(p, **selector)] for p in (BINDINGS, POLICIES)]
    return found[0], found[1]


def dies(call: Callable[[], object]) -> str:
    try:
        call()
    except Refused as error:
        return str(error)
    return ""


def test_what_render_prints_is_installed_without_a_warning_and_recognised(
    cp: ControlPlane, admin: Client
) -> None:
    assert guard(cp, "status").exit_code == 1  # nothing is installed
    installed(cp, *all_parts(), "--distrust=system:serviceaccount:argocd:controller")

    def checked() -> bool:
        found = admin.items(POLICIES, labelSelector=guardinstall.LABEL)
        return all((p.get("status") or {}).get("observedGeneration") for p in found)

    eventually(checked, within=60.0)  # the type checker has looked at each
    assert {(p["state"], p["action"]) for p in parts(cp).values()} == {("installed", "deny")}
    assert parts(cp)["membership"]["values"]["distrusted"] == '["system:serviceaccount:argocd:controller"]'
    done = guard(cp, "status")
    assert done.exit_code == 0
    assert "membership" in done.output
    assert guard(cp, "status", *all_parts()).exit_code == 0


def test_a_trial_warns_and_counts_as_broken_once_it_should_deny(cp: ControlPlane, admin: Client) -> None:
    installed(cp, "--action=warn", "--part=managed-objects", "--part=other-kinds")
    assert guard(cp, "status", "--action=warn").exit_code == 0
    assert guard(cp, "status").exit_code == 1
    assert parts(cp, "--action=warn")["managed-objects"]["action"] == "warn"
    assert parts(cp)["membership"]["state"] == "off"
    assert guard(cp, "status", "--action=warn", "--part=membership").exit_code == 1


def test_what_people_break_is_found(cp: ControlPlane, admin: Client) -> None:
    installed(cp, *all_parts())
    name = "profile-membership.tenantprofile.dev"
    admin.merge(f"{POLICIES}/{name}", {"spec": {"failurePolicy": "Ignore"}})
    admin.delete(f"{BINDINGS}/other-network-policy-kinds.tenantprofile.dev")
    admin.delete(f"{POLICIES}/names-of-profiles-are-reserved.tenantprofile.dev")
    found = parts(cp)
    assert {p for p, r in found.items() if r["state"] == "broken"} == {
        "membership",
        "other-kinds",
        "managed-objects",
    }
    told = {part: " ".join(p["what"] for p in report["problems"]) for part, report in found.items()}
    assert "spec.failurePolicy" in told["membership"]
    assert "is missing: its policy judges nothing" in told["other-kinds"]
    assert "names-of-profiles-are-reserved.tenantprofile.dev is missing" in told["managed-objects"]
    done = guard(cp, "status")
    assert done.exit_code == 1
    assert "fix: tenantprofile guard render --part membership | kubectl apply" in done.output
    installed(cp, *all_parts())  # the cure that it names
    assert guard(cp, "status").exit_code == 0


def test_a_type_checkers_warning_makes_a_part_broken(cp: ControlPlane, admin: Client) -> None:
    installed(cp, "--part=pod-gate")
    path = f"{POLICIES}/pods-need-a-network-baseline.tenantprofile.dev"
    policy = admin.get(path)
    policy["spec"]["validations"] = [{"expression": "object.spec.nonsense == 'x'"}]
    admin.request("PUT", path, policy)
    eventually(
        lambda: "undefined field 'nonsense'" in json.dumps(parts(cp)["pod-gate"]["problems"]), within=60.0
    )


def test_removal_takes_bindings_first_and_those_of_others_with_them(cp: ControlPlane, admin: Client) -> None:
    installed(cp, *all_parts())
    own = {
        "metadata": {"name": "of-the-administrator"},
        "spec": {"policyName": "guardrails.tenantprofile.dev", "validationActions": ["Audit"]},
    }
    own["spec"]["paramRef"] = {"selector": {}, "parameterNotFoundAction": "Allow"}  # type: ignore[index]
    admin.create(BINDINGS, own)
    before = left(admin)
    done = guard(cp, "remove", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "would delete validatingadmissionpolicybindings/of-the-administrator" in done.output
    assert left(admin) == before

    seen = len(list(cp.audit_events()))
    done = guard(cp, "remove")
    assert done.exit_code == 0, done.output
    assert "go on in this order" in done.output
    assert left(admin) == ([], [])
    assert admin.find(f"{BINDINGS}/of-the-administrator") is None
    deleted = [e["objectRef"]["resource"] for e in list(cp.audit_events())[seen:] if e["verb"] == "delete"]
    assert deleted == sorted(deleted, key=lambda r: r == "validatingadmissionpolicies")
    assert set(deleted) == {"validatingadmissionpolicies", "validatingadmissionpolicybindings"}
    assert "nothing of the guard is installed" in guard(cp, "remove").output
    assert admin.find(f"{POLICIES}/{GATE_POLICY}")
    assert admin.find(f"{BINDINGS}/{KEEPER}")
    assert guard(cp, "remove", "--purge").exit_code == 0
    assert admin.find(f"{POLICIES}/{GATE_POLICY}") is None
    assert admin.find(f"{BINDINGS}/{KEEPER}") is None
    # The API server's informer of NetworkPolicies has stopped with it, for the tests that follow.
    cp.restart("kube-apiserver")
    admin.close()


def test_a_gate_that_was_removed_and_installed_again_opens_and_closes(
    cp: ControlPlane, admin: Client
) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    labels = {"tenantprofile.dev/pod-admission": "RequireBaseline"}
    closed: dict[str, Any] = {"podSelector": {}}
    marked = {"metadata": {"name": "m", "labels": {"tenantprofile.dev/complete": "true"}}, "spec": closed}
    for turn in range(2):
        installed(cp, "--part=pod-gate")
        name = f"gated-{turn}"
        admin.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}})

        def gate(name: str = name) -> str:
            path = f"{NAMESPACES}/{name}/pods"
            return dies(lambda: admin.request("POST", path, pod, dryRun="All"))

        eventually(lambda gate=gate: GATE_POLICY in gate())  # type: ignore[misc]
        admin.create(policies_of(name), marked)
        eventually(lambda gate=gate: GATE_POLICY not in gate())  # type: ignore[misc]
        admin.request("DELETE", f"{policies_of(name)}/m")
        eventually(lambda gate=gate: GATE_POLICY in gate())  # type: ignore[misc]
        assert guard(cp, "remove", "--part=pod-gate").exit_code == 0
        assert parts(cp)["pod-gate"]["state"] == "off"


def test_removal_of_one_part_leaves_the_others(cp: ControlPlane) -> None:
    installed(cp, *all_parts())
    assert guard(cp, "remove", "--part=membership").exit_code == 0
    assert {p for p, r in parts(cp).items() if r["state"] == "off"} == {"membership"}
    assert {p for p, r in parts(cp).items() if r["state"] == "installed"} == set(PARTS) - {"membership"}


def test_a_binding_that_stays_keeps_its_policy(cp: ControlPlane, admin: Client) -> None:
    installed(cp, "--part=other-kinds")
    path = f"{BINDINGS}/other-network-policy-kinds.tenantprofile.dev"
    admin.merge(path, {"metadata": {"finalizers": ["example.com/keep"]}})
    try:
        done = guard(cp, "remove", "--within=1")
        assert done.exit_code == 2
        assert "a finalizer keeps it" in done.output
        assert admin.find(f"{POLICIES}/other-network-policy-kinds.tenantprofile.dev")
    finally:
        admin.merge(path, {"metadata": {"finalizers": None}})


def blocked(admin: Client, name: str) -> str:
    body = {"metadata": {"name": name}}
    return dies(lambda: admin.request("POST", NAMESPACES, body, dryRun="All"))


@pytest.mark.parametrize("cure", ["remove", "apply"])
def test_crds_that_went_before_the_guard_block_everybody_and_both_cures_work(
    cp: ControlPlane, admin: Client, cure: str
) -> None:
    installed(cp, *all_parts())
    cp.kubectl("delete", "-k", str(ROOT / "crds"))
    # An API server goes on with the kind that it knew; one that starts now knows none.
    cp.restart("kube-apiserver")
    admin.close()
    told = eventually(lambda: blocked(admin, "late"), within=30.0)
    assert "profile-membership.tenantprofile.dev" in told
    assert "422" in told
    done = guard(cp, "status")
    assert done.exit_code == 1
    assert "the API server serves none" in done.output
    if cure == "remove":
        assert guard(cp, "remove").exit_code == 0
    else:
        cp.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    eventually(lambda: not blocked(admin, "late"), within=60.0)


def test_one_kustomization_of_everything_can_be_deleted_at_once(
    controller_manager: ControlPlane, cp: ControlPlane, admin: Client, tmp_path: Path
) -> None:
    """The wrong order: kubectl deletes the namespace and the CRDs first, while the guard is in force."""
    cp.kubectl("create", "namespace", "tenant-of-then")
    deploy = ROOT / "deploy"
    folder = cp.directory / "everything"
    folder.mkdir(exist_ok=True)
    relative = lambda path: os.path.relpath(path, folder.resolve())  # noqa: E731
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": [relative(ROOT / "crds"), relative(deploy / "base")],
                "components": [relative(deploy / "components" / "guard")],
            }
        )
    )
    cp.kubectl("apply", "--server-side", "-k", str(folder))
    eventually(lambda: guard(cp, "status").exit_code == 0, within=30.0)
    cp.kubectl("delete", "-k", str(folder), timeout=240.0)
    assert left(admin) == ([], [])
    assert admin.find(f"{NAMESPACES}/tenantprofile-system") is None
    eventually(lambda: not blocked(admin, "late"), within=30.0)


def test_nobody_without_the_right_to_read_gets_a_false_answer(cp: ControlPlane, admin: Client) -> None:
    kubeconfig = cp.service_account_kubeconfig("default", "default")
    done = CliRunner().invoke(main, ["guard", "status", f"--kubeconfig={kubeconfig}"])
    assert done.exit_code == 2
    assert "validatingadmissionpolic" in done.output
