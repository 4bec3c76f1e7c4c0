"""`tenantprofile doctor` and a real API server: what it reads, what it makes, and that it leaves nothing.

No pod ever runs here, because nothing places pods on nodes; what comes of two that run is in tests/packets.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from client import NAMESPACES, Client, Object, eventually
from cluster.conftest import World
from controlplane import ControlPlane
from operatorprocess import ROOT, OperatorProcess
from tenantprofile.cli.main import main
from tenantprofile.enforcement import objects

PAGE = ROOT / "docs" / "commands" / "doctor.md"


@pytest.fixture(autouse=True)
def _nothing_left(controller_manager: ControlPlane, admin: Client) -> Iterator[None]:
    yield
    for name in canaries(admin):
        admin.delete(f"{NAMESPACES}/{name}")
    eventually(lambda: not canaries(admin), within=30)


def canaries(admin: Client) -> list[str]:
    found = admin.items(NAMESPACES, labelSelector=objects.SELECTOR)
    return [item["metadata"]["name"] for item in found]


def doctor(kubeconfig: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        main, ["doctor", "--kubeconfig", str(kubeconfig), *arguments], prog_name="tenantprofile"
    )


def started(cp: ControlPlane) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tenantprofile", "doctor", "--enforcement", "--image=none"),
            f"--kubeconfig={cp.admin_kubeconfig}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "operator")},
    )


def pods_of(admin: Client, namespace: str) -> list[Object]:
    return admin.items(f"{NAMESPACES}/{namespace}/pods")


def left_behind(cp: ControlPlane, admin: Client) -> str:
    """The namespace of a run that was killed."""
    running = started(cp)
    try:
        eventually(lambda: any(pods_of(admin, name) for name in canaries(admin)))
    finally:
        running.kill()
        running.communicate()
    (name,) = canaries(admin)
    return name


# --- a canary ---


def test_pods_that_do_not_run_are_an_error_that_says_why(cp: ControlPlane, admin: Client) -> None:
    done = doctor(cp.admin_kubeconfig, "--enforcement", "--start-within=2")
    assert done.exit_code == 2
    assert re.search(
        rf"{objects.PREFIX}[0-9a-f]{{8}}/server does not run \(Pending\): no scheduler has taken it up",
        done.output,
    )
    assert done.stdout == ""
    assert canaries(admin) == []


def test_the_pods_are_as_restricted_as_can_be_and_end_by_themselves(cp: ControlPlane, admin: Client) -> None:
    name = left_behind(cp, admin)
    labels = admin.get(f"{NAMESPACES}/{name}")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    (pod,) = pods_of(admin, name)  # accepted, hence as restricted as the namespace demands
    assert pod["spec"]["activeDeadlineSeconds"] > 600
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert not pod["spec"].get("volumes")
    (container,) = pod["spec"]["containers"]
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing(
    number: signal.Signals, code: int, cp: ControlPlane, admin: Client
) -> None:
    running = started(cp)
    eventually(lambda: any(pods_of(admin, name) for name in canaries(admin)))
    running.send_signal(number)
    time.sleep(0.2)
    running.send_signal(number)  # impatience changes nothing
    _, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert canaries(admin) == []


@pytest.mark.slow
def test_a_namespace_that_is_being_made_is_removed_as_well(cp: ControlPlane, admin: Client) -> None:
    """At whatever moment the signal comes."""
    for moment in (0.0, 0.01, 0.02, 0.05):
        running = started(cp)
        eventually(lambda: bool(canaries(admin)), every=0.002)
        time.sleep(moment)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
        assert running.returncode == 143
        assert canaries(admin) == []


def test_what_a_killed_run_left_is_removed_by_cleanup(cp: ControlPlane, admin: Client) -> None:
    name = left_behind(cp, admin)
    foreign = objects.namespace("payments", 0)
    admin.create(NAMESPACES, foreign)
    try:
        again = doctor(cp.admin_kubeconfig, "--enforcement", "--image=none", "--start-within=1")
        assert f"{name} may be of another run at this moment" in again.output
        assert name in canaries(admin)

        done = doctor(cp.admin_kubeconfig, "--cleanup")
        assert (done.exit_code, done.output) == (0, "1 of 1 removed\n")
        assert canaries(admin) == ["payments"], "a label alone does not make a canary"
    finally:
        admin.delete(f"{NAMESPACES}/payments")
    assert doctor(cp.admin_kubeconfig, "--cleanup").output == "nothing to remove\n"


def test_what_is_certainly_left_is_removed_by_the_next_run(cp: ControlPlane, admin: Client) -> None:
    name = left_behind(cp, admin)
    annotations = {"metadata": {"annotations": {objects.ANNOTATION_LIFETIME: "0"}}}
    admin.merge(f"{NAMESPACES}/{name}", annotations)
    time.sleep(1.1)
    done = doctor(cp.admin_kubeconfig, "--enforcement", "--image=none", "--start-within=1")
    assert f"{name} is left from an earlier run, and removed" in done.output
    assert canaries(admin) == []


def test_the_image_is_that_of_the_operator_unless_named(cp: ControlPlane) -> None:
    done = doctor(cp.admin_kubeconfig, "--enforcement", "--namespace=elsewhere")
    assert done.exit_code == 2
    assert "elsewhere/tenantprofile-operator cannot be read" in done.output
    assert "--image" in done.output


def test_a_check_that_is_left_out_has_to_exist(cp: ControlPlane, admin: Client) -> None:
    done = doctor(cp.admin_kubeconfig, "--enforcement", "--image=none", "--leave-out=ingres")
    assert done.exit_code == 2
    assert "there is no check 'ingres'; there are deny-ingress, " in done.output


# --- rights ---


@pytest.fixture
def account(cp: ControlPlane, admin: Client) -> Iterator[Callable[..., Path]]:
    """Make a ServiceAccount with the rights of some rules; its kubeconfig."""
    made = [f"{NAMESPACES}/default/serviceaccounts/somebody"]
    admin.create(f"{NAMESPACES}/default/serviceaccounts", {"metadata": {"name": "somebody"}})

    def with_rules(*rules: Any) -> Path:
        group = "/apis/rbac.authorization.k8s.io/v1"
        admin.create(f"{group}/clusterroles", {"metadata": {"name": "somebody"}, "rules": list(rules)})
        made.append(f"{group}/clusterroles/somebody")
        subject = {"kind": "ServiceAccount", "name": "somebody", "namespace": "default"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "somebody"}
        admin.create(
            f"{group}/clusterrolebindings",
            {"metadata": {"name": "somebody"}, "roleRef": role, "subjects": [subject]},
        )
        made.append(f"{group}/clusterrolebindings/somebody")
        return cp.service_account_kubeconfig("default", "somebody")

    yield with_rules
    for path in made:
        admin.delete(path)


def test_rights_that_are_lacking_are_named_before_anything_is_made(
    admin: Client, account: Callable[..., Path]
) -> None:
    kubeconfig = account({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create", "get", "list"]})
    done = doctor(kubeconfig, "--enforcement", "--image=none")
    assert done.exit_code == 2
    assert "you lack the rights to: delete namespaces, create pods, get pods, get pods/log, " in done.output
    assert "delete networkpolicies.networking.k8s.io" in done.output
    assert "canary" not in done.output
    assert canaries(admin) == []


def test_the_documented_role_is_enough(admin: Client, account: Callable[..., Path]) -> None:
    (text,) = re.findall(r"```yaml\n(kind: ClusterRole\n.*?)```", PAGE.read_text(), re.DOTALL)
    kubeconfig = account(*yaml.safe_load(text)["rules"])
    done = doctor(kubeconfig, "--enforcement", "--start-within=1")
    assert done.exit_code == 2
    assert "no scheduler has taken it up" in done.output
    assert canaries(admin) == []

    seen = {row["what"]: row["state"] for row in observations(doctor(kubeconfig, "-o", "json"))}
    assert "unknown" not in seen.values(), seen


# --- what is read ---


def observations(done: Result) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(done.stdout)["observations"]
    return found


def test_a_sound_installation_is_said_to_be_and_nothing_is_written(
    cp: ControlPlane, admin: Client, world: World, operator: OperatorProcess
) -> None:
    world.namespace()
    world.profile("default-deny")
    world.is_ready()
    before = len(list(cp.audit_events()))
    done = doctor(cp.admin_kubeconfig, "-o", "json")
    seen = {row["what"]: row for row in observations(done)}
    states = {what: row["state"] for what, row in seen.items()}
    assert states == {
        "API server": "ok",
        "CRD tenantprofiles": "ok",
        "CRD policytemplates": "ok",
        "operator": "wrong",  # it runs beside the cluster here, so its Deployment has no pod
        "lease": "ok",
        "operator's rights": "ok",
        "profiles": "ok",
        "guard": "ok",
        "pod gate": "ok",
        "hostNetwork": "note",
    }
    assert done.exit_code == 1
    assert seen["operator"]["seen"] == "0 of 1 available, image tenantprofile-operator:0.1.0"
    assert "held by" in seen["lease"]["seen"]
    time.sleep(0.5)
    mine = [e for e in list(cp.audit_events())[before:] if e["user"]["username"] == "admin"]
    written = {e["requestURI"].split("?")[0] for e in mine if e["verb"] not in ("get", "list", "watch")}
    assert written <= {"/apis/authorization.k8s.io/v1/subjectaccessreviews"}


def test_a_lease_that_nobody_holds_and_a_profile_that_is_not_ready_are_wrong(
    cp: ControlPlane, world: World, operator: OperatorProcess
) -> None:
    world.namespace()
    world.profile("no-such-template")
    eventually(lambda: world.condition("Degraded").get("status") == "True")
    operator.stop()
    seen = {row["what"]: row for row in observations(doctor(cp.admin_kubeconfig, "-o", "json"))}
    assert (seen["lease"]["state"], seen["lease"]["seen"]) == ("wrong", "nobody holds it")
    assert seen["profiles"]["state"] == "wrong"
    assert world.tag in seen["profiles"]["seen"]


def test_another_schema_than_that_of_this_version_is_wrong(cp: ControlPlane, admin: Client) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/policytemplates.tenantprofile.dev"
    stored = admin.get(path)
    versions = json.loads(json.dumps(stored["spec"]["versions"]))
    versions[0]["schema"]["openAPIV3Schema"]["description"] = "of another version"
    admin.merge(path, {"spec": {"versions": versions}})
    try:
        seen = {row["what"]: row for row in observations(doctor(cp.admin_kubeconfig, "-o", "json"))}
    finally:
        admin.merge(path, {"spec": {"versions": stored["spec"]["versions"]}})
    assert seen["CRD policytemplates"]["state"] == "wrong"
    assert "not with the schema" in seen["CRD policytemplates"]["seen"]
    assert seen["CRD tenantprofiles"]["state"] == "ok"


def test_what_may_not_be_read_is_unknown(account: Callable[..., Path]) -> None:
    done = doctor(account(), "-o", "json")
    states = {row["what"]: row["state"] for row in observations(done)}
    assert states.pop("API server") == "ok"
    assert set(states.values()) == {"unknown"}
    assert done.exit_code == 1


def test_rights_that_the_operator_lacks_are_named(cp: ControlPlane, admin: Client) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/tenantprofile-operator"
    stored = admin.get(path)["rules"]
    admin.merge(path, {"rules": [rule for rule in stored if rule["resources"] != ["networkpolicies"]]})

    def missing() -> bool:
        seen = {row["what"]: row for row in observations(doctor(cp.admin_kubeconfig, "-o", "json"))}
        rights = seen["operator's rights"]
        return rights["state"] == "wrong" and "delete networkpolicies.networking.k8s.io" in rights["seen"]

    try:
        eventually(missing)  # RBAC is read from a cache
    finally:
        admin.merge(path, {"rules": stored})


def test_a_cluster_that_does_not_answer_is_an_error(tmp_path: Path, cp: ControlPlane) -> None:
    content = json.loads(cp.admin_kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(content))
    for arguments in ([], ["--enforcement", "--image=none"], ["--cleanup"]):
        done = doctor(file, *arguments)
        assert done.exit_code == 2, done.output
        assert "127.0.0.1" in done.output or "Cannot connect" in done.output


def test_without_a_cluster_it_asks_for_one() -> None:
    done = CliRunner().invoke(main, ["doctor"], env={"KUBECONFIG": "/nowhere"})
    assert done.exit_code == 2
    assert "--kubeconfig" in done.output


def test_the_same_as_a_table_and_in_markdown(cp: ControlPlane) -> None:
    assert doctor(cp.admin_kubeconfig).stdout.startswith("WHAT")
    assert doctor(cp.admin_kubeconfig, "-o", "markdown").stdout.startswith("| what | state | seen |")
    assert yaml.safe_load(doctor(cp.admin_kubeconfig, "-o", "yaml").stdout)["sound"] is False
