"""No pod before its namespace's baseline: workloads that come with their namespaces, and the operator's own mark.

TENANTPROFILE_GATE_WORKLOADS is the number of workloads of each test with and without the gate, 24 when unset.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pytest
from click.testing import CliRunner

from client import ALL_POLICIES, NAMESPACES, PROFILES, Client, Object, Refused, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from guard.conftest import refused
from operatorprocess import OperatorProcess
from tenantprofile.cli.main import main

WORKLOADS = int(os.environ.get("TENANTPROFILE_GATE_WORKLOADS", "24"))
MARK = "tenantprofile.dev/complete"
GATE = "tenantprofile.dev/pod-admission"
PODS = "/api/v1/pods"
WORDS = (
    "ValidatingAdmissionPolicy 'pods-need-a-network-baseline.tenantprofile.dev' with binding"
    " 'baseline-of-this-namespace-is-not-complete-yet.tenantprofile.dev' denied request: failed to configure"
    " binding: no params found for policy binding with `Deny` parameterNotFoundAction"
)
POLICIES = ("default-deny", "same-namespace", "dns-egress")
POD = {"containers": [{"name": "main", "image": "none"}]}


class Witness:
    """Sees when pods are created, policies written and marks set: revisions of etcd, which all kinds share."""

    def __init__(self, cp: ControlPlane) -> None:
        self._cp = cp
        self.pods: dict[str, tuple[int, float]] = {}
        """By namespace: the revision and the time at which its first pod was created."""
        self.policies: dict[tuple[str, str], int] = {}
        """The revision at which a policy was created."""
        self.marks: dict[str, tuple[int, float]] = {}
        for path, see in ((PODS, self._pod), (ALL_POLICIES, self._policy)):
            client = Client(cp.admin_kubeconfig)
            version = client.get(path)["metadata"]["resourceVersion"]
            threading.Thread(target=self._watch, args=(client, path, version, see), daemon=True).start()

    def _watch(self, client: Client, path: str, version: str, see: Callable[[Object], None]) -> None:
        for event in client.watch(path, version):
            if event["type"] in ("ADDED", "MODIFIED"):
                see(event["object"])

    def _pod(self, body: Object) -> None:
        metadata = body["metadata"]
        self.pods.setdefault(metadata["namespace"], (int(metadata["resourceVersion"]), time.monotonic()))

    def _policy(self, body: Object) -> None:
        metadata = body["metadata"]
        version = int(metadata["resourceVersion"])
        self.policies.setdefault((metadata["namespace"], metadata["name"]), version)
        if (metadata.get("labels") or {}).get(MARK) == "true":
            self.marks.setdefault(metadata["namespace"], (version, time.monotonic()))

    def refused(self) -> set[str]:
        """Namespaces in which the API server has refused a pod for want of something (422)."""
        return {
            event["objectRef"]["namespace"]
            for event in self._cp.audit_events()
            if event["verb"] == "create"
            and event["objectRef"]["resource"] == "pods"
            and event["responseStatus"]["code"] == 422
        }

    def early(self, namespaces: list[str]) -> int:
        """In how many a pod was created before every policy stood."""
        return sum(
            self.pods[namespace][0] < max(v for (space, _), v in self.policies.items() if space == namespace)
            for namespace in namespaces
        )

    def delays(self, namespaces: list[str]) -> str:
        """Between mark and pod, as they were seen; for people."""
        seen = sorted(self.pods[name][1] - self.marks[name][1] for name in namespaces)
        return f"{median(seen):.3f} s in the middle, {seen[-1]:.3f} s at most"


def workload(admin: Client, namespace: str, number: int) -> None:
    """A Deployment, a Job or a StatefulSet with one pod."""
    kind, path = (
        ("Deployment", "/apis/apps/v1"),
        ("Job", "/apis/batch/v1"),
        ("StatefulSet", "/apis/apps/v1"),
    )[number % 3]
    labels = {"app": "main"}
    template: Object = {"metadata": {"labels": labels}, "spec": POD}
    spec: Object = {"template": template}
    if kind == "Job":
        template["spec"] = {**POD, "restartPolicy": "Never"}
    else:
        spec |= {"selector": {"matchLabels": labels}, "replicas": 1}
    if kind == "StatefulSet":
        spec["serviceName"] = "main"
    admin.create(
        f"{path}/namespaces/{namespace}/{kind.lower()}s", {"metadata": {"name": "main"}, "spec": spec}
    )


def settle(world: World, admin: Client) -> tuple[list[str], list[str]]:
    """Namespaces with their workloads, created together: with the gate and without it."""
    gated, free = [], []
    for number in range(WORKLOADS):
        for labels, names in (({GATE: "RequireBaseline"}, gated), ({}, free)):
            name = world.namespace(**labels)
            workload(admin, name, number)
            names.append(name)
    return gated, free


@pytest.fixture
def witness(controller_manager: ControlPlane) -> Witness:
    return Witness(controller_manager)


@pytest.fixture
def operators(cp: ControlPlane) -> Iterator[Callable[[], OperatorProcess]]:
    """Starts an operator, which is stopped after the test."""
    started: list[OperatorProcess] = []

    def start() -> OperatorProcess:
        started.append(OperatorProcess(cp))
        return started[-1].start()

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def profile(world: World) -> Iterator[str]:
    """A profile that lets no pod start before its baseline."""
    yield world.profile(*POLICIES, podAdmission="RequireBaseline")
    world.client.delete(f"{PROFILES}/{world.tag}")


def after_their_baseline(witness: Witness, gated: list[str], profile: str) -> None:
    """Every gated pod came after the mark, and the mark after every policy."""
    for namespace in gated:
        mark = witness.marks[namespace][0]
        assert all(witness.policies[namespace, f"{profile}.{entry}"] < mark for entry in POLICIES)
        assert mark < witness.pods[namespace][0], namespace
    assert witness.early(gated) == 0


def test_while_the_operator_is_stopped_no_gated_pod_starts_and_all_do_after_the_baseline(
    world: World,
    admin: Client,
    witness: Witness,
    operators: Callable[[], OperatorProcess],
    profile: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gated, free = settle(world, admin)
    eventually(lambda: witness.pods.keys() >= set(free), within=120)
    eventually(lambda: witness.refused() >= set(gated), within=120, every=0.5)
    assert not witness.pods.keys() & set(gated)
    operators()
    eventually(lambda: witness.pods.keys() >= set(gated), within=240)
    world.is_ready(within=60)
    eventually(lambda: witness.marks.keys() >= {*gated, *free})
    after_their_baseline(witness, gated, profile)
    assert witness.early(free) == len(free)
    with capsys.disabled():
        print(
            f"\noperator stopped, then started: {witness.early(free)} of {len(free)} ungated pods before their"
            f" policies, {witness.early(gated)} of {len(gated)} gated ones; from mark to pod:"
            f" {witness.delays(gated)}"
        )


def test_while_the_operator_runs_every_gated_pod_starts_after_its_baseline(
    world: World,
    admin: Client,
    witness: Witness,
    operators: Callable[[], OperatorProcess],
    profile: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    operators()
    gated, free = settle(world, admin)
    eventually(lambda: witness.pods.keys() >= {*gated, *free}, within=240)
    world.is_ready(within=60)
    eventually(lambda: witness.marks.keys() >= {*gated, *free})
    after_their_baseline(witness, gated, profile)
    with capsys.disabled():
        print(
            f"\noperator running: {witness.early(free)} of {len(free)} ungated pods before their policies,"
            f" {witness.early(gated)} of {len(gated)} gated ones; from mark to pod: {witness.delays(gated)}"
        )


def start_pod(client: Client, namespace: str) -> Object:
    body: Any = {"metadata": {"name": "one"}, "spec": POD}
    return client.request("POST", f"{NAMESPACES}/{namespace}/pods", body, dryRun="All")


def admitted(client: Client, namespace: str) -> bool:
    try:
        start_pod(client, namespace)
    except Refused as error:
        assert error.status == 422, error
        assert WORDS in str(error)
        return False
    return True


def test_the_refusal_names_policy_and_binding(
    controller_manager: ControlPlane, world: World, tenant: Client, profile: str
) -> None:
    namespace = world.namespace(**{GATE: "RequireBaseline"})
    eventually(lambda: world.client.find(f"{NAMESPACES}/{namespace}/serviceaccounts/default"))
    refused(lambda: start_pod(tenant, namespace), WORDS, status=422)


def test_nobody_makes_up_the_mark_or_takes_it_off(
    controller_manager: ControlPlane,
    world: World,
    admin: Client,
    tenant: Client,
    operators: Callable[[], OperatorProcess],
    profile: str,
) -> None:
    namespace = world.namespace(**{GATE: "RequireBaseline"})
    eventually(lambda: admin.find(f"{NAMESPACES}/{namespace}/serviceaccounts/default"))
    forged = {"metadata": {"name": "mine", "labels": {MARK: "true"}}, "spec": {"podSelector": {}}}
    refused(lambda: tenant.create(policies_of(namespace), forged), "only its operator may set")
    assert not admitted(tenant, namespace)
    operators()
    world.is_ready()
    eventually(lambda: admitted(tenant, namespace))
    bearer = f"{policies_of(namespace)}/{profile}.default-deny"
    unmark = {"metadata": {"labels": {MARK: None}}}
    refused(lambda: tenant.merge(bearer, unmark), "only its operator may set")
    # Whoever may override does it: the operator puts it back.
    admin.merge(bearer, unmark)
    eventually(lambda: world.policy(namespace, f"{profile}.default-deny")["metadata"]["labels"].get(MARK))


def test_doctor_names_namespaces_that_are_not_gated_and_pods_with_host_network(
    controller_manager: ControlPlane, world: World, admin: Client, profile: str
) -> None:
    gated, loose = world.namespace(**{GATE: "RequireBaseline"}), world.namespace()
    closed = world.namespace(**{"pod-security.kubernetes.io/enforce": "baseline"})
    eventually(lambda: admin.find(f"{NAMESPACES}/{loose}/serviceaccounts/default"))
    for name, spec in (("agent", {**POD, "hostNetwork": True}), ("plain", POD)):
        admin.create(f"{NAMESPACES}/{loose}/pods", {"metadata": {"name": name}, "spec": spec})
    done = CliRunner().invoke(
        main, ["doctor", "--kubeconfig", str(controller_manager.admin_kubeconfig), "-o", "json"]
    )
    found = {one["what"]: one for one in json.loads(done.stdout)["observations"]}
    gate, host = found["pod gate"], found["hostNetwork"]
    assert gate["state"] == "wrong"
    assert f"RequireBaseline: {', '.join(sorted((loose, closed)))};" in gate["seen"]
    assert gated not in gate["seen"]
    assert host["state"] == "note"
    assert f"no policy governs 1 pods, which have hostNetwork: {loose}/agent;" in host["seen"]
    assert closed not in host["seen"]


def test_the_mark_goes_with_the_wish_and_with_the_namespaces_label(
    controller_manager: ControlPlane,
    world: World,
    admin: Client,
    tenant: Client,
    operators: Callable[[], OperatorProcess],
    profile: str,
) -> None:
    namespace = world.namespace(**{GATE: "RequireBaseline"})
    operators()
    eventually(lambda: admitted(tenant, namespace))
    world.profile(*POLICIES, podAdmission="Immediate")
    eventually(lambda: not admitted(tenant, namespace))
    world.relabel(namespace, **{GATE: None})
    eventually(lambda: admitted(tenant, namespace))
