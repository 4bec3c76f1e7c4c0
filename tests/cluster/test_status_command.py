"""`tenantprofile status`: why a namespace is not protected, each answer from a real API server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client import NAMESPACES, PROFILES, Client, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from operatorprocess import ACCOUNT, NAMESPACE, OperatorProcess, install
from tenantprofile.cli.main import main


def status(kubeconfig: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["status", "--kubeconfig", str(kubeconfig), *arguments])


def data(kubeconfig: Path, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(status(kubeconfig, "-o", "json", *arguments).stdout))


def state(kubeconfig: Path, namespace: str, profile: str) -> str:
    (space,) = data(kubeconfig, profile, "-n", namespace)["namespaces"]
    return str(space["profiles"][0]["state"])


def test_a_protected_namespace(cp: ControlPlane, world: World, operator: OperatorProcess) -> None:
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    world.is_ready()
    done = status(cp.admin_kubeconfig, "-n", namespace)
    assert done.exit_code == 0, done.output
    assert f"{namespace} is protected" in done.stdout
    assert "Operator running: operator-" in done.stdout
    done = status(cp.admin_kubeconfig, profile)
    assert (done.exit_code, done.stderr) == (0, "")
    assert status(cp.admin_kubeconfig, "-o", "name").stdout == f"tenantprofile.tenantprofile.dev/{profile}\n"
    assert status(cp.admin_kubeconfig, "-l", "no=such").exit_code == 1


def test_a_namespace_without_the_label_is_told_the_nearest_profile_first(
    cp: ControlPlane, world: World, operator: OperatorProcess
) -> None:
    near = world.profile("default-deny")
    far = world.profile(
        "default-deny",
        name=f"a-{near}",
        namespaceSelector={"matchLabels": {"tenant": "y", "stage": "prod", "zone": "eu"}},
    )
    namespace = world.namespace(tenant="somebody-else")
    eventually(lambda: status(cp.admin_kubeconfig, "-n", namespace).exit_code == 3)
    done = status(cp.admin_kubeconfig, "-n", namespace)
    lines = done.stdout.splitlines()
    assert lines[2] == f"{namespace} is not protected: no profile selects it; nearest is {near}"
    assert lines[3] == f"  {near}: not selected"
    assert f"it has tenant=somebody-else; the profile selects tenant={near}" in lines[4]
    command = f"kubectl label namespace {namespace} tenant={near} --overwrite"
    assert lines[5] == f"    next: {command}"
    assert far in done.stdout
    # What it says to do helps.
    cp.kubectl(*command.split()[1:])
    eventually(lambda: status(cp.admin_kubeconfig, "-n", namespace).exit_code == 0)


def test_an_excluded_namespace(cp: ControlPlane, world: World, operator: OperatorProcess) -> None:
    namespace = world.namespace()
    profile = world.profile("default-deny", excludedNamespaces=[namespace])
    done = status(cp.admin_kubeconfig, "-n", namespace)
    assert done.exit_code == 3
    assert "it is in spec.excludedNamespaces" in done.stdout
    assert f"next: take {namespace} out of spec.excludedNamespaces of {profile}" in done.stdout
    done = status(cp.admin_kubeconfig, "-n", "kube-system")
    assert done.exit_code == 3
    assert "it is a system namespace" in done.stdout


def test_a_refused_policy_is_told_with_its_reason(
    cp: ControlPlane, world: World, operator: OperatorProcess
) -> None:
    profile = world.profile({"template": "dns-egress", "parameters": {"provider": ["kube-dsn"]}})
    namespace = world.namespace()
    world.is_degraded("InvalidParameters")
    done = status(cp.admin_kubeconfig, "-n", namespace)
    assert done.exit_code == 1
    assert f"  {profile}: refused" in done.stdout
    assert "kube-dsn" in done.stdout
    assert "next: correct spec.policies[].parameters" in done.stdout


def test_a_conflicting_object_is_named_and_the_step_that_is_told_helps(
    cp: ControlPlane, world: World, operator: OperatorProcess
) -> None:
    namespace = world.namespace()
    world.client.create(
        policies_of(namespace),
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"{world.tag}.default-deny"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        },
    )
    profile = world.profile("default-deny")
    world.is_degraded("Conflict")
    done = status(cp.admin_kubeconfig, "-n", namespace)
    assert done.exit_code == 1
    assert f"  {profile}: conflict" in done.stdout
    assert f"foreign: {profile}.default-deny" in done.stdout
    (step,) = [line for line in done.stdout.splitlines() if "hand it over: kubectl" in line]
    cp.kubectl(*step.partition("hand it over: kubectl ")[2].split())
    eventually(lambda: status(cp.admin_kubeconfig, "-n", namespace).exit_code == 0, within=60)


def test_a_suspended_profile(cp: ControlPlane, world: World, operator: OperatorProcess) -> None:
    profile = world.profile("default-deny", suspend=True)
    namespace = world.namespace()
    done = status(cp.admin_kubeconfig, "-n", namespace)
    assert done.exit_code == 1
    assert f"{profile}: suspended" in done.stdout
    assert """--type=merge -p '{"spec":{"suspend":false}}'""" in done.stdout


def test_while_the_operator_is_stopped_everything_waits_and_it_is_said(
    cp: ControlPlane, world: World, start: Callable[..., OperatorProcess]
) -> None:
    process = start()
    profile = world.profile("default-deny")
    old = world.namespace()
    world.has(old, f"{profile}.default-deny")
    world.is_ready()
    process.stop()
    new = world.namespace()
    done = status(cp.admin_kubeconfig, "-n", new)
    assert done.exit_code == 4
    assert "Operator not running: " in done.stdout
    assert f"nobody holds the lease {NAMESPACE}/tenantprofile-operator" in done.stdout
    assert f"{profile}: waiting" in done.stdout
    assert f"missing: {profile}.default-deny" in done.stdout
    assert "no operator is at work, so nothing changes until one is" in done.stdout
    done = status(cp.admin_kubeconfig, "-n", old)
    assert done.exit_code == 4
    assert "its policies stand, and nobody keeps them up" in done.stdout


def test_a_frozen_operator_is_not_taken_for_a_running_one(
    cp: ControlPlane, world: World, start: Callable[..., OperatorProcess]
) -> None:
    process = start()
    world.profile("default-deny")
    world.is_ready() if world.namespace() else None
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        eventually(lambda: status(cp.admin_kubeconfig).exit_code == 4, within=60)
        assert "has not renewed it for" in status(cp.admin_kubeconfig).stdout
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_pods_that_are_ready_and_do_not_lead_are_told_apart(
    cp: ControlPlane, world: World, operator: OperatorProcess
) -> None:
    """In a namespace where an operator is installed and no lease is held."""
    space = world.namespace()
    world.client.create(
        f"/apis/apps/v1/namespaces/{space}/deployments",
        {
            "metadata": {"name": "tenantprofile-operator"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "x"}},
                "template": {
                    "metadata": {"labels": {"app": "x"}},
                    "spec": {"containers": [{"name": "operator", "image": "example.com/operator:1.2.3"}]},
                },
            },
        },
    )
    flag = f"--operator-namespace={space}"
    done = status(cp.admin_kubeconfig, flag)
    assert done.exit_code == 4
    assert "Operator not running: 0 of 1 pods are ready, and nobody has ever held the lease" in done.stdout

    def make_ready() -> bool:
        body = {"status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}}
        place = f"/apis/apps/v1/namespaces/{space}/deployments/tenantprofile-operator/status"
        world.client.merge(place, body)  # no controller of Deployments runs here
        for pod in world.client.items(f"/api/v1/namespaces/{space}/pods"):
            ready = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
            world.client.merge(
                f"/api/v1/namespaces/{space}/pods/{pod['metadata']['name']}/status", {"status": ready}
            )
        return "Operator not leading: 1 of 1 pods are ready" in status(cp.admin_kubeconfig, flag).stdout

    eventually(make_ready, within=60)
    done = CliRunner().invoke(main, ["version", "--kubeconfig", str(cp.admin_kubeconfig), flag, "-o", "json"])
    (container,) = json.loads(done.stdout)["operator"]["containers"]
    assert (container["image"], container["version"]) == ("example.com/operator:1.2.3", "1.2.3")


def test_all_namespaces_in_one_table(cp: ControlPlane, world: World, operator: OperatorProcess) -> None:
    profile = world.profile("default-deny")
    good, wrong = world.namespace(), world.namespace(tenant="")
    world.has(good, f"{profile}.default-deny")
    world.is_ready()
    done = status(cp.admin_kubeconfig, "-A", "-o", "wide")
    found = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith(world.tag)}
    assert " protected " in found[good]
    assert f"kubectl label namespace {wrong} tenant={profile}" in found[wrong]
    assert done.exit_code == 3


def test_what_may_not_be_read_is_told_with_who_and_what(cp: ControlPlane, operator: OperatorProcess) -> None:
    kubeconfig = cp.service_account_kubeconfig("default", "default")
    done = status(kubeconfig)
    assert done.exit_code == 2
    assert "does not allow it (403)" in done.stderr
    assert 'User "system:serviceaccount:default:default" cannot list resource "tenantprofiles"' in done.stderr
    assert "Traceback" not in done.stderr
    # The operator's own account may read all that the answer needs.
    account = cp.service_account_kubeconfig(NAMESPACE, ACCOUNT)
    assert status(account).exit_code in (0, 1)


def test_what_does_not_exist_is_no_answer(cp: ControlPlane, operator: OperatorProcess) -> None:
    done = status(cp.admin_kubeconfig, "-n", "no-such-namespace")
    assert (done.exit_code, "namespace no-such-namespace: not found" in done.stderr) == (2, True)
    assert status(cp.admin_kubeconfig, "no-such-profile").exit_code == 2


def test_the_watch_prints_again_when_the_answer_changes(
    cp: ControlPlane, world: World, operator: OperatorProcess
) -> None:
    profile = world.profile("default-deny")
    namespace = world.namespace(tenant="")
    command = [sys.executable, "-m", "tenantprofile", "status", "-n", namespace, "--watch"]
    environment = {**os.environ, "KUBECONFIG": str(cp.admin_kubeconfig), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any("not protected" in line for line in lines)
        world.relabel(namespace, tenant=profile)
        assert any(f"{namespace} is protected" in line for line in lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130


# --- a cluster without the CRDs ---


@pytest.fixture(scope="module")
def bare() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


def test_missing_crds_are_named_with_what_to_do(bare: ControlPlane) -> None:
    done = status(bare.admin_kubeconfig, "-n", "default")
    assert done.exit_code == 5, done.output
    assert "CRD tenantprofiles.tenantprofile.dev is not installed" in done.stdout
    assert "CRD policytemplates.tenantprofile.dev is not installed" in done.stdout
    assert "next: kubectl apply" in done.stdout
    assert "Operator not running: nobody has ever held the lease" in done.stdout


def test_a_cluster_without_profiles_protects_nothing(bare: ControlPlane) -> None:
    install(bare)
    client = Client(bare.admin_kubeconfig)
    assert client.items(PROFILES) == []
    assert client.find(f"{NAMESPACES}/default") is not None
    done = status(bare.admin_kubeconfig, "-n", "default")
    assert done.exit_code == 4
    assert "there is no TenantProfile in the cluster" in done.stdout
